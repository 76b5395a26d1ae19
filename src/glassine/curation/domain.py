"""Real or cartoon: VSD2M's domain, by an EfficientNet whose head is trained on a labelled list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from glassine.curation.blocks import Row
from glassine.curation.crawl import Opened
from glassine.curation.describe import spread_frames
from glassine.curation.ingest import read_again
from glassine.curation.parts import build_part
from glassine.data.alpha import composite_frames
from glassine.data.shards import resize_frames
from glassine.utils.errors import UserError, printable

DOMAINS = ("cartoon", "real")
FRAMES = 2


class DomainClassifier(Protocol):
    """Tells photographs from drawings.

    Attributes:
        identity: JSON values, recorded with each answer.
        size: pixels of both sides of what it looks at.
    """

    identity: Mapping[str, Any]
    size: int

    def real(self, pictures: np.ndarray) -> np.ndarray:
        """The probability `n` that each picture `n h w 3` uint8 is a photograph."""
        ...


class Trained:
    """A `glassine.models.sticker_domain.StickerDomain` that `glassine fit` trained.

    Args:
        weights: the bundle that `glassine export weights --part network` wrote.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights
        self._network: Any = None
        self.identity: dict[str, Any] = {"by": "domain classifier", "weights": Path(weights).name}

    @property
    def size(self) -> int:
        """Pixels of both sides."""
        return int(self._loaded().size)

    def _loaded(self) -> Any:
        if self._network is None:
            import torch

            from glassine.pretrained.weights import load_bundle
            from glassine.utils.tensors import weights_digest

            torch.set_num_threads(1)
            self._network = load_bundle(self.weights, frozen=True)
            self.identity["digest"] = weights_digest(self._network)
        return self._network

    def real(self, pictures: np.ndarray) -> np.ndarray:
        """See `DomainClassifier`."""
        import torch

        network = self._loaded()
        with torch.no_grad():
            batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            parts = [network.probabilities(part)[:, 1] for part in batch.split(32)]
        return torch.cat(parts).numpy()


class Domain:
    """Stage: adds `domain`, and the classifier's `domain_score`: its probability of `real`.

    Args:
        crawl: the folder.
        unpack: where compressed tars were unpacked to.
        classifier: a `DomainClassifier` by `class_path`; None takes what manifests say, else `default`.
        default: the domain of stickers that nobody knows anything about.
    """

    name, risky = "domain", False

    def __init__(self, crawl: str, unpack: str, classifier: Mapping[str, Any] | str | None, default: str) -> None:
        self.crawl, self.unpack, self.classifier, self.default = Path(crawl), Path(unpack), classifier, default
        self._made: Any = None

    def settings(self) -> Mapping[str, Any]:
        """What results depend on."""
        return {"version": 1, "classifier": self.classifier, "default": self.default, "frames": FRAMES}

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Classify what was not rejected."""
        out = [dict(row) for row in rows]
        if self.classifier is None:
            for row in out:
                row["domain"] = row.get("domain") or self.default
                row["made"] = {**row.get("made", {}), "domain": {"by": "given" if row.get("domain") else "default"}}
            return out
        self._made = self._made or build_part(self.classifier, "domain")
        opened = Opened(self.crawl, self.unpack)
        places, pictures = list[int](), list[np.ndarray]()
        for place, row in enumerate(rows):
            if "rejected" in row or row.get("crashed"):
                continue
            try:
                frames = read_again(opened, row, self._made.size, spread_frames(row["frames"], FRAMES)).frames
            except (UserError, OSError) as error:
                out[place] |= {"rejected": {"gone": 1.0}, "says": printable(str(error))[:300]}
                continue
            pictures += list(domain_pictures(frames, self._made.size))
            places += [place] * len(frames)
        if pictures:
            scores = self._made.real(np.stack(pictures))
            for place in dict.fromkeys(places):
                score = float(np.mean(scores[np.array(places) == place]))
                row = out[place]
                given = row.get("domain")
                row["domain"] = given if given in DOMAINS else DOMAINS[score >= 0.5]
                row["domain_score"] = round(score, 4)
                row["made"] = {**row.get("made", {}), "domain": {"by": "given"} if given else dict(self._made.identity)}
        return out


def domain_pictures(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames `f h w 4` as the classifier sees them: on white, fitted into a square: `f size size 3`."""
    return composite_frames(resize_frames(frames, size, size, keep_shape=True), (255, 255, 255))


def calibration(scores: Sequence[float], real: Sequence[bool], bins: int = 10) -> dict[str, Any]:
    """How well a classifier's probabilities are meant: accuracy, expected calibration error, Brier score.

    Args:
        scores: probability of `real`.
        real: the truth.
        bins: of equal width over the confidence in the answer given, 0.5 to 1.
    """
    given, truth = np.asarray(scores, np.float64), np.asarray(real, bool)
    answer = given >= 0.5
    sure = np.where(answer, given, 1 - given)
    right = answer == truth
    place = np.minimum(((sure - 0.5) * 2 * bins).astype(int), bins - 1)
    error = sum(
        abs(right[place == n].mean() - sure[place == n].mean()) * (place == n).mean()
        for n in range(bins)
        if (place == n).any()
    )
    return {
        "n": len(given),
        "accuracy": float(right.mean()),
        "expected_calibration_error": float(error),
        "brier": float(((given - truth) ** 2).mean()),
    }

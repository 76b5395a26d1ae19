"""The eyes that generated clips are scored by: the suite's own that ship, and the field's where weights are given."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glassine.bench.loading import load_network
from glassine.metrics.clip_score import ClipScores
from glassine.metrics.fvd import FVD, KVD, VideoDistance
from glassine.metrics.vqa import VQA
from glassine.models.sticker_clip import StickerCLIP
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

TINY_VIDEO, TINY_CLIP = "glassine:tiny-video", "glassine:tiny-clip"
BATCH = 16


@dataclass(frozen=True)
class EvaluatorSources:
    """Where the networks come from.

    Attributes:
        video: bundle or run of a `StickerCLIP` with temporal layers.
        image_text: bundle or run of one without.
        i3d: path of `i3d_pretrained_400.pt`, for FVD.
        clip: hub id or path of a CLIP, for CLIP score and similarity.
        fast_vqa: path of FAST-VQA-B's weights.
        raft: path of one of torchvision's RAFT files, for dynamic degrees.
    """

    video: str = TINY_VIDEO
    image_text: str = TINY_CLIP
    i3d: str | None = None
    clip: str | None = None
    fast_vqa: str | None = None
    raft: str | None = None


class VideoFeatures(nn.Module):
    """A `StickerCLIP`'s features as `FVD` takes them.

    Args:
        network: the evaluator.
    """

    frames = (1, None)

    def __init__(self, network: StickerCLIP) -> None:
        super().__init__()
        self.network, self.num_features = network, network.encoder.out_channels

    def forward(self, clips: Tensor) -> Tensor:
        """`b f 3 h w` in [0, 1] to `b d`."""
        return self.network.features(clips)


class Evaluators:
    """All metrics of generated clips, on white where nothing else is said.

    Args:
        sources: of the networks.
        device: where they run.

    Raises:
        UserError: weights that are not there or are another network's.
    """

    def __init__(self, sources: EvaluatorSources | None = None, device: torch.device | None = None) -> None:
        self.sources, self.device = sources or EvaluatorSources(), device or torch.device("cpu")
        self.video, self.image_text = (
            own_network(source).to(self.device) for source in (self.sources.video, self.sources.image_text)
        )

    @cached_property
    def identity(self) -> str:
        """Changes with any weight of our own, and with where the others come from."""
        own = weights_digest(self.video), weights_digest(self.image_text)
        return repr((*own, self.sources.i3d, self.sources.clip, self.sources.fast_vqa, self.sources.raft))

    @torch.no_grad()
    def score(
        self, real: Tensor, made: Tensor, captions: Sequence[str], backgrounds: Sequence[str] = ("white",)
    ) -> dict[str, float]:
        """Scores by their names, see `glassine.metrics.generated`.

        Args:
            real: clips `n f c h w` in [0, 1], straight RGBA, or RGB on white.
            made: clips for the same captions, of the same shape.
            captions: n.
            backgrounds: what Fréchet and kernel distances see them on.
        """
        found: dict[str, float] = {}
        for distance in self.distances(made.shape[1], backgrounds):
            for clips, is_real in ((real, True), (made, False)):
                for part in clips.split(BATCH):
                    distance.update(part.to(self.device), real=is_real)
            found |= distance.compute()
        for fit in self.fits():
            for start in range(0, len(made), BATCH):
                fit.update(made[start : start + BATCH].to(self.device), list(captions[start : start + BATCH]))
            found |= fit.compute()
        if self.sources.fast_vqa is not None:
            from glassine.pretrained.fast_vqa import fast_vqa

            quality = VQA(fast_vqa(self.sources.fast_vqa), "fast_b").to(self.device)
            for part in made.split(BATCH):
                quality.update(part.to(self.device))
            found |= quality.compute()
        return {name: float(value) for name, value in found.items()}

    def distances(self, frames: int, backgrounds: Sequence[str]) -> list[VideoDistance]:
        """Fréchet and kernel distances: of our own video encoder, and of I3D where its weights are given."""
        own = f"native_{frames}f"
        networks: list[tuple[Any, str, str]] = [(VideoFeatures(self.video), "glassine", own)]
        if self.sources.i3d is not None:
            from glassine.pretrained.i3d import i3d

            networks.append((i3d(self.sources.i3d), "i3d", "rep2_16f" if frames == 8 else own))
        return [kind(*network, backgrounds).to(self.device) for network in networks for kind in (FVD, KVD)]

    def fits(self) -> list[ClipScores]:
        """How clips fit captions: by our own image-text model, and by CLIP where one is given."""
        own = self.image_text
        scale = float(own.logit_scale.detach().exp())
        found = [ClipScores(own.embed_pictures, own.embed_texts, "glassine", logit_scale=scale).to(self.device)]
        if self.sources.clip is not None:
            from glassine.pretrained.clip import CLIP

            clip = CLIP(self.sources.clip).to(self.device)
            called = re.sub(r"[^a-z0-9]+", "_", Path(self.sources.clip).name.lower()).strip("_")
            scores = ClipScores(clip.encode_images, clip.encode_texts, called, logit_scale=clip.logit_scale)
            found.append(scores.to(self.device))
        return found


def own_network(source: str) -> StickerCLIP:
    """The evaluator in a bundle or run; UserError where it is none."""
    network = load_network(source, "clip").network
    if not isinstance(network, StickerCLIP):
        raise UserError(f"{source} holds a {type(network).__name__}; scores need a StickerCLIP, such as {TINY_CLIP}")
    return network.eval()

"""Metrics of generated clips: by the networks that ship, and by public ones (I3D, CLIP, RAFT) if weights are given."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glassine.bench.intervals import DISTANCE_DRAWS, group_weights
from glassine.bench.loading import load_network
from glassine.metrics.clip_score import ClipScores
from glassine.metrics.dynamic_degree import DynamicDegree, farneback_flow
from glassine.metrics.feature_distances import weighted_frechet_distance, weighted_kernel_distance
from glassine.metrics.fvd import KVD
from glassine.metrics.vqa import VQA
from glassine.models.sticker_clip import StickerCLIP
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

TINY_VIDEO, TINY_CLIP = "glassine:tiny-video", "glassine:tiny-clip"
BATCH = 16
FAMILIES = ("distances", "clip", "vqa", "motion")
# as in Layer-Animate, whose clips are on gray, which "significantly skews" the flow; so does any other flat color
FLOW_BACKGROUND = "gray"


@dataclass(frozen=True)
class EvaluatorSources:
    """Sources of the networks.

    Attributes:
        video: bundle or run of a `StickerCLIP` with temporal layers.
        image_text: bundle or run of a `StickerCLIP` without temporal layers.
        i3d: path of `i3d_pretrained_400.pt`, for FVD.
        clip: hub id or path of a CLIP model, for CLIP score and similarity.
        fast_vqa: path of FAST-VQA-B's weights.
        raft: path of one of torchvision's RAFT checkpoints, for dynamic degrees.
    """

    video: str = TINY_VIDEO
    image_text: str = TINY_CLIP
    i3d: str | None = None
    clip: str | None = None
    fast_vqa: str | None = None
    raft: str | None = None


class VideoFeatures(nn.Module):
    """The features of a `StickerCLIP`, with the interface that `FVD` and `KVD` expect.

    Args:
        network: the evaluator.
    """

    frames = (1, None)

    def __init__(self, network: StickerCLIP) -> None:
        super().__init__()
        self.network, self.num_features = network, network.encoder.out_channels

    def forward(self, clips: Tensor) -> Tensor:
        """Features `b d` of clips `b f 3 h w` in [0, 1]."""
        return self.network.features(clips)


@dataclass
class ClipScoring:
    """Scores of a set of clips.

    Attributes:
        scores: name -> value for the whole set.
        items: name -> values `n`, one for each generated clip.
        draws: name of a distance -> its bootstrap values, see `Cell.draws`.
    """

    scores: dict[str, float] = field(default_factory=dict)
    items: dict[str, Tensor] = field(default_factory=dict)
    draws: dict[str, Tensor] = field(default_factory=dict)

    def add_distances(
        self, name: str, real: Tensor, made: Tensor, groups: Sequence[str], made_groups: Sequence[str]
    ) -> None:
        """Add the kernel distance and the Fréchet distance of two sets of features.

        Args:
            name: of the kernel distance; the Fréchet distance is named by `frechet_name`.
            real: features of the real clips, `n d`.
            made: features of the generated clips, `m d`.
            groups: of the real clips, `n`; the bootstrap draws from these.
            made_groups: of the generated clips, `m`.
        """
        counts = {"n_real": len(real), "n_fake": len(made)}
        weights = group_weights(groups, DISTANCE_DRAWS)
        made_weights = group_weights(made_groups, DISTANCE_DRAWS, among=groups)
        kinds: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
            name: weighted_kernel_distance,
            frechet_name(name): weighted_frechet_distance,
        }
        for own, distance in kinds.items():
            whole = torch.ones(1, len(real), dtype=torch.float64), torch.ones(1, len(made), dtype=torch.float64)
            self.scores[own] = float(distance(real, made, *whole)[0])
            self.scores |= {f"{own}_{count}": number for count, number in counts.items()}
            self.draws[own] = distance(real, made, weights, made_weights)


def frechet_name(kernel_name: str) -> str:
    """The name of the Fréchet distance on the same features."""
    return kernel_name.replace("kvd", "fvd", 1)


def halved(
    real: Tensor, made: Tensor, groups: Sequence[str], made_groups: Sequence[str], halves: bool
) -> tuple[Tensor, Tensor, Sequence[str], Sequence[str]]:
    """Features and groups of both sets, unchanged; or with `halves`, of two disjoint halves of the real set's groups.

    Groups are assigned to the halves alternately, in sorted order.
    """
    if not halves:
        return real, made, groups, made_groups
    number = {group: place for place, group in enumerate(sorted(set(groups)))}
    rows = [[row for row, group in enumerate(groups) if number[group] % 2 == half] for half in (0, 1)]
    return real[rows[0]], real[rows[1]], [groups[row] for row in rows[0]], [groups[row] for row in rows[1]]


class Evaluators:
    """All metrics of generated clips, on white unless stated otherwise.

    Args:
        sources: of the networks; None for the shipped ones.
        device: where they run; None for the CPU.
        families: which of `FAMILIES` to compute; None for all.

    Raises:
        UserError: the weights of our own evaluators are missing or of another network.
    """

    def __init__(
        self,
        sources: EvaluatorSources | None = None,
        device: torch.device | None = None,
        families: Sequence[str] | None = None,
    ) -> None:
        self.sources, self.device = sources or EvaluatorSources(), device or torch.device("cpu")
        self.families = families
        needed = {"distances": "video", "clip": "image_text"}
        for network in (network for family, network in needed.items() if self.asks_for(family)):
            getattr(self, network)  # load now, so that missing weights are reported before clips are generated

    @cached_property
    def video(self) -> StickerCLIP:
        """Our clip encoder, loaded on first use."""
        return own_network(self.sources.video).to(self.device)

    @cached_property
    def image_text(self) -> StickerCLIP:
        """Our image-text model, loaded on first use."""
        return own_network(self.sources.image_text).to(self.device)

    @cached_property
    def identity(self) -> str:
        """Changes with any weight of our own networks and with the sources of the other networks."""
        own = [
            weights_digest(self.video) if self.asks_for("distances") else "",
            weights_digest(self.image_text) if self.asks_for("clip") else "",
        ]
        return repr((*own, self.sources.i3d, self.sources.clip, self.sources.fast_vqa, self.sources.raft))

    @torch.no_grad()
    def score(
        self,
        real: Tensor,
        made: Tensor,
        captions: Sequence[str],
        backgrounds: Sequence[str] = ("white",),
        groups: Sequence[str] | None = None,
        made_groups: Sequence[str] | None = None,
        halves: bool = False,
    ) -> ClipScoring:
        """Score generated clips; for the names of the scores see `glassine.metrics.generated`.

        Args:
            real: clips `n f c h w` in [0, 1], straight RGBA, or RGB on white.
            made: generated clips `m f c h w` with as many frames.
            captions: of the generated clips, `m`.
            backgrounds: on which Fréchet and kernel distances are computed.
            groups: of the real clips, `n`; None if each is its own group.
            made_groups: of the generated clips, `m`; None if they are those of the real clips.
            halves: for `made` equal to `real`: compute the distances between two halves of the groups.
        """
        real_groups = [str(row) for row in range(len(real))] if groups is None else list(groups)
        of_made = real_groups if made_groups is None else list(made_groups)
        found = ClipScoring()
        for distance in self.distances(made.shape[1], backgrounds):
            for clips, is_real in ((real, True), (made, False)):
                for part in clips.split(BATCH):
                    distance.update(part.to(self.device), real=is_real)
            for place, name in enumerate(distance.names):
                first, second = (distance.kept(f"{kind}_{place}").cpu() for kind in ("real", "fake"))
                found.add_distances(name, *halved(first, second, real_groups, of_made, halves))
        for fit in self.fits():
            for start in range(0, len(made), BATCH):
                fit.update(made[start : start + BATCH].to(self.device), list(captions[start : start + BATCH]))
            found.scores |= fit.compute()
            found.items |= fit.per_clip()
        if (quality := self.quality) is not None:
            quality.reset()
            for part in made.split(BATCH):
                quality.update(part.to(self.device))
            found.scores |= quality.compute()
            found.items[quality.name] = quality.per_clip()
        found.scores = {name: float(value) for name, value in found.scores.items()}
        return found

    def metric_names(self, frames: int, backgrounds: Sequence[str] = ("white",)) -> list[str]:
        """Names of the scores of clips with `frames` frames, without the counts of the distances."""
        quality = [self.quality.name] if self.quality is not None else []
        distances = [name for one in self.distances(frames, backgrounds) for name in one.names]
        fits = [name for one in self.fits() for name in one.names]
        return [*map(frechet_name, distances), *distances, *fits, *quality]

    @cached_property
    def quality(self) -> VQA | None:
        """FAST-VQA; None without its weights or if its family is not asked for."""
        if self.sources.fast_vqa is None or not self.asks_for("vqa"):
            return None
        from glassine.pretrained.fast_vqa import fast_vqa

        return VQA(fast_vqa(self.sources.fast_vqa), "fast_b").to(self.device)

    @cached_property
    def flows(self) -> list[DynamicDegree]:
        """See `dynamic_degrees`; empty if motion is not asked for."""
        return dynamic_degrees(self.sources.raft) if self.asks_for("motion") else []

    def asks_for(self, family: str) -> bool:
        """Whether a family of metrics is to be computed."""
        return self.families is None or family in self.families

    def distances(self, frames: int, backgrounds: Sequence[str]) -> list[KVD]:
        """Kernel distances with our own video encoder, and with I3D if its weights are given.

        They store the features, from which the Fréchet distances are computed as well.
        """
        if not self.asks_for("distances"):
            return []
        own = f"native_{frames}f"
        networks: list[tuple[Any, str, str]] = [(VideoFeatures(self.video), "glassine", own)]
        if self.sources.i3d is not None:
            networks.append((self.i3d, "i3d", "rep2_16f" if frames == 8 else own))
        return [KVD(*network, backgrounds).to(self.device) for network in networks]

    def fits(self) -> list[ClipScores]:
        """Agreement of clips and captions by our own image-text model, and by CLIP if one is given."""
        if not self.asks_for("clip"):
            return []
        own = self.image_text
        scale = float(own.logit_scale.detach().exp())
        found = [ClipScores(own.embed_pictures, own.embed_texts, "glassine", logit_scale=scale).to(self.device)]
        if self.sources.clip is not None:
            clip = self.clip
            name = re.sub(r"[^a-z0-9]+", "_", Path(self.sources.clip).name.lower()).strip("_")
            scores = ClipScores(clip.encode_images, clip.encode_texts, name, logit_scale=clip.logit_scale)
            found.append(scores.to(self.device))
        return found

    @cached_property
    def i3d(self) -> Any:
        """I3D, loaded on first use; its weights must be given."""
        from glassine.pretrained.i3d import i3d

        return i3d(str(self.sources.i3d))

    @cached_property
    def clip(self) -> Any:
        """CLIP, loaded on first use; its weights must be given."""
        from glassine.pretrained.clip import CLIP

        return CLIP(str(self.sources.clip)).to(self.device)


def own_network(source: str) -> StickerCLIP:
    """The evaluator of a bundle or run, in eval mode.

    Raises:
        UserError: `source` does not exist or does not hold a `StickerCLIP`.
    """
    network = load_network(source, "clip").network
    if not isinstance(network, StickerCLIP):
        raise UserError(f"evaluator must be a StickerCLIP, such as {TINY_CLIP}, got a {type(network).__name__}")
    return network.eval()


def dynamic_degrees(raft_weights: str | None) -> list[DynamicDegree]:
    """Dynamic degrees by Farnebäck's flow, and by RAFT's flow if its weights are given."""
    found = [DynamicDegree(farneback_flow, "farneback", FLOW_BACKGROUND)]
    if raft_weights:
        from glassine.pretrained.raft import raft

        small = Path(raft_weights).name.startswith("raft_small")
        name = "raft_small" if small else "raft_large"
        found.append(DynamicDegree(raft(raft_weights, small), name, FLOW_BACKGROUND))
    return found

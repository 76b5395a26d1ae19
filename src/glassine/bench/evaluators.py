"""Metrics of generated clips and their networks: the shipped ones, and the field's where weights are given."""

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
from glassine.metrics.dynamic_degree import DynamicDegree, farneback_flow
from glassine.metrics.fvd import FVD, KVD, VideoDistance
from glassine.metrics.vqa import VQA
from glassine.models.sticker_clip import StickerCLIP
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest

TINY_VIDEO, TINY_CLIP = "glassine:tiny-video", "glassine:tiny-clip"
BATCH = 16
# Layer-Animate's clips lie on gray, which "significantly skews" the flow; so does any other flat color
FLOW_BACKGROUND = "gray"


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
    """All metrics of generated clips, on white unless stated otherwise.

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
        """Changes with any weight of our own networks, and with the sources of the others."""
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
            backgrounds: of the clips that Fréchet and kernel distances are computed on.
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
        if (quality := self.quality) is not None:
            quality.reset()
            for part in made.split(BATCH):
                quality.update(part.to(self.device))
            found |= quality.compute()
        return {name: float(value) for name, value in found.items()}

    def metric_names(self, frames: int, backgrounds: Sequence[str] = ("white",)) -> list[str]:
        """Names of the scores of clips of so many frames, without the counts beside them."""
        quality = [self.quality.name] if self.quality is not None else []
        metrics: list[Any] = [*self.distances(frames, backgrounds), *self.fits()]
        return [*(name for metric in metrics for name in metric.names), *quality]

    @cached_property
    def quality(self) -> VQA | None:
        """FAST-VQA, where its weights are given."""
        if self.sources.fast_vqa is None:
            return None
        from glassine.pretrained.fast_vqa import fast_vqa

        return VQA(fast_vqa(self.sources.fast_vqa), "fast_b").to(self.device)

    @cached_property
    def flows(self) -> list[DynamicDegree]:
        """See `dynamic_degrees`."""
        return dynamic_degrees(self.sources.raft)

    def distances(self, frames: int, backgrounds: Sequence[str]) -> list[VideoDistance]:
        """Fréchet and kernel distances: of our own video encoder, and of I3D where its weights are given."""
        own = f"native_{frames}f"
        networks: list[tuple[Any, str, str]] = [(VideoFeatures(self.video), "glassine", own)]
        if self.sources.i3d is not None:
            networks.append((self.i3d, "i3d", "rep2_16f" if frames == 8 else own))
        return [kind(*network, backgrounds).to(self.device) for network in networks for kind in (FVD, KVD)]

    def fits(self) -> list[ClipScores]:
        """How well clips fit captions: by our own image-text model, and by CLIP where one is given."""
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
        """I3D; its weights are given."""
        from glassine.pretrained.i3d import i3d

        return i3d(str(self.sources.i3d))

    @cached_property
    def clip(self) -> Any:
        """CLIP; its weights are given."""
        from glassine.pretrained.clip import CLIP

        return CLIP(str(self.sources.clip)).to(self.device)


def own_network(source: str) -> StickerCLIP:
    """The evaluator in a bundle or run; UserError where it is none."""
    network = load_network(source, "clip").network
    if not isinstance(network, StickerCLIP):
        raise UserError(f"evaluator must be a StickerCLIP, such as {TINY_CLIP}, got a {type(network).__name__}")
    return network.eval()


def dynamic_degrees(raft_weights: str | None) -> list[DynamicDegree]:
    """Dynamic degrees by Farnebäck's flow, and by RAFT's where its weights are given."""
    found = [DynamicDegree(farneback_flow, "farneback", FLOW_BACKGROUND)]
    if raft_weights:
        from glassine.pretrained.raft import raft

        small = Path(raft_weights).name.startswith("raft_small")
        name = "raft_small" if small else "raft_large"
        found.append(DynamicDegree(raft(raft_weights, small), name, FLOW_BACKGROUND))
    return found

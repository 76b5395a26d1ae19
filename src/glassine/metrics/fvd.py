"""Fréchet video distance, with the network handed in and everything it depends on in its name."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from glassine.errors import UserError
from glassine.metrics.composite import background_colour
from glassine.metrics.frechet import Ddof, Moments, feature_moments, frechet_distance
from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name

# which frames of a clip the network sees; the clip must have as many as the largest index asks for
PROTOCOLS: dict[str, tuple[int, ...]] = {
    "rep2_16f": tuple(frame for frame in range(8) for _ in range(2)),
    "pingpong_16f": (*range(8), *reversed(range(8))),
    "native_8f": tuple(range(8)),
    "native_16f": tuple(range(16)),
}


class VideoFeatures(Protocol):
    """A feature network: opaque clips `b f 3 h w` in [0, 1] to features `b d`; its resizing and scaling are its own."""

    @property
    def num_features(self) -> int:
        """The `d` of its features."""

    @property
    def frames(self) -> tuple[int, int | None]:
        """The fewest and the most frames it takes; None for no limit."""

    def __call__(self, clips: Tensor) -> Tensor:
        """Features `b d` of clips `b f 3 h w`."""


def usable_protocols(frames: tuple[int, int | None]) -> str:
    """The names of the protocols that give a network as many frames as it takes."""
    fewest, most = frames
    return ", ".join(
        f"{name} (clips of {max(index) + 1} frames)"
        for name, index in PROTOCOLS.items()
        if fewest <= len(index) and (most is None or len(index) <= most)
    )


class VideoDistance(GeneratedClipMetric):
    """What distances between two sets of clips share: which frames a network sees of them, and on what background.

    I3D takes at least 9 frames and stickers have 8, so a protocol says what the network sees instead: `rep2_16f` each
    frame twice, `pingpong_16f` the clip forwards and then backwards, `native_8f` and `native_16f` the clip as it is.
    Numbers of different protocols, backgrounds or networks cannot be compared; their names keep them apart.

    Args:
        family: of the results' names, `fvd` or `kvd`.
        network: see `VideoFeatures`; for instance `glassine.pretrained.i3d.I3D`. It is frozen.
        name: what the network is called in the results: `i3d`, `videomae`, `glassine`.
        protocol: a key of `PROTOCOLS`.
        backgrounds: what transparent clips are composited on, one result each; names or `#rrggbb`.

    Raises:
        UserError: an unknown protocol, colour or name, or a protocol that gives other frames than the network takes.
    """

    higher_is_better = False

    def __init__(
        self, family: str, network: VideoFeatures, name: str, protocol: str, backgrounds: Sequence[str]
    ) -> None:
        super().__init__()
        if protocol not in PROTOCOLS:
            raise UserError(f"protocol {protocol!r} came; choose from {', '.join(PROTOCOLS)}")
        fewest, most = network.frames
        shown = len(PROTOCOLS[protocol])
        if shown < fewest or (most is not None and shown > most):
            allowed = f"{fewest} or more" if most is None else f"{fewest} to {most}" if most > fewest else f"{fewest}"
            raise UserError(
                f"{protocol} shows the network {name} {shown} frames and it takes {allowed}; "
                f"choose from {usable_protocols(network.frames) or 'other networks'}"
            )
        for background in backgrounds:
            background_colour(background)
        self.network = self.hold(network)
        self.protocol, self.backgrounds = protocol, tuple(backgrounds)
        self.names = [score_name(family, name, protocol, background) for background in backgrounds]

    def features(self, clips: Tensor) -> list[Tensor]:
        """Features `b d` of clips on each background.

        Args:
            clips: `b f c h w` in [0, 1], straight RGBA, or RGB that lies on the one background of this metric.

        Raises:
            ValueError: clips of another shape or type.
            UserError: another number of frames than the protocol takes, RGB clips for several backgrounds, values that
                are NaN or outside [0, 1], or features that are not finite.
        """
        index = PROTOCOLS[self.protocol]
        if clips.ndim == 5 and clips.shape[1] != max(index) + 1:
            raise UserError(
                f"clips of {clips.shape[1]} frames came and {self.protocol} takes {max(index) + 1}; cut them or "
                f"choose from {usable_protocols(self.network.frames)}"
            )
        if clips.ndim == 5 and clips.shape[2] == 3 and len(self.backgrounds) > 1:
            raise UserError(
                f"opaque clips cannot be laid on {' and '.join(self.backgrounds)}: "
                "hand in RGBA, or give this metric the one background that they lie on"
            )
        found = []
        for name, background in zip(self.names, self.backgrounds, strict=True):
            with exactly(clips.device):
                features = self.network(opaque_clips(clips, background)[:, list(index)])  # b d
            if not features.isfinite().all():
                raise UserError(f"the network of {name} gives NaN or infinity: check its weights")
            found.append(features)
        return found


class FVD(VideoDistance):
    """Fréchet video distance (Unterthiner et al. 2018, arXiv 1812.01717) of clips of 8 or 16 frames.

    The states are sums, so processes add theirs, and so may you: score the real clips once in a metric of
    their own and `merge_state` it into that of each method.

    Args:
        network: see `VideoDistance`.
        name: see `VideoDistance`.
        protocol: see `VideoDistance`.
        backgrounds: see `VideoDistance`.
        ddof: divisor of the covariance, see `mean_and_covariance`.

    Raises:
        UserError: see `VideoDistance`.
    """

    count: Tensor
    total: Tensor
    outer: Tensor

    def __init__(
        self,
        network: VideoFeatures,
        name: str,
        protocol: str = "rep2_16f",
        backgrounds: Sequence[str] = ("white", "black"),
        ddof: Ddof = 1,
    ) -> None:
        super().__init__("fvd", network, name, protocol, backgrounds)
        self.ddof = ddof
        sets, width = 2 * len(self.names), network.num_features  # first the generated clips of all backgrounds
        self.add_state("count", torch.zeros(sets, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(sets, width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(sets, width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, clips: Tensor, real: bool) -> None:
        """Add clips.

        Args:
            clips: see `VideoDistance.features`, also for the errors.
            real: whether they are real ones or generated.
        """
        for place, features in enumerate(self.features(clips)):
            slot = torch.tensor([place + real * len(self.names)], device=features.device)
            moments = feature_moments(features)
            self.count = self.count.index_add(0, slot, moments.samples[None])
            self.total = self.total.index_add(0, slot, moments.total[None])
            self.outer = self.outer.index_add(0, slot, moments.outer[None])

    def compute(self) -> dict[str, float]:
        """The distance on each background, and beside it, as `_n_real` and `_n_fake`, the clips it is made of.

        A distance of fewer than two real or two generated clips is NaN.
        """
        sets = [Moments(*parts) for parts in zip(self.count, self.total, self.outer, strict=True)]
        result: dict[str, float] = {}
        for place, name in enumerate(self.names):
            fake, true = sets[place], sets[place + len(self.names)]
            result[name] = frechet_distance(true, fake, self.ddof)
            result |= {f"{name}_n_real": int(true.samples), f"{name}_n_fake": int(fake.samples)}
        return result

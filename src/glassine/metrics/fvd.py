"""Fréchet and kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717), with the feature network as argument.

The name of a result contains network, frame protocol and background, since it depends on all of them. `FVD` is computed
from sums over features, which can be added over batches and processes. It has a large positive bias for few clips.
`KVD` is unbiased: for two sets from the same distribution, its expectation is zero for any number of clips.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.feature_distances import Ddof, Moments, feature_moments, frechet_distance, kernel_distance
from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color
from glassine.utils.errors import UserError

# indices of the frames given to the network; clips must have exactly as many frames as the largest index requires
PROTOCOLS: dict[str, tuple[int, ...]] = {
    "rep2_16f": tuple(frame for frame in range(8) for _ in range(2)),
    "pingpong_16f": (*range(8), *reversed(range(8))),
    "native_8f": tuple(range(8)),
    "native_16f": tuple(range(16)),
}


class VideoFeatures(Protocol):
    """A feature network: opaque clips `b f 3 h w` in [0, 1] to features `b d`, including resizing and normalization."""

    @property
    def num_features(self) -> int:
        """Width `d` of the features."""

    @property
    def frames(self) -> tuple[int, int | None]:
        """Minimum and maximum number of frames; None for no maximum."""

    def __call__(self, clips: Tensor) -> Tensor:
        """Features `b d` of clips `b f 3 h w`."""


def usable_protocols(frames: tuple[int, int | None]) -> str:
    """Names of the protocols whose number of frames is within this minimum and maximum, as text."""
    fewest, most = frames
    return ", ".join(
        f"{name} (clips of {max(index) + 1} frames)"
        for name, index in PROTOCOLS.items()
        if fewest <= len(index) and (most is None or len(index) <= most)
    )


class VideoDistance(GeneratedClipMetric):
    """Base class of distances between two sets of clips: frame protocol, background and feature network.

    I3D needs at least 9 frames, but stickers have 8. The protocol determines the network's input: `rep2_16f` repeats
    each frame, `pingpong_16f` is the clip forwards and then backwards, `native_8f` and `native_16f` are unchanged
    clips. Results for different protocols, backgrounds or networks are not comparable and have different names.

    Args:
        family: `fvd` or `kvd`, the first part of the results' names.
        network: see `VideoFeatures`; for instance `glassine.pretrained.i3d.I3D`. It is frozen.
        name: name of the network in the results, such as `i3d`, `videomae` or `glassine`.
        protocol: a key of `PROTOCOLS`.
        backgrounds: colors on which transparent clips are composited, with one result each; names or `#rrggbb`.

    Raises:
        UserError: an unknown protocol or color, an invalid name, or a protocol with a number of frames that the network
            does not support.
    """

    higher_is_better = False

    def __init__(
        self, family: str, network: VideoFeatures, name: str, protocol: str, backgrounds: Sequence[str]
    ) -> None:
        super().__init__()
        if protocol not in PROTOCOLS:
            raise UserError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
        fewest, most = network.frames
        shown = len(PROTOCOLS[protocol])
        if shown < fewest or (most is not None and shown > most):
            allowed = f"{fewest} or more" if most is None else f"{fewest} to {most}" if most > fewest else f"{fewest}"
            raise UserError(
                f"protocol must give {name} {allowed} frames, got {protocol} with {shown}: "
                f"choose from {usable_protocols(network.frames) or 'other networks'}"
            )
        for background in backgrounds:
            background_color(background)
        self.network = self.hold(network)
        self.protocol, self.backgrounds = protocol, tuple(backgrounds)
        self.names = [score_name(family, name, protocol, background) for background in backgrounds]

    def features(self, clips: Tensor) -> list[Tensor]:
        """Features of clips, `b d` for each background.

        Args:
            clips: `b f c h w` in [0, 1]: straight RGBA, or RGB if this metric has a single background.

        Raises:
            ValueError: clips of another shape or type.
            UserError: a number of frames that does not fit the protocol, RGB clips for several backgrounds, values that
                are NaN or outside [0, 1], or features that are not finite.
        """
        index = PROTOCOLS[self.protocol]
        if clips.ndim == 5 and clips.shape[1] != max(index) + 1:
            raise UserError(
                f"clips must have {max(index) + 1} frames for {self.protocol}, got {clips.shape[1]}: cut them or "
                f"choose from {usable_protocols(self.network.frames)}"
            )
        if clips.ndim == 5 and clips.shape[2] == 3 and len(self.backgrounds) > 1:
            raise UserError(
                f"clips must be RGBA for the backgrounds {' and '.join(self.backgrounds)}, got opaque RGB: "
                "pass RGBA, or give this metric the one background of the clips"
            )
        found = []
        for name, background in zip(self.names, self.backgrounds, strict=True):
            with exactly(clips.device):
                features = self.network(opaque_clips(clips, background)[:, list(index)])  # b d
            if not features.isfinite().all():
                raise UserError(f"features must be finite, got NaN or infinity for {name}: check the network's weights")
            found.append(features)
        return found


class FVD(VideoDistance):
    """Fréchet video distance (Unterthiner et al. 2018, arXiv 1812.01717) of clips of 8 or 16 frames.

    The states are sums, which are added over processes. Real clips only need to be processed once: add them to a
    separate metric and `merge_state` it into the metric of each method.

    Args:
        network: see `VideoDistance`.
        name: see `VideoDistance`.
        protocol: see `VideoDistance`.
        backgrounds: see `VideoDistance`.
        ddof: see `mean_and_covariance`.

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
        sets, width = 2 * len(self.names), network.num_features  # generated clips of all backgrounds first, then real
        self.add_state("count", torch.zeros(sets, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(sets, width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(sets, width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, clips: Tensor, real: bool) -> None:
        """Add clips.

        Args:
            clips: see `VideoDistance.features`, also for the errors.
            real: whether the clips are real or generated.
        """
        for place, features in enumerate(self.features(clips)):
            slot = torch.tensor([place + real * len(self.names)], device=features.device)
            moments = feature_moments(features)
            self.count = self.count.index_add(0, slot, moments.samples[None])
            self.total = self.total.index_add(0, slot, moments.total[None])
            self.outer = self.outer.index_add(0, slot, moments.outer[None])

    def compute(self) -> dict[str, float]:
        """The distance on each background, and its numbers of clips as `..._n_real` and `..._n_fake`.

        The distance is NaN for fewer than two real or two generated clips.
        """
        sets = [Moments(*parts) for parts in zip(self.count, self.total, self.outer, strict=True)]
        result: dict[str, float] = {}
        for place, name in enumerate(self.names):
            fake, true = sets[place], sets[place + len(self.names)]
            result[name] = frechet_distance(true, fake, self.ddof)
            result |= {f"{name}_n_real": int(true.samples), f"{name}_n_fake": int(fake.samples)}
        return result


class KVD(VideoDistance):
    """Kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717, section 3), unbiased, over all pairs of clips.

    The Fréchet distance of few clips has a large bias that depends on their number. This one has none, so it is
    meaningful for n = 200. The features of both sets, `n d` each, are kept and gathered over processes.

    Args:
        network: see `VideoDistance`.
        name: see `VideoDistance`.
        protocol: see `VideoDistance`.
        backgrounds: see `VideoDistance`.
        degree: degree of the kernel, see `kernel_distance`.

    Raises:
        UserError: see `VideoDistance`.
    """

    def __init__(
        self,
        network: VideoFeatures,
        name: str,
        protocol: str = "rep2_16f",
        backgrounds: Sequence[str] = ("white", "black"),
        degree: int = 3,
    ) -> None:
        super().__init__("kvd", network, name, protocol, backgrounds)
        self.degree = degree
        for place in range(len(self.names)):
            for kind in ("fake", "real"):
                self.add_state(f"{kind}_{place}", [], dist_reduce_fx="cat")

    def update(self, clips: Tensor, real: bool) -> None:
        """Add clips.

        Args:
            clips: see `VideoDistance.features`, also for the errors.
            real: whether the clips are real or generated.
        """
        for place, features in enumerate(self.features(clips)):
            getattr(self, f"{'real' if real else 'fake'}_{place}").append(features)

    def compute(self) -> dict[str, float]:
        """The distance on each background, and its numbers of clips as `..._n_real` and `..._n_fake`.

        The distance is NaN for fewer than two real or two generated clips.
        """
        result: dict[str, float] = {}
        for place, name in enumerate(self.names):
            real, fake = (self.kept(f"{kind}_{place}") for kind in ("real", "fake"))
            result[name] = kernel_distance(real, fake, self.degree)
            result |= {f"{name}_n_real": len(real), f"{name}_n_fake": len(fake)}
        return result

    def kept(self, state: str) -> Tensor:
        """The features `n d` of one set, by the name of its state."""
        features = getattr(self, state)
        # a list before processes are synchronized; empty before the first update
        return dim_zero_cat(features) if len(features) else torch.zeros(0, self.network.num_features)

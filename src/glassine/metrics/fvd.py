"""Fréchet and kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717), with the feature network as argument.

The name of a result contains network, frame protocol and background, since it depends on all of them. `FVD` is computed
from sums over features, which can be added over batches and processes. It has a large positive bias for few clips.
`KVD` is unbiased: for two sets from the same distribution, its expectation is zero for any number of clips.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color
from glassine.utils.errors import UserError

Ddof = Literal[0, 1]


class Moments(NamedTuple):
    """Sums over `n` features of width `d`; the moments of a union of sets are the sums of their fields."""

    samples: Tensor  # (), int64
    total: Tensor  # d, float64: sum of the features
    outer: Tensor  # d d, float64: sum of their outer products


def feature_moments(features: Tensor) -> Moments:
    """Moments of features `n d`, computed in float64."""
    wide = features.detach().double()
    return Moments(torch.tensor(len(wide), device=wide.device), wide.sum(0), wide.T @ wide)


def mean_and_covariance(moments: Moments, ddof: Ddof = 1) -> tuple[Tensor, Tensor]:
    """The features' mean `d` and covariance `d d`, float64.

    Args:
        moments: moments of at least two features.
        ddof: the covariance is divided by n - ddof. 1 as in TF-GAN and numpy, and the original FVD; 0 as in StyleGAN-V
            and CD-FVD.
    """
    mean = moments.total / moments.samples
    scatter = moments.outer - moments.samples * torch.outer(mean, mean)
    return mean, (scatter + scatter.T) / 2 / (moments.samples - ddof)


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix `d d`."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # rounding makes some zero eigenvalues negative


def frechet_distance(first: Moments, second: Moments, ddof: Ddof = 1) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017, equation 6).

    S1 S2 has the same eigenvalues as the symmetric S1^(1/2) S2 S1^(1/2), so that no root of an asymmetric matrix is
    needed and the result is real. It is also defined for fewer features than dimensions. For small sets it has a large
    positive bias, so compare only at equal counts.

    Args:
        first: moments of one set.
        second: moments of the other set, of the same width.
        ddof: see `mean_and_covariance`.

    Returns:
        At least 0; NaN if a set has fewer than two features.
    """
    if min(first.samples.item(), second.samples.item()) < 2:
        return float("nan")
    # on the CPU, for the same result on all machines; some accelerators have no float64
    (mean1, cov1), (mean2, cov2) = (
        mean_and_covariance(Moments(*(part.cpu() for part in moments)), ddof) for moments in (first, second)
    )
    root1 = root(cov1)
    product = root1 @ cov2 @ root1
    shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * shared
    return max(distance.item(), 0.0)


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


def kernel_distance(first: Tensor, second: Tensor, degree: int = 3) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / d + 1)^degree (arXiv 1801.01401, eqs. 3 and 4).

    Args:
        first: features `n d` of one set.
        second: features `m d` of the other set.
        degree: degree of the polynomial kernel; 3 in KID and KVD.

    Returns:
        The distance, computed in float64; around 0, possibly negative, for sets from the same distribution. NaN if a
        set has fewer than two features.
    """
    n, m = len(first), len(second)
    if min(n, m) < 2:
        return float("nan")
    x, y = (features.detach().double().cpu() for features in (first, second))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** degree

    within = [(found.sum() - found.trace()) / (k * (k - 1)) for found, k in ((kernel(x, x), n), (kernel(y, y), m))]
    return float(within[0] + within[1] - 2 * kernel(x, y).mean())


def weighted_kernel_distance(
    first: Tensor, second: Tensor, first_weights: Tensor, second_weights: Tensor, degree: int = 3
) -> Tensor:
    """`kernel_distance` of weighted sets, for bootstrap resampling, where weights count how often a clip was drawn.

    A clip is never compared with itself, even if it was drawn several times, so that resampling does not increase the
    distance.

    Args:
        first: features `n d` of one set.
        second: features `m d` of the other set.
        first_weights: `k n`, at least 0; all ones for the original set.
        second_weights: `k m`.
        degree: degree of the polynomial kernel.

    Returns:
        `k` float64: the distance for each of the k weightings; NaN if a set has fewer than two features.
    """
    x, y = (features.detach().double().cpu() for features in (first, second))
    u, v = (weights.double().cpu() for weights in (first_weights, second_weights))
    if min(len(x), len(y)) < 2:
        return torch.full((len(u),), torch.nan, dtype=torch.float64)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** degree

    def within(features: Tensor, weights: Tensor) -> Tensor:
        found = kernel(features, features).fill_diagonal_(0)
        pairs = weights.sum(1).square() - weights.square().sum(1)
        return ((weights @ found) * weights).sum(1) / pairs

    between = ((u @ kernel(x, y)) * v).sum(1) / (u.sum(1) * v.sum(1))
    return within(x, u) + within(y, v) - 2 * between


def weighted_frechet_distance(
    first: Tensor, second: Tensor, first_weights: Tensor, second_weights: Tensor, ddof: Ddof = 1
) -> Tensor:
    """`frechet_distance` of weighted sets, `k` float64; see `weighted_kernel_distance` for the arguments.

    Repeated clips increase it, so it is not comparable with the distance of the original sets, only with other
    resampled ones.
    """
    x, y = (features.detach().double().cpu() for features in (first, second))
    found = []
    for u, v in zip(first_weights.double().cpu(), second_weights.double().cpu(), strict=True):
        moments = [
            Moments(weights.sum(), weights @ features, (features * weights[:, None]).T @ features)
            for features, weights in ((x, u), (y, v))
        ]
        found.append(frechet_distance(moments[0], moments[1], ddof))
    return torch.tensor(found, dtype=torch.float64)


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

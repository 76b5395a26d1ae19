"""Fréchet and kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717), with the feature network as argument.

The name of a result states all that it depends on: network, frames and background. `FVD` is computed from sums of
features, which can be added over batches and processes. Its value for few clips is far too large; `KVD` is unbiased,
with expectation zero for two sets of one distribution, at any number of clips.
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
    """What is kept of `n` features of width `d`; the moments of two sets are added field by field."""

    samples: Tensor  # (), int64
    total: Tensor  # d, float64: sum of the features
    outer: Tensor  # d d, float64: sum of their outer products


def feature_moments(features: Tensor) -> Moments:
    """Sum up features `n d`, in float64 whatever their type."""
    wide = features.detach().double()
    return Moments(torch.tensor(len(wide), device=wide.device), wide.sum(0), wide.T @ wide)


def mean_and_covariance(moments: Moments, ddof: Ddof = 1) -> tuple[Tensor, Tensor]:
    """The features' mean `d` and covariance `d d`, float64.

    Args:
        moments: of at least two features.
        ddof: what is taken off the count that the covariance is divided by. 1 is TF-GAN's and numpy's way, which the
            first FVD was computed with; 0 is that of StyleGAN-V's and CD-FVD's statistics.
    """
    mean = moments.total / moments.samples
    scatter = moments.outer - moments.samples * torch.outer(mean, mean)
    return mean, (scatter + scatter.T) / 2 / (moments.samples - ddof)


def root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix `d d`."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # rounding leaves some of the zeros below zero


def frechet_distance(first: Moments, second: Moments, ddof: Ddof = 1) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017, equation 6).

    S1 S2 has the eigenvalues of the symmetric S1^(1/2) S2 S1^(1/2), so no root of an unsymmetric matrix is needed and
    the result is real. It also holds for fewer features than dimensions; such a distance is far too large for
    a small set, though, and only comparable at equal counts.

    Args:
        first: moments of one set.
        second: moments of the other, of the same width.
        ddof: see `mean_and_covariance`.

    Returns:
        At least 0; NaN if a set has fewer than two features.
    """
    if min(first.samples.item(), second.samples.item()) < 2:
        return float("nan")
    # the eigenvalues are wanted in float64 and the same everywhere: not every accelerator has them
    (mean1, cov1), (mean2, cov2) = (
        mean_and_covariance(Moments(*(part.cpu() for part in moments)), ddof) for moments in (first, second)
    )
    root1 = root(cov1)
    product = root1 @ cov2 @ root1
    shared = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * shared
    return max(distance.item(), 0.0)


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
        UserError: an unknown protocol, color or name, or a protocol that gives other frames than the network takes.
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


def kernel_distance(first: Tensor, second: Tensor, degree: int = 3) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / d + 1)^degree (arXiv 1801.01401, eqs. 3 and 4).

    Args:
        first: features `n d` of one set.
        second: features `m d` of the other.
        degree: of the polynomial; 3 in KID and in KVD.

    Returns:
        In float64; around 0, and so also below, where both sets are drawn from the same. NaN if a set has fewer than
        two features.
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
    """`kernel_distance` of weighted sets: of resampled ones, whose weights say how often each clip was drawn.

    No clip is compared with itself, however often it was drawn, so that resampling does not raise the distance.

    Args:
        first: features `n d` of one set.
        second: features `m d` of the other.
        first_weights: `k n`, at least 0; all ones for the set as it is.
        second_weights: `k m`.
        degree: of the polynomial.

    Returns:
        A distance for each of the k weightings, float64.
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
    """`frechet_distance` of weighted sets; see `weighted_kernel_distance`.

    Clips that were drawn several times make it larger than that of the set as it is: only differences between draws
    mean something.
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
    """Kernel video distance (Unterthiner et al. 2018, arXiv 1812.01717, section 3), unbiased and over all pairs.

    A Fréchet distance of few clips is too large by much, and by another amount for each number of clips; this one is
    not, so it can be read at n = 200. Features are kept, `n d` of each set, and processes join theirs.

    Args:
        network: see `VideoDistance`.
        name: see `VideoDistance`.
        protocol: see `VideoDistance`.
        backgrounds: see `VideoDistance`.
        degree: of the kernel, see `kernel_distance`.

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
            real: whether they are real ones or generated.
        """
        for place, features in enumerate(self.features(clips)):
            getattr(self, f"{'real' if real else 'fake'}_{place}").append(features)

    def compute(self) -> dict[str, float]:
        """The distance on each background, and beside it, as `_n_real` and `_n_fake`, the clips it is made of.

        A distance of fewer than two real or two generated clips is NaN.
        """
        result: dict[str, float] = {}
        for place, name in enumerate(self.names):
            real, fake = (self.kept(f"{kind}_{place}") for kind in ("real", "fake"))
            result[name] = kernel_distance(real, fake, self.degree)
            result |= {f"{name}_n_real": len(real), f"{name}_n_fake": len(fake)}
        return result

    def kept(self, state: str) -> Tensor:
        """The features `n d` of one set."""
        features = getattr(self, state)
        # a list until processes have joined theirs; nothing has come yet where it is empty
        return dim_zero_cat(features) if len(features) else torch.zeros(0, self.network.num_features)

"""Distances between two sets of features `n d`: Fréchet and kernel distance, also of weighted sets for the bootstrap.

The Fréchet distance is computed from `Moments`, sums which can be added over batches and processes. The kernel distance
needs all features. Both are computed in float64 on the CPU; `glassine.metrics.fvd` applies them to clips.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

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

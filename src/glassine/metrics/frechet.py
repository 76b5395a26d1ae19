"""Fréchet distance between two sets of features, from sums that can be added over batches and processes."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

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

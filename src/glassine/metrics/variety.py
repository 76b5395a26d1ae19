"""How different pictures are from each other and from the nearest one in training, by their features."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_distances(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine, `n m` in [0, 2], of features `n d` and `m d`."""
    return 1 - F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T


def mean_pairwise_distance(features: Tensor) -> float:
    """The mean over all pairs of different rows of `n d`; NaN for fewer than two."""
    count = len(features)
    if count < 2:
        return float("nan")
    distances = cosine_distances(features, features)
    return float((distances.sum() - distances.trace()) / (count * (count - 1)))


def nearest(features: Tensor, bank: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest of a bank to each row.

    Args:
        features: `n d`.
        bank: `m d`.
        allowed: `n m` bool, which of the bank may be taken; None for all.

    Returns:
        Cosine distances `n` and rows of the bank `n`; infinity where nothing is allowed.
    """
    distances = cosine_distances(features, bank)
    if allowed is not None:
        distances = torch.where(allowed, distances, torch.inf)
    found = distances.min(dim=1)
    return found.values, found.indices

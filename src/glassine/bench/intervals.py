"""Percentile bootstrap intervals: how far a mean, or a ratio of means, may be off by the choice of the items."""

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """A value and the ends of its interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


def mean_interval(values: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of one value an item, `n`.

    Args:
        values: of independent items, such as names; several stickers of one name are averaged first.
        level: of the interval.
        draws: of `n` items with replacement.
        seed: of the draws.
    """
    return ratio_interval(values, torch.ones_like(values), level, draws, seed)


def ratio_interval(over: Tensor, under: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of `over` by the mean of `under`, where both have a value for each item: the items are drawn in pairs.

    Args:
        over: `n`.
        under: `n`, of the same items.
        level: see `mean_interval`.
        draws: see `mean_interval`.
        seed: see `mean_interval`.

    Raises:
        ValueError: other numbers of values, or a level outside (0, 1).
    """
    if over.shape != under.shape or over.ndim != 1:
        raise ValueError(f"over and under must be n and n, got {tuple(over.shape)} and {tuple(under.shape)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if not len(over):
        return Interval(*[float("nan")] * 3)
    pair = torch.stack([over, under]).double().cpu()  # 2 n
    rows = torch.randint(len(over), (draws, len(over)), generator=torch.Generator().manual_seed(seed))
    above, below = pair[:, rows].mean(dim=2)  # draws
    tail = (1 - level) / 2
    low, high = (above / below).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    value = (pair[0].mean() / pair[1].mean()).item()
    return Interval(value, low, high)

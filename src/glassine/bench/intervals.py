"""Intervals by resampling: of means, of ratios, and of gaps between two rows that share their stickers.

What is drawn with replacement is groups, never single clips: several clips of one group (seeds of a caption, variants
of an emoji) say the same thing several times. The draws of a set of groups are the same in every process, so the draws
of two rows that were measured on different days are paired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

DRAWS = 2000  # of means
DISTANCE_DRAWS = 200  # of distances, each of which is computed anew


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


def group_weights(groups: Sequence[str], draws: int = DRAWS, among: Sequence[str] | None = None) -> Tensor:
    """How often the group of each item is drawn, `draws n` float64: as many groups as there are, with replacement.

    Args:
        groups: of each item, n.
        draws: how many.
        among: all groups that are drawn from; None for those of the items. Items of other groups are drawn apart.

    Returns:
        The same for the same set of groups, whatever the items' order.
    """
    pool = sorted(set(groups if among is None else among))
    others = sorted(set(groups) - set(pool))
    weights: dict[str, Tensor] = {}
    for seed, names in enumerate((pool, others)):
        if names:
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randint(len(names), (draws, len(names)), generator=generator)
            counts = torch.zeros(draws, len(names), dtype=torch.float64)
            counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
            weights |= dict(zip(names, counts.T, strict=True))
    return torch.stack([weights[group] for group in groups], dim=1)


def mean_draws(values: Tensor, weights: Tensor) -> Tensor:
    """Means of `n` values over draws of their groups, `draws`; NaN values are left out.

    Args:
        values: `n`.
        weights: `draws n`, see `group_weights`.
    """
    known = values.isfinite()
    kept = weights[:, known]
    return kept @ values[known].double() / kept.sum(1)


def gap_interval(gap: float, first: Sequence[Tensor], second: Sequence[Tensor], level: float = 0.95) -> Interval:
    """The interval of a gap between two rows, over paired draws of groups and over draws of each row's seeds.

    It is laid around the gap: a Fréchet distance of a draw is larger than that of the whole set, of both rows alike, so
    the draws tell how wide the interval is and not where it lies.

    Args:
        gap: the first row's value minus the second's.
        first: of each seed of the first row, its value in each draw of groups, `draws`.
        second: likewise, of the same draws.
        level: of the interval.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = seed_draws(first, generator) - seed_draws(second, generator)
    tail = (1 - level) / 2
    spread = drawn[drawn.isfinite()]
    if not len(spread):
        return Interval(gap, float("nan"), float("nan"))
    ends = (spread - spread.mean()).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return Interval(gap, gap + float(ends[0]), gap + float(ends[1]))


def seed_draws(seeds: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """The mean over seeds in each draw, `draws`, where seeds are drawn with replacement, too."""
    table = torch.stack([seed.double() for seed in seeds])  # k draws
    chosen = torch.randint(len(table), table.shape, generator=generator)
    return table.gather(0, chosen).mean(0)

"""Bootstrap confidence intervals: of means, of ratios, and of gaps between two rows with the same stickers.

Groups are drawn with replacement, never single clips, since several clips of one group (seeds of a caption, variants of
an emoji) are not independent. The draws for a set of groups are the same in every process, so two rows can be compared
in pairs even if they were measured on different days.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

DRAWS = 2000  # for means
DISTANCE_DRAWS = 200  # for distances, which must be computed again for each draw


class Interval(NamedTuple):
    """A value and the ends of its interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


def mean_interval(values: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Bootstrap interval of the mean of `n` values.

    Args:
        values: `n`, of independent items such as names; average several stickers of one name first.
        level: confidence level, in (0, 1).
        draws: number of draws, each of `n` items with replacement.
        seed: of the draws.

    Raises:
        ValueError: `level` is outside (0, 1).
    """
    return ratio_interval(values, torch.ones_like(values), level, draws, seed)


def ratio_interval(over: Tensor, under: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Bootstrap interval of the mean of `over` divided by the mean of `under`; items are drawn in pairs.

    Args:
        over: `n`.
        under: `n`, of the same items.
        level: see `mean_interval`.
        draws: see `mean_interval`.
        seed: see `mean_interval`.

    Raises:
        ValueError: `over` and `under` are not both `n`, or `level` is outside (0, 1).
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
    """Bootstrap weights of items: how often the group of each item is drawn. Each draw has as many groups as the pool.

    Args:
        groups: group of each item, `n`.
        draws: number of draws.
        among: pool of groups to draw from; None for those of the items. Items of other groups get independent draws.

    Returns:
        `draws n` float64. The weights of a group depend only on the set of groups, not on the order of the items.
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
    """Weighted mean of `n` values in each draw, `draws` float64; NaN and infinite values are left out.

    Args:
        values: `n`.
        weights: `draws n`, see `group_weights`.
    """
    known = values.isfinite()
    kept = weights[:, known]
    return kept @ values[known].double() / kept.sum(1)


def gap_interval(gap: float, first: Sequence[Tensor], second: Sequence[Tensor], level: float = 0.95) -> Interval:
    """Bootstrap interval of a gap between two rows, over paired draws of groups and draws of each row's seeds.

    The interval is centered on the gap: the Fréchet distance of a draw is larger than that of the whole set, so the
    draws determine the width of the interval but not its location.

    Args:
        gap: the first row's value minus the second's.
        first: for each seed of the first row, its value in each draw of groups, `draws`.
        second: for each seed of the second row, its value in the same draws.
        level: confidence level, in (0, 1).

    Returns:
        The gap and its interval; the ends are NaN if no draw is finite.
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
    """Mean over seeds in each draw, `draws`; the seeds are drawn with replacement as well."""
    table = torch.stack([seed.double() for seed in seeds])  # k draws
    chosen = torch.randint(len(table), table.shape, generator=generator)
    return table.gather(0, chosen).mean(0)

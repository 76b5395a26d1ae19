"""Gaps between two rows of a table with paired confidence intervals, and verdicts on a paper's ordering of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from glassine.bench.intervals import DISTANCE_DRAWS, Interval, gap_interval, group_weights, mean_draws
from glassine.bench.records import Cell, Record

Word = Literal["holds", "reversed", "undecided", "not measured"]
SEEDS = 3  # with fewer trainings, an ordering is undecided


@dataclass(frozen=True)
class Gap:
    """The first row's value minus the second's.

    Attributes:
        interval: the gap and its 95% confidence interval; the ends are NaN if the records hold no per-clip values or
            draws to compute them from.
        items: number of clips of each row; 0 if unknown.
        groups: number of groups of these clips; 0 if unknown.
        seeds: number of trainings of the first and of the second row.
        values: mean score of the first and of the second row.
    """

    interval: Interval
    items: int
    groups: int
    seeds: tuple[int, int]
    values: tuple[float, float]

    @property
    def has_interval(self) -> bool:
        """Whether the ends of the interval are known."""
        return self.interval.low == self.interval.low  # False for NaN


def row_gap(first: Sequence[Record], second: Sequence[Record], score: str, conditions: Sequence[str]) -> Gap | None:
    """The gap between two rows in one score, averaged over conditions.

    Args:
        first: records (seeds) of the first row.
        second: records (seeds) of the second row.
        score: name of the score.
        conditions: those under which all records have the score are averaged.

    Returns:
        The gap; None if the rows share no condition with the score.
    """
    records = [*first, *second]
    shared = [name for name in conditions if all(value_of(record, name, score) is not None for record in records)]
    if not shared or not first or not second:
        return None
    means = [[mean(record, shared, score) for record in row] for row in (first, second)]
    values = sum(means[0]) / len(first), sum(means[1]) / len(second)
    gap, seeds = values[0] - values[1], (len(first), len(second))
    groups = shared_groups(records, shared, score)
    if not groups:
        return Gap(Interval(gap, float("nan"), float("nan")), 0, 0, seeds, values)
    firsts, seconds = ([draws_of(record, shared, score, groups) for record in row] for row in (first, second))
    cells = [record.conditions[name] for record in records for name in shared]
    items = min(len(cell.per_item(score)) or len(cell.keys) for cell in cells)
    return Gap(gap_interval(gap, firsts, seconds), items, len(groups), seeds, values)


def value_of(record: Record, condition: str, score: str) -> float | None:
    """A score of a record under a condition; None if it was not measured."""
    cell = record.conditions.get(condition)
    return None if cell is None else cell.scores.get(score)


def mean(record: Record, conditions: Sequence[str], score: str) -> float:
    """Mean of a score over those `conditions` that the record has it for, at least one."""
    values = [value for name in conditions if (value := value_of(record, name, score)) is not None]
    return sum(values) / len(values)


def shared_groups(records: Sequence[Record], conditions: Sequence[str], score: str) -> list[str]:
    """The groups of the cells, if all cells have the same ones; else an empty list, since they cannot be paired."""
    sets = [groups_of(record.conditions[name], score) for record in records for name in conditions]
    return sorted(sets[0]) if all(one == sets[0] for one in sets) else []


def groups_of(cell: Cell, score: str) -> set[str]:
    """The groups that the score's draws or per-clip values in the cell are of."""
    return set(cell.groups) if score in cell.draws else {group for group, _ in cell.per_item(score).values()}


def draws_of(record: Record, conditions: Sequence[str], score: str, groups: Sequence[str]) -> Tensor:
    """The record's score in each bootstrap draw of the groups, averaged over conditions, `draws` float64."""
    found = []
    for name in conditions:
        cell = record.conditions[name]
        if score in cell.draws:
            found.append(torch.tensor(cell.draws[score][:DISTANCE_DRAWS], dtype=torch.float64))
            continue
        items = list(cell.per_item(score).values())
        values = torch.tensor([value for _, value in items], dtype=torch.float64)
        found.append(mean_draws(values, group_weights([group for group, _ in items], among=groups)))
    return torch.stack(found).mean(0)


def signed(gap: Gap | None, digits: int = 2) -> str:
    """The gap as text, such as `+0.41 [0.10, 0.72]`; without the interval if it is unknown; a dash for None."""
    if gap is None:
        return "–"
    value, low, high = gap.interval
    ends = f" [{low:.{digits}f}, {high:.{digits}f}]" if gap.has_interval else ""
    return f"{value:+.{digits}f}{ends}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on an ordering.

    Attributes:
        word: `holds` or `reversed` only if none of the reasons against a decision applies, see `judge`.
        reason: why the ordering is undecided; may be empty.
        gap: by how much the paper's better row is better here; above 0 agrees with the paper.
    """

    word: Word
    reason: str = ""
    gap: Gap | None = None


def judge(
    better: Sequence[Record],
    worse: Sequence[Record],
    score: str,
    conditions: Sequence[str],
    higher_is_better: bool,
    starts: Sequence[Record] = (),
    floors: Sequence[Record] = (),
) -> Verdict:
    """Judge whether a row that a paper reports as better than another is also better here.

    Args:
        better: records (seeds) of the paper's better row.
        worse: records (seeds) of the paper's worse row.
        score: the score that is compared.
        conditions: see `row_gap`.
        higher_is_better: whether a higher score is better.
        starts: networks before training (step 0). If a trained row is worse than step 0, or no step 0 is known, the
            ordering is undecided.
        floors: for distances, real clips scored as if they had been generated. Two rows that are at least as close to
            the test clips as these cannot be distinguished, so their ordering is undecided.

    Returns:
        `not measured` without a gap; `undecided` with few seeds, no interval, an interval that contains 0, or for the
        reasons above; else `holds` or `reversed`.
    """
    gap = row_gap(better, worse, score, conditions)
    if gap is None:
        return Verdict("not measured")
    sign = 1 if higher_is_better else -1
    value, low, high = (sign * end for end in gap.interval)
    agreeing = Gap(Interval(value, min(low, high), max(low, high)), gap.items, gap.groups, gap.seeds, gap.values)
    few = [len(row) for row in (better, worse) if len(row) < SEEDS and any(r.costs.get("parameters") for r in row)]
    if few:
        return Verdict("undecided", f"{min(few)} seed{'s' if min(few) > 1 else ''}", agreeing)
    if not gap.has_interval:
        return Verdict("undecided", "no values for each sticker", agreeing)
    known = [mean(r, conditions, score) for r in starts if all(value_of(r, c, score) is not None for c in conditions)]
    if not known and any(record.costs.get("steps") for record in (*better, *worse)):
        return Verdict("undecided", "no step 0 beside it", agreeing)
    if any(sign * (row - start) < 0 for row in gap.values for start in known):
        return Verdict("undecided", "not better than step 0", agreeing)
    real = [mean(r, conditions, score) for r in floors if any(value_of(r, c, score) is not None for c in conditions)]
    if real and not higher_is_better and max(gap.values) <= max(real):
        return Verdict("undecided", "within the floor", agreeing)
    if agreeing.interval.low > 0:
        return Verdict("holds", "", agreeing)
    return Verdict("reversed", "", agreeing) if agreeing.interval.high < 0 else Verdict("undecided", "", agreeing)

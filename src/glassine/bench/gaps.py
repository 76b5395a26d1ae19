"""Gaps between two rows of a table, with paired intervals, and what they say of an ordering that a paper prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from glassine.bench.intervals import DISTANCE_DRAWS, Interval, gap_interval, group_weights, mean_draws
from glassine.bench.records import Cell, Record

Word = Literal["holds", "reversed", "undecided", "not measured"]
SEEDS = 3  # fewer trainings than this decide nothing


@dataclass(frozen=True)
class Gap:
    """The first row's value minus the second's.

    Attributes:
        interval: the gap and its ends; ends are NaN where the records do not hold what they are computed from.
        items: clips of each row, and 0 where the records do not say.
        groups: of these.
        seeds: trainings of the first and of the second row.
        values: of the two rows.
    """

    interval: Interval
    items: int
    groups: int
    seeds: tuple[int, int]
    values: tuple[float, float]

    @property
    def has_interval(self) -> bool:
        """Whether its ends are known."""
        return self.interval.low == self.interval.low


def row_gap(first: Sequence[Record], second: Sequence[Record], score: str, conditions: Sequence[str]) -> Gap | None:
    """The gap between two rows in one score, averaged over conditions.

    Args:
        first: the seeds of one row.
        second: the seeds of the other.
        score: its name.
        conditions: those that both rows have are averaged.

    Returns:
        None where a row has no value.
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
    """A score of a record; None where there is none."""
    cell = record.conditions.get(condition)
    return None if cell is None else cell.scores.get(score)


def mean(record: Record, conditions: Sequence[str], score: str) -> float:
    """Over conditions that the record has."""
    values = [value for name in conditions if (value := value_of(record, name, score)) is not None]
    return sum(values) / len(values)


def shared_groups(records: Sequence[Record], conditions: Sequence[str], score: str) -> list[str]:
    """The groups that all cells have in common; none where they are not paired, or where a cell does not say."""
    sets = [groups_of(record.conditions[name], score) for record in records for name in conditions]
    return sorted(sets[0]) if all(one == sets[0] for one in sets) else []


def groups_of(cell: Cell, score: str) -> set[str]:
    """Those that the cell's draws are of, or its items."""
    return set(cell.groups) if score in cell.draws else {group for group, _ in cell.per_item(score).values()}


def draws_of(record: Record, conditions: Sequence[str], score: str, groups: Sequence[str]) -> Tensor:
    """The record's value in each draw of the groups, averaged over conditions, `draws` float64."""
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
    """`+0.41 [0.10, 0.72]`; without ends where these are not known."""
    if gap is None:
        return "–"
    value, low, high = gap.interval
    ends = f" [{low:.{digits}f}, {high:.{digits}f}]" if gap.has_interval else ""
    return f"{value:+.{digits}f}{ends}"


@dataclass(frozen=True)
class Verdict:
    """What is to be said of an ordering.

    Attributes:
        word: `holds` and `reversed` only where nothing speaks against it.
        reason: why it is undecided, or not measured.
        gap: how much better the row is that the paper has before the other: above 0 agrees with the paper.
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
    """Whether a row that a paper has before another is before it here, too.

    Args:
        better: the seeds of the row that the paper has before.
        worse: the seeds of the other.
        score: what is compared.
        conditions: see `row_gap`.
        higher_is_better: of the score.
        starts: the networks of both rows before they were trained: a training that has not even passed its start
            decides nothing, and neither does one whose start is not known.
        floors: real clips scored as if they had been made, for distances: two rows that are as near to the test clips
            as these cannot be told apart.
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
    if any(sign * (row - start) < 0 for row in gap.values for start in known[:1]):
        return Verdict("undecided", "not better than step 0", agreeing)
    real = [mean(r, conditions, score) for r in floors if any(value_of(r, c, score) is not None for c in conditions)]
    if real and not higher_is_better and max(gap.values) <= max(real):
        return Verdict("undecided", "within the floor", agreeing)
    if agreeing.interval.low > 0:
        return Verdict("holds", "", agreeing)
    return Verdict("reversed", "", agreeing) if agreeing.interval.high < 0 else Verdict("undecided", "", agreeing)

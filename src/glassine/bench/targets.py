"""What was aimed at, beside what was reached: from `benchmarks/targets.yaml` and the records."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.method import BRIEF
from glassine.bench.records import Record
from glassine.bench.rows import NOTHING, Row, conditions_of, fixed, percent, short, to_rows

WORDS = {
    "psnr_mean": ("mean PSNR", "dB", fixed(1)),
    "psnr_share_under_20db": ("share under 20 dB", "", percent),
    "ms_per_frame": ("ms a frame", "", short),
}
OURS = frozenset(["ildiff", "ildiff_own", "cutout"])
LOWEST = {"dtssd": "dtSSD"}


def targets_table(records: Sequence[Record], targets: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: what, target, reached, and by how much it falls short.

    Args:
        records: of one setup; only the method that `targets` names is read, the mean over its seeds.
        targets: `method`; `at_least` and `at_most` of score to condition to value, or of cost to value; `above`, of the
            method that it should be better than in every condition to the score that says so; `below_all`, an error
            that should be smaller than that of every method but ILDiff's own in every condition.
    """
    rows = rows_of(records, targets["method"])
    lines = []
    for name, condition, target, sign in listed(targets):
        word, unit, write = WORDS[name]
        what = f"{word}, {CONDITION_TITLES[condition]}" if condition else word
        values = values_of(rows, name, condition)
        gap = sign * (target - statistics.fmean(values)) if values else 0.0
        limit = f"{'at least' if sign > 0 else 'at most'} {write(target)} {unit}".strip()
        reached = f"{write(statistics.fmean(values))} {unit}".strip() if values else NOTHING
        short_by = f"{write(gap)} {unit}".strip() if gap > 0 else "met"
        lines.append([what, limit, reached, short_by if values else NOTHING])
    for rival, name in targets.get("above", {}).items():
        for other in rows_of(records, rival):
            pairs = {c: (values_of(rows, name, c), values_of([other], name, c)) for c in conditions_of(records)}
            leads = {c: statistics.fmean(a) - statistics.fmean(b) for c, (a, b) in pairs.items() if a and b}
            lost = [CONDITION_TITLES[condition] for condition, lead in leads.items() if lead <= 0]
            reached = f"{len(leads) - len(lost)} of {len(leads)} conditions"
            lines.append([f"{WORDS[name][0]} above {other.label}", "everywhere", reached, ", ".join(lost) or "met"])
    if error := targets.get("below_all"):
        lines.append(below_all(records, rows, error))
    return ["", "target", "reached", "short by"], lines


def below_all(records: Sequence[Record], rows: Sequence[Row], name: str) -> list[str]:
    """The line that says which methods have as small an error."""

    def means(row: Row) -> dict[str, float]:
        return {c: statistics.fmean(v) for c in conditions_of(records) if (v := row.score(c, name))}

    what = f"lowest mean {LOWEST[name]}"
    if not rows or not (ours := means(rows[0])):
        return [what, "everywhere", NOTHING, NOTHING]
    rivals = [means(row) for row in to_rows(records) if row.records[0].method not in OURS | BRIEF]
    lost = [CONDITION_TITLES[c] for c in ours if any(theirs.get(c, math.inf) <= ours[c] for theirs in rivals)]
    return [what, "everywhere", f"{len(ours) - len(lost)} of {len(ours)} conditions", ", ".join(lost) or "met"]


def rows_of(records: Sequence[Record], method: str) -> list[Row]:
    """The rows of one method."""
    return [row for row in to_rows(records) if row.records[0].method == method]


def values_of(rows: Sequence[Row], name: str, condition: str) -> list[float]:
    """A score in a condition, or without one a cost, of all rows and seeds that have it."""
    return [value for row in rows for value in (row.score(condition, name) if condition else row.cost(name))]


def listed(targets: dict[str, Any]) -> Iterator[tuple[str, str, float, int]]:
    """Score, condition (none for a cost), value, and 1 where more is better or -1."""
    for key, sign in (("at_least", 1), ("at_most", -1)):
        for name, value in targets.get(key, {}).items():
            for condition, target in value.items() if isinstance(value, dict) else [("", value)]:
                yield name, condition, float(target), sign

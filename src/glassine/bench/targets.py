"""What was aimed at, beside what was reached: from `benchmarks/targets.yaml` and the records."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.rows import NOTHING, Row, conditions_of, fixed, percent, short, to_rows

WORDS = {
    "psnr_mean": ("mean PSNR", "dB", fixed(1)),
    "psnr_share_under_20db": ("share under 20 dB", "", percent),
    "ms_per_frame": ("ms a frame", "", short),
}


def targets_table(records: Sequence[Record], targets: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: what, target, reached, and by how much it falls short.

    Args:
        records: of one setup; only the method that `targets` names is read, the mean over its seeds.
        targets: `method`; `at_least` and `at_most` of score to condition to value, or of cost to value; `above`, of the
            method that it should be better than in every condition to the score that says so.
    """
    rows = rows_of(records, targets["method"])
    lines = []
    for name, condition, target, sign in listed(targets):
        word, unit, write = WORDS[name]
        what = f"{word}, {CONDITION_TITLES[condition]}" if condition else word
        values = [v for row in rows for v in (row.score(condition, name) if condition else row.cost(name))]
        gap = sign * (target - statistics.fmean(values)) if values else 0.0
        limit = f"{'at least' if sign > 0 else 'at most'} {write(target)} {unit}".strip()
        reached = f"{write(statistics.fmean(values))} {unit}".strip() if values else NOTHING
        short_by = f"{write(gap)} {unit}".strip() if gap > 0 else "met"
        lines.append([what, limit, reached, short_by if values else NOTHING])
    for rival, name in targets.get("above", {}).items():
        for other in rows_of(records, rival):
            scored = conditions_of(r for row in rows for r in row.records), conditions_of(other.records)
            both = [name for name in scored[0] if name in scored[1]]
            pairs = {condition: (means(rows, condition, name), means([other], condition, name)) for condition in both}
            lost = [CONDITION_TITLES[condition] for condition, (ours, theirs) in pairs.items() if ours <= theirs]
            reached = f"{len(pairs) - len(lost)} of {len(pairs)} conditions"
            lines.append([f"{WORDS[name][0]} above {other.label}", "everywhere", reached, ", ".join(lost) or "met"])
    return ["", "target", "reached", "short by"], lines


def rows_of(records: Sequence[Record], method: str) -> list[Row]:
    """The rows of one method."""
    return [row for row in to_rows(records) if row.records[0].method == method]


def means(rows: Sequence[Row], condition: str, name: str) -> float:
    """A score's mean over rows and seeds."""
    return statistics.fmean(value for row in rows for value in row.score(condition, name))


def listed(targets: dict[str, Any]) -> Iterator[tuple[str, str, float, int]]:
    """Score, condition (none for a cost), value, and 1 where more is better or -1."""
    for key, sign in (("at_least", 1), ("at_most", -1)):
        for name, value in targets.get(key, {}).items():
            for condition, target in value.items() if isinstance(value, dict) else [("", value)]:
                yield name, condition, float(target), sign

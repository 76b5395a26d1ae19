"""What was aimed at, beside what was reached: from `benchmarks/targets.yaml` and the records."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.rows import NOTHING, fixed, percent, short, to_rows

WORDS = {
    "psnr_mean": ("mean PSNR", "dB", fixed(1)),
    "psnr_share_under_20db": ("share under 20 dB", "", percent),
    "ms_per_frame": ("ms a frame", "", short),
}


def targets_table(records: Sequence[Record], targets: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: what, target, reached, and by how much it falls short.

    Args:
        records: of one setup; only the method that `targets` names is read, the mean over its seeds.
        targets: `method`, and `at_least` and `at_most` of score to condition to value, or of cost to value.
    """
    rows = [row for row in to_rows(records) if row.records[0].method == targets["method"]]
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
    return ["", "target", "reached", "short by"], lines


def listed(targets: dict[str, Any]) -> Iterator[tuple[str, str, float, int]]:
    """Score, condition (none for a cost), value, and 1 where more is better or -1."""
    for key, sign in (("at_least", 1), ("at_most", -1)):
        for name, value in targets.get(key, {}).items():
            for condition, target in value.items() if isinstance(value, dict) else [("", value)]:
                yield name, condition, float(target), sign

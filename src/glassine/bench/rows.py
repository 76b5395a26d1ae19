"""Records as rows of tables: seeds of one method together, in the table's order."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.method import TITLES
from glassine.bench.records import Record

NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """All records of one title: one, or one a seed."""

    title: str
    records: tuple[Record, ...]

    @property
    def label(self) -> str:
        """The title, with the number of seeds where there are several, or with what is missing."""
        if all(record.missing for record in self.records):
            return f"{self.title} (no weights)"
        return f"{self.title} ({len(self.records)} seeds)" if len(self.records) > 1 else self.title

    def belongs(self, condition: str) -> bool:
        """Whether the row has its place there: it is scored, or would be, had it weights."""
        return any(record.missing or condition in record.conditions for record in self.records)

    def score(self, condition: str, name: str) -> list[float]:
        """The values of one score, one a seed that has it."""
        cells = [record.conditions[condition] for record in self.records if condition in record.conditions]
        return [value for cell in cells if (value := cell.scores.get(name)) is not None]

    def cost(self, name: str) -> list[float]:
        """The values of one cost."""
        return [value for record in self.records if (value := record.costs.get(name)) is not None]


def to_rows(records: Iterable[Record]) -> list[Row]:
    """Group by title; methods in the order of `TITLES`, others after them in the order they came."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.title, []).append(record)
    order = list(TITLES)
    rows = [Row(title, tuple(kept(group))) for title, group in groups.items()]
    return sorted(rows, key=lambda row: order.index(m) if (m := row.records[0].method) in order else len(order))


def kept(records: Sequence[Record]) -> list[Record]:
    """Without those that say "no weights", where others of the same title have some."""
    return [record for record in records if not record.missing] or list(records)


def one_setup(records: Sequence[Record], split: str = "test") -> list[Record]:
    """The records of the split that share the largest set of stickers: the only ones that may stand in one table."""
    chosen = [record for record in records if record.split == split]
    if not chosen:
        return []
    setups = {record.setup: sum(r.setup == record.setup and bool(r.conditions) for r in chosen) for record in chosen}
    best = max(setups, key=lambda setup: (len(setup[3]), setups[setup], setup[1], setup[2]))
    return [record for record in chosen if record.setup == best]


def conditions_of(records: Iterable[Record]) -> list[str]:
    """The conditions that any of them has, in the table's order."""
    present = {name for record in records for name in record.conditions}
    return [name for name in CONDITION_TITLES if name in present]


def spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """One value, mean ± standard deviation of several, or a dash."""
    if not values:
        return NOTHING
    mean = write(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {write(statistics.stdev(values))}"


def typical(values: Sequence[float], write: Callable[[float], str]) -> str:
    """The median of measurements of the same thing, or a dash."""
    return write(statistics.median(values)) if values else NOTHING


def fixed(digits: int) -> Callable[[float], str]:
    """A number with so many decimals."""
    return lambda value: f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share as a whole percentage; one decimal where it is small."""
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{100 * value:.1f}%" if 0 < value < 0.0095 else f"{100 * value:.0f}%"


def short(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def parameters(value: float) -> str:
    """A number of parameters in thousands or millions."""
    if value == 0:
        return "0"
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def mean_over(row: Row, conditions: Sequence[str], name: str) -> list[float]:
    """A score's mean over the conditions, one a seed."""
    per_seed = []
    for record in row.records:
        values = [v for c in conditions if (v := record.conditions[c].scores.get(name)) is not None]
        if values:
            per_seed.append(statistics.fmean(values))
    return per_seed


def after_steps(record: Record) -> str:
    """One sentence: what the numbers of an ablation's table are of."""
    return (
        f"After {record.costs['steps']:.0f} steps each; mean alpha PSNR in dB (share under 20 dB) over "
        f"{len(record.stickers)} stickers of `{record.data}`, split `{record.split}`, {record.num_frames} frames of "
        f"{record.size} x {record.size};"
    )

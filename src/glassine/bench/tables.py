"""Group records into rows of tables, and format tables as Markdown or in the terminal."""

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from glassine.bench.methods import TITLES
from glassine.bench.protocols import CONDITION_TITLES
from glassine.bench.records import Cell, Record
from glassine.utils.files import atomic_path

Table = tuple[list[str], list[list[str]]]
"""Head, and rows with as many cells."""
NOTHING = "–"
ILDIFF_PUBLISHED = ("published PSNR (TASD-T)", "published SSIM (TASD-T)")


@dataclass(frozen=True)
class Row:
    """All records with one title: a single one, or one for each seed."""

    title: str
    records: tuple[Record, ...]

    @property
    def label(self) -> str:
        """The title, with the number of seeds if there are several, or a note if the weights are missing."""
        if all(record.missing for record in self.records):
            return f"{self.title} (no weights)"
        return f"{self.title} ({len(self.records)} seeds)" if len(self.records) > 1 else self.title

    def belongs(self, condition: str) -> bool:
        """Whether the row is shown in the table of a condition: it was evaluated there, or its weights are missing."""
        return any(record.missing or condition in record.conditions for record in self.records)

    def score(self, condition: str, name: str) -> list[float]:
        """The values of a score, one for each seed."""
        cells = [record.conditions[condition] for record in self.records if condition in record.conditions]
        return [value for cell in cells if (value := cell.scores.get(name)) is not None]

    def cost(self, name: str) -> list[float]:
        """The values of a cost, one for each seed."""
        return [value for record in self.records if (value := record.costs.get(name)) is not None]


def to_rows(records: Iterable[Record]) -> list[Row]:
    """Group records by title: first methods in the order of `TITLES`, then others in the order of the records."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.title, []).append(record)
    order = list(TITLES)
    rows = [Row(title, tuple(kept(group))) for title, group in groups.items()]
    return sorted(rows, key=lambda row: order.index(m) if (m := row.records[0].method) in order else len(order))


def kept(records: Sequence[Record]) -> list[Record]:
    """The records that have weights; all of them if none has."""
    return [record for record in records if not record.missing] or list(records)


def one_setup(records: Sequence[Record], split: str = "test") -> list[Record]:
    """The records of the split with the largest common set of stickers; only these may be in one table."""
    chosen = [record for record in records if record.split == split]
    if not chosen:
        return []
    setups = {record.setup: sum(r.setup == record.setup and bool(r.conditions) for r in chosen) for record in chosen}
    best = max(setups, key=lambda setup: (len(setup[3]), setups[setup], setup[1], setup[2]))
    return [record for record in chosen if record.setup == best]


def conditions_of(records: Iterable[Record]) -> list[str]:
    """The conditions of the records, in the order of the table."""
    present = {name for record in records for name in record.conditions}
    return [name for name in CONDITION_TITLES if name in present]


def spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """A single value, the mean ± standard deviation of several, or a dash for none."""
    if not values:
        return NOTHING
    mean = write(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {write(statistics.stdev(values))}"


def typical(values: Sequence[float], write: Callable[[float], str]) -> str:
    """The median of repeated measurements, or a dash for none."""
    return write(statistics.median(values)) if values else NOTHING


def fixed(digits: int) -> Callable[[float], str]:
    """A function that formats a number with `digits` decimals."""
    return lambda value: f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share in [0, 1] as a percentage, with one decimal below 1%."""
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{100 * value:.1f}%" if 0 < value < 0.0095 else f"{100 * value:.0f}%"


def short(value: float) -> str:
    """A number with three significant digits, or as an integer from 100."""
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
    """The mean of a score over the conditions, one value for each seed."""
    per_seed = []
    for record in row.records:
        values = [v for c in conditions if (v := record.conditions[c].scores.get(name)) is not None]
        if values:
            per_seed.append(statistics.fmean(values))
    return per_seed


def shown_columns(records: Sequence[Record], columns: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Those of `columns` for which any record has a score."""
    present = {name for record in records for cell in record.conditions.values() for name in cell.scores}
    return {name: column for name, column in columns.items() if name in present}


def counted(cell: Cell) -> str:
    """Text with the number of clips, groups and seeds per caption."""
    if cell.num_groups is None:
        return f"{cell.stickers} clips, groups not recorded"
    seeds = -(-cell.stickers // cell.num_groups)
    return f"{cell.stickers} clips of {cell.num_groups} groups, {seeds} seed{'s' if seeds > 1 else ''} a caption"


def transposed(table: Table) -> Table:
    """Swap rows and columns of a table, for tables with more conditions than methods."""
    head, *rows = [list(line) for line in zip(table[0], *table[1], strict=True)]
    return ["", *head[1:]], rows


def psnr_and_share(row: Row, condition: str) -> str:
    """Mean PSNR and share of stickers under 20 dB, such as `33.4 (4%)`."""
    mean, share = row.score(condition, "psnr_mean"), row.score(condition, "psnr_share_under_20db")
    text = spread(mean, fixed(1))
    return f"{text} ({percent(sum(share) / len(share))})" if share else text


def markdown(table: Table, text_columns: int = 1) -> str:
    """A Markdown table; columns after the first `text_columns` are right-aligned."""
    head, rows = table
    rule = ["---" if i < text_columns else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def published_tables(published: Sequence[dict[str, Any]]) -> str:
    """Tables of the papers' numbers, marked as published and with the data they were measured on."""
    parts = []
    for entry in published:
        head = ["published", *entry["columns"]]
        rows = [[row["name"], *(shown(row[column]) for column in entry["columns"])] for row in entry["rows"]]
        about = f"{entry['title']}: {entry['paper']}, table {entry['table']}, on {entry['data']}."
        parts.append(f"{about}\n\n{markdown((head, rows))}")
    return "\n\n".join(parts)


def printed_rows(published: Sequence[dict[str, Any]], table: str) -> dict[str, dict[str, Any]]:
    """The published rows of a paper's `table`, such as `II`, by name."""
    return {row["name"]: row for entry in published if entry["table"] == table for row in entry["rows"]}


def shown(published: Any) -> str:
    """A published number as printed; a dash if the paper has none."""
    return NOTHING if published is None else str(published)


def read_optional(path: Path) -> Any:
    """Content of a YAML file; None if the file does not exist."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_text(text: str, path: Path) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


PAGES_WITH_BLOCKS = ("docs/results.md", "docs/cutout.md", "docs/animate.md")


def write_blocks(readme: Path | None, blocks: Mapping[str, str]) -> bool:
    """Replace the blocks between markers in the README and in pages of the documentation.

    Args:
        readme: file with `<!-- table:NAME -->` and `<!-- /table -->`; the markers may also be in `PAGES_WITH_BLOCKS`
            next to it. None, or a file that does not exist, for none.
        blocks: Markdown by name.

    Returns:
        Whether the README exists.
    """
    if readme is None or not readme.is_file():
        return False
    for page in (readme, *(readme.parent / name for name in PAGES_WITH_BLOCKS)):
        if page.is_file():
            before = text = page.read_text(encoding="utf-8")
            for name, block in blocks.items():
                text = replace_block(text, name, block)
            if text != before:
                write_text(text, page)
    return True


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with the lines between the markers of `name` replaced; unchanged if there are no such markers."""
    pattern = re.compile(rf"(<!-- table:{re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def print_table(table: Table, title: str = "", caption: str = "") -> None:
    """Print a table in the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    # output that is no terminal has no width, and Rich's default of 80 columns would wrap numbers
    console = Console(markup=False, emoji=False, width=None if Console().is_terminal else 200)
    head, rows = table
    drawn = RichTable(title=title or None, caption=caption or None, title_justify="left", caption_justify="left")
    for number, name in enumerate(head):  # in a narrow terminal, names are broken before numbers are cut off
        drawn.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)

"""Records as tables, for people: Markdown, made anew from the same records in the same words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.method import BRIEF
from glassine.bench.records import Record
from glassine.bench.rows import (
    NOTHING,
    Row,
    conditions_of,
    fixed,
    parameters,
    percent,
    short,
    spread,
    to_rows,
    typical,
)

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""
ERRORS = {
    "mad": "MAD",
    "mse": "MSE",
    "grad": "gradient",
    "conn": "connectivity",
    "dtssd": "dtSSD",
    "semi_transparent_mad": "semi-transparent MAD",
    "flicker": "flicker",
}
SHARES = {"holes_filled": "holes filled", "interior_punched": "interior punched"}


def overview(records: Sequence[Record]) -> Table:
    """Mean PSNR (share under 20 dB) of every row and condition, then its costs."""
    conditions = conditions_of(records)
    head = ["method", *(CONDITION_TITLES[name] for name in conditions), "ms a frame", "parameters"]
    rows = []
    for row in to_rows(record for record in records if record.method not in BRIEF):
        cells = [psnr_and_share(row, name) for name in conditions]
        costs = [typical(row.cost("ms_per_frame"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells, *costs])
    return head, rows


def transposed(table: Table) -> Table:
    """A row for each condition instead of a column: there are more conditions than methods."""
    head, *rows = [list(line) for line in zip(table[0], *table[1], strict=True)]
    return ["", *head[1:]], rows


def psnr_and_share(row: Row, condition: str) -> str:
    """`33.4 (4%)`."""
    mean, share = row.score(condition, "psnr_mean"), row.score(condition, "psnr_share_under_20db")
    text = spread(mean, fixed(1))
    return f"{text} ({percent(sum(share) / len(share))})" if share else text


def alpha_detail(records: Sequence[Record], condition: str) -> Table:
    """How good alpha and the colored result are under one condition."""
    head = ["method", "PSNR mean ↑", "median ↑", "under 20 dB ↓", "pooled ↑", "SSIM ↑"]
    head += ["composite PSNR ↑", "composite SSIM ↑"]
    rows = []
    for row in (row for row in to_rows(records) if row.belongs(condition)):
        cells = [spread(row.score(condition, f"psnr_{name}"), fixed(1)) for name in ("mean", "median")]
        cells.append(spread(row.score(condition, "psnr_share_under_20db"), percent))
        cells.append(spread(row.score(condition, "psnr_pooled"), fixed(1)))
        cells.append(spread(row.score(condition, "ssim"), fixed(3)))
        cells.append(spread(row.score(condition, "composite_psnr"), fixed(1)))
        cells.append(spread(row.score(condition, "composite_ssim"), fixed(3)))
        rows.append([row.label, *cells])
    return head, rows


def matting_detail(records: Sequence[Record], condition: str) -> Table:
    """The errors of the matting field under one condition."""
    head = ["method", *(f"{title} ↓" for title in (*ERRORS.values(), *SHARES.values()))]
    rows = []
    for row in (row for row in to_rows(records) if row.belongs(condition)):
        errors = [spread(row.score(condition, name), short) for name in ERRORS]
        rows.append([row.label, *errors, *(spread(row.score(condition, name), percent) for name in SHARES)])
    return head, rows


def markdown(table: Table, text_columns: int = 1) -> str:
    """A Markdown table, numbers to the right."""
    head, rows = table
    rule = ["---" if i < text_columns else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def published_tables(published: Sequence[dict[str, Any]]) -> str:
    """The numbers of papers, each table marked as published and on which data."""
    parts = []
    for entry in published:
        head = ["published", *entry["columns"]]
        rows = [[row["name"], *(shown(row[column]) for column in entry["columns"])] for row in entry["rows"]]
        about = f"{entry['title']}: {entry['paper']}, table {entry['table']}, on {entry['data']}."
        parts.append(f"{about}\n\n{markdown((head, rows))}")
    return "\n\n".join(parts)


def shown(published: Any) -> str:
    """A published number as it is printed; a dash where the paper has none."""
    return NOTHING if published is None else str(published)


def read_optional(path: Path) -> Any:
    """What a YAML file holds, None where there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None

"""Tables of the records, for people: Markdown, made anew from the same records in the same words."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from glassine.atomic import atomic_path
from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.method import BRIEF
from glassine.bench.paper_tables import table_two
from glassine.bench.records import Record, read_records
from glassine.bench.rows import (
    Row,
    conditions_of,
    fixed,
    one_setup,
    parameters,
    percent,
    short,
    spread,
    to_rows,
    typical,
)
from glassine.bench.targets import targets_table

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""
RESULTS = Path("results") / "alpha"
ERRORS = {
    "mad": "MAD",
    "mse": "MSE",
    "grad": "gradient",
    "conn": "connectivity",
    "dtssd": "dtSSD",
    "semi_transparent_mad": "semi-transparent MAD",
    "flicker": "flicker",
}
PROMPTED = (
    "The published columns are on TASD-T, which is not public, with pretrained networks of full size: compare them "
    "with each other, never with ours. Ours are of the tiny scale, trained here on stickers. Matting Anything, SAM and "
    "SAM-2 are told the centre and the outer rectangle of the true alpha, as in the paper; the others nothing. The "
    "four rows of short training are the networks of `ablate_variants.md`, seed 0: compare them with each other."
)
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
    """How good alpha and the coloured result are under one condition."""
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


def describe(records: Sequence[Record]) -> str:
    """One sentence: what the numbers of a table are of."""
    first = records[0]
    machines = sorted({record.costs_on for record in records if record.costs_on})
    return (
        f"Alpha PSNR in dB, mean over {len(first.stickers)} held-out stickers (one a group) of `{first.data}`, split "
        f"`{first.split}`, {first.num_frames} frames of {first.size} x {first.size} each (as many of our own for the "
        f"procedural rows); in brackets the share of stickers under 20 dB. Methods estimate the background; those that "
        f"need a prompt get it from the true alpha. "
        f"Times on {'; '.join(machines)}."
    )


def published_tables(published: Sequence[dict[str, Any]]) -> str:
    """The numbers of papers, each table marked as published and on which data."""
    parts = []
    for entry in published:
        head = ["published", *entry["columns"]]
        rows = [[row["name"], *(str(row[column]) for column in entry["columns"])] for row in entry["rows"]]
        about = f"{entry['title']}: {entry['paper']}, table {entry['table']}, on {entry['data']}."
        parts.append(f"{about}\n\n{markdown((head, rows))}")
    return "\n\n".join(parts)


def readme_block(records: Sequence[Record]) -> str:
    """The README's table: the overview, and what its numbers are of."""
    return f"{markdown(transposed(overview(records)))}\n\n{describe(records)}"


def full_tables(
    records: Sequence[Record], published: Sequence[dict[str, Any]], targets: dict[str, Any] | None = None
) -> str:
    """All of `benchmarks/tables.md`."""
    parts = [
        "# Scores\n\nGenerated by `glassine benchmark` from `results/alpha/*.json`; edit nothing here.",
        f"## Overview\n\n{describe(records)}\n\n{markdown(transposed(overview(records)))}",
    ]
    paper = markdown(table_two(records, published))
    parts.append(f"## The methods of ILDiff's table II\n\n{PROMPTED}\n\n{paper}")
    if targets:
        parts.append(f"## Targets\n\n{markdown(targets_table(records, targets))}")
    for name in conditions_of(records):
        title = CONDITION_TITLES[name]
        tables = [markdown(alpha_detail(records, name)), markdown(matting_detail(records, name))]
        parts.append(f"## {title[:1].upper() + title[1:]}\n\n" + "\n\n".join(tables))
    parts.append(
        "Errors have the units of the video-matting field: MAD, MSE x 1000, gradient and connectivity / 1000, "
        "dtSSD x 100 without frame 0. `–`: nothing to measure, or not measured. Composites are on black. The VAE of "
        "the VAE-decoded row has damaged part of the shipped ILDiff's training pictures, too. A faded sticker looks "
        "like a pale one that is opaque; nothing in the picture tells. Procedural stickers are other ones than those "
        "that training draws, of the same families."
    )
    parts.append(f"## Published, on other data, not measured here\n\n{published_tables(published)}")
    return "\n\n".join(parts) + "\n"


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with what stands between `<!-- table:NAME -->` and `<!-- /table -->` replaced; as it is without them."""
    pattern = re.compile(rf"(<!-- table:{re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def write_tables(benchmarks: Path, readme: Path | None = None) -> list[Path]:
    """Write `tables.md`, and the README's block where there are markers, from the records in `results/alpha`.

    Only records of the test split that share the largest set of stickers are shown.

    Args:
        benchmarks: folder with `results/alpha`, `published.yaml` and `targets.yaml`.
        readme: file with markers; None, or one that does not exist, for none.

    Returns:
        The files written; none without such records.
    """
    records = one_setup(read_records(benchmarks / RESULTS))
    if not any(record.conditions for record in records):
        return []
    published, targets = (read_optional(benchmarks / name) for name in ("published.yaml", "targets.yaml"))
    files = {benchmarks / "tables.md": full_tables(records, published or [], targets)}
    if readme is not None and readme.is_file():
        files[readme] = replace_block(readme.read_text(encoding="utf-8"), "alpha", readme_block(records))
    for path, text in files.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(files)


def read_optional(path: Path) -> Any:
    """What a YAML file holds, None where there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None

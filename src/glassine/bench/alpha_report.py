"""The matting tables from records: an overview, the ILDiff paper's table II, and details by condition."""

from collections.abc import Sequence
from typing import Any

from glassine.bench.ablation_report import depth_block
from glassine.bench.methods import BRIEF, PAPER_CONDITIONS
from glassine.bench.protocols import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.tables import (
    ILDIFF_PUBLISHED,
    NOTHING,
    Row,
    Table,
    conditions_of,
    fixed,
    markdown,
    parameters,
    percent,
    print_table,
    printed_rows,
    psnr_and_share,
    published_tables,
    short,
    spread,
    to_rows,
    transposed,
    typical,
)

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
# method -> its name in ILDiff's table II
TABLE_II = {
    "matting_anything": "Matting Anything",
    "sam": "SAM",
    "sam2": "SAM-2",
    "layer_diffuse": "LayerDiffuse",
    "layer_diffuse_tuned": "",  # this row and the next four are not in the paper's table but discussed in its text
    "ildiff_paper": "",
    "ildiff_no_layout": "",
    "ildiff_no_time": "",
    "ildiff_explicit_masks": "",
    "ildiff": "ILDiff",
}
PROMPTED = (
    "The published columns are on TASD-T, which is not public, with pretrained networks of full size: compare them "
    "with each other, never with ours. Ours are of the tiny scale, trained here on stickers. Matting Anything, SAM and "
    "SAM-2 are told the center and the outer rectangle of the true alpha, as in the paper; the others nothing."
)
SHORT = " The rows of short training are networks of `ablate_variants.md`: compare them with each other."


def overview(records: Sequence[Record]) -> Table:
    """One row per method: mean PSNR (share under 20 dB) under each condition, then its costs."""
    conditions = conditions_of(records)
    head = ["method", *(CONDITION_TITLES[name] for name in conditions), "ms a frame", "parameters"]
    rows = []
    for row in to_rows(record for record in records if record.method not in BRIEF):
        cells = [psnr_and_share(row, name) for name in conditions]
        costs = [typical(row.cost("ms_per_frame"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells, *costs])
    return head, rows


def alpha_detail(records: Sequence[Record], condition: str) -> Table:
    """PSNR and SSIM of alpha and of the composite under one condition."""
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
    """The usual matting errors under one condition."""
    head = ["method", *(f"{title} ↓" for title in (*ERRORS.values(), *SHARES.values()))]
    rows = []
    for row in (row for row in to_rows(records) if row.belongs(condition)):
        errors = [spread(row.score(condition, name), short) for name in ERRORS]
        rows.append([row.label, *errors, *(spread(row.score(condition, name), percent) for name in SHARES)])
    return head, rows


def table_two(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> Table:
    """ILDiff's table II: PSNR and SSIM of its methods under each of its conditions, and their costs here."""
    conditions = [name for name in PAPER_CONDITIONS if name in conditions_of(records)]
    head = ["method", *ILDIFF_PUBLISHED]
    head += [f"{score}, {CONDITION_TITLES[name]}" for name in conditions for score in ("PSNR", "SSIM")]
    head += ["ms a frame", "parameters"]
    printed = printed_rows(published, "II")
    rows = []
    for row in to_rows(records):
        name = TABLE_II.get(row.records[0].method)
        if name is None:
            continue
        theirs = printed.get(name, {})
        cells = [str(theirs.get(score, NOTHING)) for score in ("PSNR", "SSIM")]
        cells += [cell for condition in conditions for cell in scores_of(row, condition)]
        cells += [typical(row.cost("ms_per_frame"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells])
    return head, rows


def scores_of(row: Row, condition: str) -> tuple[str, str]:
    """PSNR and SSIM as two table cells."""
    return spread(row.score(condition, "psnr_mean"), fixed(1)), spread(row.score(condition, "ssim"), fixed(3))


def full_tables(
    records: Sequence[Record],
    published: Sequence[dict[str, Any]],
    by_depth: Sequence[Record] = (),
    second: Sequence[Record] = (),
) -> str:
    """Text of `benchmarks/tables.md`."""
    parts = [
        "# Scores\n\nGenerated by `glassine benchmark tables` from `results/alpha/*.json`; edit nothing here.",
        f"## Overview\n\n{describe(records)}\n\n{markdown(transposed(overview(records)))}",
    ]
    if second:
        parts.append(f"## A second domain\n\n{describe(second)}\n\n{markdown(transposed(overview(second)))}")
    parts.append(f"## The methods of ILDiff's table II\n\n{paper_block(records, published)}")
    if by_depth:
        parts.append(f"## ILDiff's table III: temporal depth\n\n{depth_block(by_depth, published)}")
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


def paper_block(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> str:
    """ILDiff's table II and its caption."""
    about = PROMPTED + (SHORT if any(record.method in BRIEF and record.conditions for record in records) else "")
    return f"{markdown(table_two(records, published))}\n\n{about}{without_weights(records)}"


def without_weights(records: Sequence[Record]) -> str:
    """A list of the rows without weights and why; empty if all were measured."""
    lines = [f"- {row.title}: {row.records[0].missing}" for row in to_rows(records) if row.records[0].missing]
    return "\n\n" + "\n".join(["Not measured:", "", *lines]) if lines else ""


def describe(records: Sequence[Record]) -> str:
    """The caption of a table: metric, test set, the prompts that methods get, and hardware."""
    first = records[0]
    machines = sorted({record.costs_on for record in records if record.costs_on})
    return (
        f"Alpha PSNR in dB, mean over {len(first.stickers)} held-out stickers (one a group) of `{first.data}`, split "
        f"`{first.split}`, {first.num_frames} frames of {first.size} x {first.size} each (as many of our own for the "
        f"procedural rows); in brackets the share of stickers under 20 dB. Methods estimate the background; those that "
        f"need a prompt get it from the true alpha. "
        f"Times on {'; '.join(machines)}."
    )


def overview_block(records: Sequence[Record]) -> str:
    """The overview and its caption."""
    return f"{markdown(transposed(overview(records)))}\n\n{describe(records)}"


FRONT_METHODS = ("color_projection", "grab_cut", "sam", "layer_diffuse", "ildiff", "cutout")
FRONT_CONDITIONS = ("white", "gray", "own_color", "own_color_jpeg75")


def front_block(records: Sequence[Record]) -> str:
    """The README's table, a few methods under a few conditions, and its caption."""
    conditions = [name for name in FRONT_CONDITIONS if name in conditions_of(records)]
    rows = to_rows(record for record in records if record.method in FRONT_METHODS)
    body = [[row.label, *(psnr_and_share(row, name) for name in conditions)] for row in rows]
    head = ["method", *(CONDITION_TITLES[name] for name in conditions)]
    return f"{markdown((head, body))}\n\n{describe(records).rpartition(' Times on ')[0]}"


def print_scores(records: Sequence[Record], title: str = "") -> None:
    """Print the overview of `records` with a caption, and why rows are missing."""
    from rich.console import Console

    first = records[0]
    caption = (
        f"mean alpha PSNR in dB (share of stickers under 20 dB) over {len(first.stickers)} held-out stickers, "
        f"split {first.split}, {first.size} px; the background is estimated, prompts come from the true alpha"
    )
    print_table(transposed(overview(records)), title, caption)
    for record in records:
        if record.missing:
            console = Console(markup=False, emoji=False, highlight=False)
            console.print(f"{record.title}: {record.missing}", soft_wrap=True)

"""The matting tables from records: an overview, the ILDiff paper's tables II and III, and details by condition."""

from collections.abc import Sequence
from typing import Any

from glassine.bench.gaps import row_gap, signed
from glassine.bench.methods import BRIEF, PAPER_CONDITIONS
from glassine.bench.protocols import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.specs import VARIANTS
from glassine.bench.tables import (
    NOTHING,
    Row,
    Table,
    conditions_of,
    fixed,
    markdown,
    mean_over,
    parameters,
    percent,
    print_table,
    psnr_and_share,
    published_tables,
    short,
    spread,
    to_rows,
    transposed,
    typical,
)

ABLATION_CONDITIONS = ("white", "gray", "own_color_jpeg75")
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
ABOVE_START = "PSNR above step 0 [95%]"
START_SAID = (
    "Step 0 is the network before training. What is above it: mean over the conditions, paired over the stickers, with "
    "the interval over draws of their groups and of the seeds. "
)
PUBLISHED = ("published PSNR (TASD-T)", "published SSIM (TASD-T)")
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
    head = ["method", *PUBLISHED]
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


def printed_rows(published: Sequence[dict[str, Any]], table: str) -> dict[str, dict[str, Any]]:
    """The published rows of ILDiff's `table` (`II` or `III`), by name."""
    return {row["name"]: row for entry in published if entry["table"] == table for row in entry["rows"]}


def after_steps(record: Record) -> str:
    """One sentence: training steps, metric and test set of an ablation's table."""
    return (
        f"After {record.costs['steps']:.0f} steps each; mean alpha PSNR in dB (share under 20 dB) over "
        f"{len(record.stickers)} stickers of `{record.data}`, split `{record.split}`, {record.num_frames} frames of "
        f"{record.size} x {record.size};"
    )


def depth_table(records: Sequence[Record], published: Sequence[dict[str, Any]] = ()) -> Table:
    """Quality and cost of each depth; numbers of the paper's table III, if given, get their own columns."""
    conditions = conditions_of(records)
    printed = printed_rows(published, "III")
    head = ["depth", *(PUBLISHED if printed else ()), *(f"PSNR, {CONDITION_TITLES[name]}" for name in conditions)]
    has_start = any(map(is_start, records))
    head += [ABOVE_START] if has_start else []
    head += ["SSIM", "dtSSD", "flicker", "s a clip", "peak MiB", "parameters"]
    rows = []
    for row in sorted_by_depth(records):
        cells = [str(printed.get(row.title, {}).get(score, NOTHING)) for score in ("PSNR", "SSIM") if printed]
        cells += [psnr_and_share(row, name) for name in conditions]
        cells += [above_start(row, records, conditions)] if has_start else []
        cells.append(spread(mean_over(row, conditions, "ssim"), fixed(3)))
        cells += [spread(mean_over(row, conditions, name), fixed(2)) for name in ("dtssd", "flicker")]
        cells.append(typical(row.cost("seconds_per_clip"), short))
        cells.append(typical(row.cost("peak_memory_mib"), fixed(0)))
        cells.append(typical(row.cost("parameters"), parameters))
        rows.append([row.label, *cells])
    return head, rows


def about_depths(records: Sequence[Record]) -> str:
    """The paragraph below the table of depths: how its numbers were measured and what they can be compared with."""
    first = trained(records)[0]
    return (
        f"{after_steps(first)} {start_said(records)}SSIM, dtSSD and flicker: mean over the conditions. The published "
        f"columns are the paper's, on TASD-T: not to be compared with ours. A clip is {first.num_frames} frames; the "
        f"peak is that of a whole process on a CPU, of the tensors on a GPU. On {first.costs_on}. Differences under 1 "
        "dB from one seed rank nothing. As in the paper, depth adds reach in space and parameters beside time."
    )


def depth_of(row: Row) -> int:
    """5 for the row `depth 5`; -1 for the row of step 0."""
    return -1 if is_start(row.records[0]) else int(row.title.split()[-1])


def sorted_by_depth(records: Sequence[Record]) -> list[Row]:
    """The rows in order of depth, step 0 first."""
    return sorted(to_rows(records), key=depth_of)


def variants_table(records: Sequence[Record]) -> Table:
    """Quality and cost of each variant, in the order of `VARIANTS`."""
    conditions, order = conditions_of(records), list(VARIANTS.values())
    head = ["ILDiff", *(f"PSNR, {CONDITION_TITLES[name]}" for name in conditions), "SSIM", "dtSSD"]
    has_start = any(map(is_start, records))
    head += [ABOVE_START] if has_start else []
    head += ["ms a frame", "parameters"]
    place = {title: number for number, title in enumerate(order)}

    def position(row: Row) -> int:
        return -1 if is_start(row.records[0]) else place.get(row.title, len(order))

    rows = []
    for row in sorted(to_rows(records), key=position):
        cells = [psnr_and_share(row, name) for name in conditions]
        cells += [spread(mean_over(row, conditions, name), fixed(n)) for name, n in (("ssim", 3), ("dtssd", 2))]
        cells += [above_start(row, records, conditions)] if has_start else []
        cells += [typical(row.cost("ms_per_frame"), short), typical(row.cost("parameters"), parameters)]
        rows.append([row.label, *cells])
    return head, rows


def alike(records: Sequence[Record], one: Record | None = None) -> list[Record]:
    """The records that one ablation table may show: networks before training, then finished runs of one kind.

    The kind (see `kind_of`) is that of `one`. Without `one` it is the kind with the most records, of the test split if
    that has any.
    """
    wanted = set(ABLATION_CONDITIONS)
    whole = [record for record in records if wanted <= set(record.conditions)]
    finished = [record for record in whole if record.costs.get("steps")]
    kinds = [kind_of(record) for record in finished]
    best = max(kinds, key=lambda kind: (kind[0] == "test", kinds.count(kind)), default=None)
    kind = best if one is None else kind_of(one)
    starts = [record for record in whole if record.costs.get("steps") == 0 and kind and record.setup == kind[1]]
    return [*starts, *(record for record in finished if kind_of(record) == kind)]


def kind_of(record: Record) -> tuple[object, ...]:
    """Split, setup and training steps; records of an ablation are compared only if these are equal."""
    return record.split, record.setup, record.costs.get("steps")


def is_start(record: Record) -> bool:
    """Whether the record is of a network before training (step 0)."""
    return record.costs.get("steps") == 0


def trained(records: Sequence[Record]) -> list[Record]:
    """The records of trained networks, without step 0."""
    return [record for record in records if not is_start(record)]


def start_said(records: Sequence[Record]) -> str:
    """An explanation of the row of step 0; empty if there is none."""
    return START_SAID if any(map(is_start, records)) else ""


def above_start(row: Row, records: Sequence[Record], conditions: Sequence[str]) -> str:
    """PSNR gained by training, with its interval.

    The baseline is step 0 of the same experiment, or the first step 0 if that experiment has none of its own.
    """
    starts = [record for record in records if is_start(record)]
    if not starts or is_start(row.records[0]):
        return NOTHING
    own = [record for record in starts if config_of(record) == config_of(row.records[0])]
    return signed(row_gap(row.records, own or starts[:1], "psnr_mean", conditions))


def config_of(record: Record) -> str:
    """The last YAML in the record's config; it differs between arms that share a base."""
    return [word for word in record.config.split() if word.endswith(".yaml")][-1]


def full_tables(
    records: Sequence[Record],
    published: Sequence[dict[str, Any]],
    by_depth: Sequence[Record] = (),
) -> str:
    """Text of `benchmarks/tables.md`."""
    parts = [
        "# Scores\n\nGenerated by `glassine benchmark tables` from `results/alpha/*.json`; edit nothing here.",
        f"## Overview\n\n{describe(records)}\n\n{markdown(transposed(overview(records)))}",
    ]
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


def depth_block(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> str:
    """ILDiff's table III and its caption."""
    return f"{markdown(depth_table(records, published))}\n\n{about_depths(records)}"


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


def depth_page(records: Sequence[Record], published: Sequence[dict[str, Any]] = ()) -> str:
    """Text of `ablate_depth.md`."""
    return (
        "# ILDiff by temporal depth\n\nGenerated by `glassine benchmark tables` from `results/ablate_depth/*.json`.\n\n"
        f"{depth_block(records, published)}\n"
    )


def variants_page(records: Sequence[Record]) -> str:
    """Text of `ablate_variants.md`."""
    first = trained(records)[0]
    return (
        "# Variants of ILDiff\n\nGenerated by `glassine benchmark tables` from `results/ablate_variants/*.json`."
        f"\n\n{markdown(variants_table(records))}\n\n"
        f"{after_steps(first)} {start_said(records)}SSIM and dtSSD: mean over the conditions. On {first.costs_on}. "
        "Differences within the spread over seeds rank nothing. Depth adds reach in space and parameters, too. Patch "
        "colors with 3D convolutions can still find layout by themselves; the encoder that was not distilled is to be "
        "compared with the tuned one.\n"
    )


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

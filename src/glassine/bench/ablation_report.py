"""The tables of ILDiff's ablations from records: temporal depth (the paper's table III), and variants.

A table shows only finished networks of one kind, see `alike`, and networks before training (step 0).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from glassine.bench.gaps import row_gap, signed
from glassine.bench.protocols import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.specs import VARIANTS, WITH_HINT
from glassine.bench.tables import (
    ILDIFF_PUBLISHED,
    NOTHING,
    Row,
    Table,
    conditions_of,
    fixed,
    markdown,
    mean_over,
    parameters,
    printed_rows,
    psnr_and_share,
    short,
    spread,
    to_rows,
    typical,
)

ABLATION_CONDITIONS = ("white", "gray", "own_color_jpeg75")
# the digest's signs of failure: wrong colors, latents that the VAE no longer decodes to the clip, holes that are filled
MORE_SCORES = {
    "decoder_rgb": ("decoder RGB", 1),
    "harmlessness": ("harmlessness", 1),
    "holes_filled": ("holes filled", 3),
}
MORE_SAID = (
    "Decoder RGB: PSNR of the decoder's own colors where the sticker is, dB; harmlessness: PSNR of the clip after the "
    "frozen VAE has decoded the adjusted latents, dB (that of step 0 is the VAE's own); both, and the share of holes "
    "that are filled, are means over the conditions. "
)
ABOVE_START = "PSNR above step 0 [95%]"
START_SAID = (
    "Step 0 is the network before training. What is above it: mean over the conditions, paired over the stickers, with "
    "the interval over draws of their groups and of the seeds. "
)


def after_steps(record: Record) -> str:
    """One sentence: training steps, metric and test set of an ablation's table."""
    return (
        f"After {record.costs['steps']:.0f} steps each; mean alpha PSNR in dB (share under 20 dB) over "
        f"{len(record.stickers)} stickers of `{record.data}`, split `{record.split}`, {record.num_frames} frames of "
        f"{record.size} x {record.size}."
    )


def depth_table(records: Sequence[Record], published: Sequence[dict[str, Any]] = ()) -> Table:
    """Quality and cost of each depth; numbers of the paper's table III, if given, get their own columns."""
    conditions = conditions_of(records)
    printed = printed_rows(published, "III")
    head = [
        "depth",
        *(ILDIFF_PUBLISHED if printed else ()),
        *(f"PSNR, {CONDITION_TITLES[name]}" for name in conditions),
    ]
    has_start, more = any(map(is_start, records)), more_columns(records)
    head += [ABOVE_START] if has_start else []
    head += ["SSIM", "dtSSD", "flicker", *(title for title, _ in more.values()), "s a clip", "peak MiB", "parameters"]
    rows = []
    for row in sorted_by_depth(records):
        cells = [str(printed.get(row.title, {}).get(score, NOTHING)) for score in ("PSNR", "SSIM") if printed]
        cells += [psnr_and_share(row, name) for name in conditions]
        cells += [above_start(row, records, conditions)] if has_start else []
        cells.append(spread(mean_over(row, conditions, "ssim"), fixed(3)))
        cells += [spread(mean_over(row, conditions, name), fixed(2)) for name in ("dtssd", "flicker")]
        cells += more_cells(row, conditions, more)
        cells.append(typical(row.cost("seconds_per_clip"), short))
        cells.append(typical(row.cost("peak_memory_mib"), fixed(0)))
        cells.append(typical(row.cost("parameters"), parameters))
        rows.append([row.label, *cells])
    return head, rows


def more_columns(records: Sequence[Record]) -> dict[str, tuple[str, int]]:
    """Those of `MORE_SCORES` that any record has: score -> title and digits."""
    cells = [cell for record in records for cell in record.conditions.values()]
    return {name: column for name, column in MORE_SCORES.items() if any(name in cell.scores for cell in cells)}


def more_cells(row: Row, conditions: Sequence[str], columns: Mapping[str, tuple[str, int]]) -> list[str]:
    """The cells below `more_columns`."""
    return [spread(mean_over(row, conditions, name), fixed(digits)) for name, (_, digits) in columns.items()]


def about_depths(records: Sequence[Record]) -> str:
    """The paragraph below the table of depths: how its numbers were measured and what they can be compared with."""
    first = trained(records)[0]
    return (
        f"{after_steps(first)} {start_said(records)}SSIM, dtSSD and flicker: mean over the conditions. The published "
        f"columns are the paper's, on TASD-T: not to be compared with ours. {MORE_SAID}"
        f"A clip is {first.num_frames} frames; the peak is that of a whole process on a CPU, of the tensors on a GPU. "
        f"On {first.costs_on}. Differences under 1 dB from one seed rank nothing. As in the paper, depth adds reach in "
        "space and parameters beside time."
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
    has_start, more = any(map(is_start, records)), more_columns(records)
    head += [ABOVE_START] if has_start else []
    head += [*(title for title, _ in more.values()), "ms a frame", "parameters"]
    place = {title: number for number, title in enumerate(order)}

    def position(row: Row) -> int:
        return -1 if is_start(row.records[0]) else place.get(row.title, len(order))

    rows = []
    for row in sorted(to_rows(records), key=position):
        cells = [psnr_and_share(row, name) for name in conditions]
        cells += [spread(mean_over(row, conditions, name), fixed(n)) for name, n in (("ssim", 3), ("dtssd", 2))]
        cells += [above_start(row, records, conditions)] if has_start else []
        cells += more_cells(row, conditions, more)
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

    The baseline is step 0 of the same experiment, or if that has none of its own, the one that all arms with or without
    the hint share.
    """
    starts = [record for record in records if is_start(record)]
    if not starts or is_start(row.records[0]):
        return NOTHING
    own = [record for record in starts if config_of(record) == config_of(row.records[0])]
    shared = [record for record in starts if has_hint(record) == has_hint(row.records[0])][:1]
    return signed(row_gap(row.records, own or shared, "psnr_mean", conditions)) if own or shared else NOTHING


def has_hint(record: Record) -> bool:
    """Whether the record is of an arm with our hint."""
    return config_of(record).endswith(tuple(f"{name}.yaml" for name in WITH_HINT))


def config_of(record: Record) -> str:
    """The last YAML in the record's config; it differs between arms that share a base."""
    return [word for word in record.config.split() if word.endswith(".yaml")][-1]


def depth_block(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> str:
    """ILDiff's table III and its caption."""
    return f"{markdown(depth_table(records, published))}\n\n{about_depths(records)}"


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
        f"{after_steps(first)} {start_said(records)}SSIM and dtSSD: mean over the conditions. {MORE_SAID}On "
        f"{first.costs_on}. "
        "Differences within the spread over seeds rank nothing. Depth adds reach in space and parameters, too. Patch "
        "colors with 3D convolutions can still find layout by themselves; the encoder that was not distilled is to be "
        "compared with the tuned one.\n"
    )

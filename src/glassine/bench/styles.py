"""Evaluate cut-out methods by style and background, with gaps to the best closed form."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.gaps import row_gap, signed
from glassine.bench.progress import Progress, ShowProgress, no_progress
from glassine.bench.records import Cell, Record, fingerprint, plain, read_record, read_records
from glassine.bench.style_cases import CONDITIONS, NUM_FRAMES, SIZE, Case, show
from glassine.bench.style_rows import CLOSED, ROW_NAMES, Levels, StyleRow
from glassine.bench.tables import Table, markdown, one_setup, percent, write_blocks, write_text
from glassine.data.sticker import Split
from glassine.metrics.image import PSNR_CAP
from glassine.metrics.image import psnr as clip_psnr
from glassine.metrics.temporal import dtssd
from glassine.utils.devices import processor
from glassine.utils.errors import UserError

BROKEN = 20.0  # dB of alpha PSNR, below which a sticker counts as broken
SCORES = ("psnr_mean", "psnr_share_under_20db", "dtssd")
RESULTS = Path("results") / "styles"
OURS = "cutout"


def psnr(alpha: Levels, truth: Levels) -> float:
    """Alpha PSNR in dB, averaged over frames, at most `PSNR_CAP`; both inputs `f h w` uint8."""
    return float(clip_psnr(as_clip(alpha), as_clip(truth))[0])


def as_clip(levels: Levels) -> Tensor:
    """Convert alpha `f h w` uint8 to `1 f 1 h w` float64 in [0, 1], as the metrics expect."""
    return torch.from_numpy(levels)[None, :, None].double() / 255


def evaluate(
    rows: Sequence[StyleRow],
    cases: Sequence[Case],
    split: Split,
    folder: Path,
    conditions: Sequence[str] | None = None,
    again: bool = False,
    data: str = "",
    progress: ShowProgress = no_progress,
) -> list[Record]:
    """Fill the record of each row. Current cells are kept, so a stopped call resumes.

    Args:
        rows: the methods.
        cases: the stickers.
        split: of the stickers.
        folder: of the records.
        conditions: keys of `CONDITIONS`; None for all.
        again: also measure current cells again.
        data: name of the data in records.
        progress: context manager that gives a function called after every sticker.

    Returns:
        The records, one per row.

    Raises:
        UserError: a condition is unknown, or a saved record is unreadable.
    """
    names = list(CONDITIONS if conditions is None else conditions)
    if unknown := [name for name in names if name not in CONDITIONS]:
        raise UserError(f"conditions must be of {', '.join(CONDITIONS)}, got {', '.join(unknown)}")
    keys = [case.key for case in cases]
    records = []
    for row in rows:
        record = Record(
            row.name, row.title, split, SIZE, NUM_FRAMES, keys, data, settings=dict(row.settings), missing=row.missing,
            measured=f"alpha of {NUM_FRAMES} frames at {SIZE} px, PSNR at most {PSNR_CAP:.0f} dB",
        )  # fmt: skip
        if (path := folder / record.file_name).is_file():
            old = read_record(path)
            if old.setup == record.setup and old.settings == record.settings:
                record = replace(record, conditions=old.conditions, costs=old.costs, costs_on=old.costs_on)
        records.append(record)
    inputs = {name: fingerprint("styles", name, *keys) for name in names}
    todo = [
        (name, row, record)
        for name in names
        for row, record in zip(rows, records, strict=True)
        if row.cut is not None
        and (again or name not in record.conditions or not record.conditions[name].is_current(inputs[name], SCORES))
    ]
    for row, record in zip(rows, records, strict=True):
        if row.cut is None:
            record.save(folder)
    with progress() as tell:
        for number, (name, row, record) in enumerate(todo):
            step = _stepped(tell, f"{CONDITIONS[name]}: {row.title}", number * len(cases), len(todo) * len(cases))
            started = time.perf_counter()
            record.conditions[name] = _cell(row, cases, name, inputs[name], step)
            frame = (time.perf_counter() - started) * 1000 / (len(cases) * NUM_FRAMES)
            if name == names[0]:
                record.costs, record.costs_on = {"ms_per_frame": plain(frame, 3)}, processor(torch.device("cpu"))
            record.save(folder)
    return records


def _stepped(tell: Progress, text: str, done: int, total: int) -> Callable[[int], None]:
    return lambda more: tell(text, done + more, total)


def _cell(row: StyleRow, cases: Sequence[Case], condition: str, inputs: str, step: Callable[[int], None]) -> Cell:
    assert row.cut is not None
    values, temporal = [], []
    for number, case in enumerate(cases):
        truth = case.frames[..., 3]
        alpha = row.cut(show(case, condition), "+" in condition, truth)
        values.append(psnr(alpha, truth))
        temporal.append(float(dtssd(as_clip(alpha).float(), as_clip(truth).float())[0]))
        step(number + 1)
    items: dict[str, list[float | None]] = {
        "psnr_mean": [plain(value, 4) for value in values],
        "psnr_share_under_20db": [float(value < BROKEN) for value in values],
        "dtssd": [plain(value, 4) for value in temporal],
    }
    scores = {name: plain(statistics.fmean(v for v in items[name] if v is not None)) for name in SCORES}
    keys, groups = [case.key for case in cases], [case.group for case in cases]
    return Cell(inputs, len(cases), scores, keys=keys, groups=groups, items=items)


def of_style(record: Record, style: str) -> Record:
    """The record reduced to the stickers of one style, whose keys start with `STYLE/`."""
    return replace(record, conditions={name: _part(cell, style) for name, cell in record.conditions.items()})


def _part(cell: Cell, style: str) -> Cell:
    chosen = [number for number, key in enumerate(cell.keys) if key.partition("/")[0] == style]
    items = {name: [values[number] for number in chosen] for name, values in cell.items.items()}
    scores = {
        name: plain(statistics.fmean(known)) if (known := [v for v in values if v is not None]) else None
        for name, values in items.items()
    }
    keys, groups = ([names[number] for number in chosen] for names in (cell.keys, cell.groups))
    return Cell(cell.inputs, len(chosen), scores, keys=keys, groups=groups, items=items)


def condition_table(records: Sequence[Record], conditions: Sequence[str]) -> Table:
    """One row per condition and method: PSNR (share under 20 dB), dtSSD, gap of the cut-out to the best closed form."""
    rows = []
    for name in conditions:
        best = best_closed(records, name)
        for record in records:
            if (cell := record.conditions.get(name)) is None:
                continue
            gap = ""
            if record.method == OURS and best is not None:
                gap = signed(row_gap([record], [best], "psnr_mean", [name]), 1) + f", {worse_than(cell, best, name)}"
            share = percent(cell.scores["psnr_share_under_20db"] or 0)
            mean, temporal = cell.scores["psnr_mean"] or 0, cell.scores["dtssd"] or 0
            size = f"{cell.stickers} / {cell.num_groups}"
            rows.append([CONDITIONS[name], record.title, f"{mean:.1f} ({share})", f"{temporal:.2f}", size, gap])
    return ["condition", "method", "PSNR (<20 dB)", "dtSSD", "n / groups", "gap, >0.3 dB below"], rows


def style_table(records: Sequence[Record], conditions: Sequence[str]) -> Table:
    """PSNR by style and condition, with a column for each method and the cut-out's gap to the best closed form."""
    shown = [record for record in records if record.conditions]
    styles = list(dict.fromkeys(key.partition("/")[0] for record in shown[:1] for key in record.stickers))
    rows = []
    for style in styles:
        parts = [of_style(record, style) for record in shown]
        for name in conditions:
            cells = {part.method: part.conditions[name] for part in parts if name in part.conditions}
            if not cells:
                continue
            best, ours = best_closed(parts, name), next((p for p in parts if p.method == OURS), None)
            gap = signed(row_gap([ours], [best], "psnr_mean", [name]), 1) if ours and best else ""
            one = next(iter(cells.values()))
            values = [f"{cells[p.method].scores['psnr_mean'] or 0:.1f}" if p.method in cells else "–" for p in parts]
            rows.append([style, CONDITIONS[name], f"{one.stickers} / {one.num_groups}", *values, gap])
    return ["style", "condition", "n / groups", *(record.title for record in shown), "gap"], rows


def overview_block(records: Sequence[Record], conditions: Sequence[str]) -> str:
    """The documentation's table: a row for each condition, a column for each method, and what was measured."""
    rows = []
    for name in conditions:
        best = best_closed(records, name)
        ours = next((r for r in records if r.method == OURS and name in r.conditions), None)
        cells = [record.conditions.get(name) for record in records]
        shown = [
            f"{cell.scores['psnr_mean'] or 0:.1f} ({percent(cell.scores['psnr_share_under_20db'] or 0)})"
            if cell
            else "–"
            for cell in cells
        ]
        gap = signed(row_gap([ours], [best], "psnr_mean", [name]), 1) if ours and best else ""
        rows.append([CONDITIONS[name], *shown, gap])
    head = ["background", *(record.title for record in records), "gap [95%]"]
    cell = next(cell for record in records for cell in record.conditions.values())
    styles = dict.fromkeys(key.partition("/")[0] for key in records[0].stickers)
    return (
        f"{markdown((head, rows))}\n\n"
        f"Alpha PSNR in dB, mean over {cell.stickers} stickers of {cell.num_groups} groups of the split "
        f"{records[0].split} (share under 20 dB), {records[0].num_frames} frames each at {records[0].size} px, in "
        f"{len(styles)} styles: {', '.join(styles)}. The gap is that of `glassine cutout` to the best of the plain "
        "closed forms (flood fill with color projection, two color projections) under that condition, with its 95% "
        "interval over groups; GrabCut gets the true box."
    )


def best_closed(records: Sequence[Record], condition: str) -> Record | None:
    """The record of the closed form with the highest mean PSNR under a condition; None if there is none."""
    able = [record for record in records if record.method in CLOSED and condition in record.conditions]
    return max(able, key=lambda record: record.conditions[condition].scores["psnr_mean"] or 0, default=None)


def worse_than(ours: Cell, best: Record, condition: str, margin: float = 0.3) -> str:
    """Share of stickers, in percent, whose PSNR is more than `margin` dB below that of another record."""
    mine = ours.per_item("psnr_mean")
    other: Mapping[str, tuple[str, float]] = best.conditions[condition].per_item("psnr_mean")
    shared = [key for key in mine if key in other]
    return percent(sum(mine[key][1] < other[key][1] - margin for key in shared) / max(1, len(shared)))


def write_styles(benchmarks: Path, split: Split = "test", readme: Path | None = None) -> Path | None:
    """Write the page of a split from its records and return its path; None if there are no records.

    Args:
        benchmarks: folder with `results/styles`.
        split: of the stickers.
        readme: file next to whose documentation the block `styles` is written, of the split `test` only.
    """
    from glassine.bench.report import page_of

    records = [record for record in one_setup(read_records(benchmarks / RESULTS), split) if record.conditions]
    if not records:
        return None
    records.sort(key=lambda record: ROW_NAMES.index(record.method) if record.method in ROW_NAMES else len(ROW_NAMES))
    names = [name for name in CONDITIONS if any(name in record.conditions for record in records)]
    parts = [
        f"# Cut-out over styles and backgrounds, split {split}",
        "Alpha PSNR in dB at most 60, mean over stickers (share of stickers under 20 dB). Gap: `glassine cutout` minus "
        "the best of the plain closed forms under that condition, with its 95% interval over groups, and the share of "
        "stickers that are more than 0.3 dB below it. GrabCut gets the true box.",
        markdown(condition_table(records, names), 2),
        "## By style",
        markdown(style_table(records, names), 2),
    ]
    path = page_of(benchmarks / "styles.md", split)
    write_text("\n\n".join(parts) + "\n", path)
    write_blocks(readme if split == "test" else None, {"styles": overview_block(records, names)})
    return path

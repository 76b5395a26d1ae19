"""Our numbers in the form of a paper's table, the published ones beside them in columns of their own."""

from collections.abc import Sequence
from typing import Any

from glassine.bench.held_out import CONDITION_TITLES
from glassine.bench.records import Record
from glassine.bench.rows import NOTHING, Row, conditions_of, fixed, parameters, short, spread, to_rows, typical

# method -> its name in ILDiff's table II
TABLE_II = {
    "matting_anything": "Matting Anything",
    "sam": "SAM",
    "sam2": "SAM-2",
    "layer_diffuse": "LayerDiffuse",
    "ildiff_paper": "",  # these four are not in the paper's table, but what its text asks
    "ildiff_no_layout": "",
    "ildiff_no_time": "",
    "ildiff_explicit_masks": "",
    "ildiff": "ILDiff",
}
PUBLISHED = ("published PSNR (TASD-T)", "published SSIM (TASD-T)")
CONDITIONS = ("white", "gray", "own_color", "own_color_jpeg75")


def table_two(records: Sequence[Record], published: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """ILDiff's table II: PSNR and SSIM of its methods, by background and degradation, with what they cost here."""
    conditions = [name for name in CONDITIONS if name in conditions_of(records)]
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
    """PSNR and SSIM."""
    return spread(row.score(condition, "psnr_mean"), fixed(1)), spread(row.score(condition, "ssim"), fixed(3))


def printed_rows(published: Sequence[dict[str, Any]], table: str) -> dict[str, dict[str, Any]]:
    """The published rows of ILDiff's table of that number, by name."""
    return {row["name"]: row for entry in published if entry["table"] == table for row in entry["rows"]}

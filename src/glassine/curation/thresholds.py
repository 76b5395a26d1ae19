"""What real stickers measure, to choose filter thresholds on: quantiles, counts, what the defaults reject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassine.curation.figures import chart_style, draw_histogram, save_figure
from glassine.curation.filters import Thresholds, measured_reasons
from glassine.curation.ingest import SMALL
from glassine.curation.joining import EDGES
from glassine.curation.measures import measure
from glassine.data.shards import StickerShards, fit_size
from glassine.data.sticker import Sticker
from glassine.pipelines.pack.canvas import content_box

QUANTILES = (0.0, 0.001, 0.01, 0.5, 0.99, 0.999, 1.0)
MEASURES = ("entropy", "visible", "transparent", "aspect", "drawing_aspect")
_FRAMES = 4
_PANELS = {
    "entropy": ("Information entropy", "bits", "min_entropy"),
    "visible": ("Largest visible share of a frame", "share", "min_visible"),
    "drawing_aspect": ("Aspect ratio of what is visible", "longer by shorter side", "max_aspect"),
    "transparent": ("Mean transparent share", "share", "min_transparent"),
}


def measured_rows(sources: Sequence[Path], advance: Callable[[], None] = lambda: None) -> Iterator[dict[str, Any]]:
    """A row for each sticker of shards, as filters take them.

    Args:
        sources: folders of shards.
        advance: called after each sticker.

    Yields:
        `width`, `height`, `frames`, and `measures` with `drawing_aspect`: longer by shorter side of what is visible in
        any frame (1 where nothing is).
    """
    for source in sources:
        shards = StickerShards(source)
        for row in range(len(shards)):
            durations = shards.durations(row)
            chosen = np.unique(np.linspace(0, len(durations) - 1, min(_FRAMES, len(durations))).round().astype(int))
            frames = shards.read(row, chosen.tolist())
            height, width = frames.shape[1:3]
            small = fit_size(Sticker(frames, tuple(durations[n] for n in chosen)), SMALL)
            measures = measure(small.frames, durations, width, height)
            measures["drawing_aspect"] = 1.0
            if frames[..., 3].any():
                left, top, right, bottom = content_box(frames)
                measures["drawing_aspect"] = max(right - left, bottom - top) / min(right - left, bottom - top)
            yield {"width": width, "height": height, "frames": len(durations), "measures": measures}
            advance()


def threshold_record(rows: Sequence[dict[str, Any]], limits: Thresholds | None = None) -> dict[str, Any]:
    """What measures of stickers say about thresholds.

    Args:
        rows: of `measured_rows`.
        limits: what filters reject; None for the defaults.

    Returns:
        `stickers`, `thresholds`, `rejected` (reason -> stickers), and for each of `MEASURES` its `quantiles` and
        `counts` between `EDGES`.
    """
    limits = limits or Thresholds()
    rejected: Counter[str] = Counter()
    for row in rows:
        rejected.update(list(measured_reasons(row, limits)))
    record: dict[str, Any] = {
        "stickers": len(rows),
        "thresholds": limits.as_json(),
        "rejected": dict(sorted(rejected.items())),
    }
    for name in MEASURES:
        values = np.array([row["measures"][name] for row in rows])
        edges = EDGES["aspect" if name == "drawing_aspect" else name]
        places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        record[name] = {
            "quantiles": {f"{q:g}": round(float(np.quantile(values, q)), 4) for q in QUANTILES},
            "counts": np.bincount(places, minlength=len(edges) - 1).tolist(),
        }
    return record


def threshold_table(record: Mapping[str, Any]) -> str:
    """A record as Markdown.

    Args:
        record: of `threshold_record`.
    """
    heads = ["least", "0.1%", "1%", "median", "99%", "99.9%", "most"]
    lines = ["| measure | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in MEASURES:
        values = " | ".join(f"{value:.3g}" for value in record[name]["quantiles"].values())
        lines.append(f"| {name.replace('_', ' ')} | {values} |")
    told = ", ".join(f"{count} for {reason}" for reason, count in record["rejected"].items()) or "none"
    lines += ["", f"Of {record['stickers']:,} stickers the thresholds reject: {told}."]
    return "\n".join(lines) + "\n"


def draw_thresholds(record: Mapping[str, Any], path: Path) -> None:
    """The histograms of a record with the thresholds in them, as one PNG.

    Args:
        record: of `threshold_record`.
        path: the file.
    """
    figure, axes = chart_style().subplots(2, 2, figsize=(11, 6))
    for axis, (name, (title, label, threshold)) in zip(axes.flat, _PANELS.items(), strict=True):
        edges = EDGES["aspect" if name == "drawing_aspect" else name]
        draw_histogram(axis, edges, record[name]["counts"], title, label, record["thresholds"][threshold] or None)
    save_figure(figure, path)

"""Plots from records: ILDiff by temporal depth, and VSD2M's figure 6, scores against training steps."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassine.bench.ablation_report import depth_of, sorted_by_depth, trained
from glassine.bench.protocols import CONDITION_TITLES, TEST_SET
from glassine.bench.records import Record
from glassine.bench.specs import METHODS
from glassine.bench.tables import Row, conditions_of, mean_over
from glassine.utils.files import atomic_path

SCORES = {
    "fvd_glassine_native_8f_white": "fvd_glassine (lower is better)",
    "clip_glassine_similarity_softmax_white": "clip_glassine similarity (higher is better)",
}
DEPTH_COLORS = ("#2a6fbb", "#777777", "#d1603d", "#3a8f5c")
STEP_COLORS = ("#777777", "#d1603d", "#3a8f5c", "#9467bd", "#c9a227", "#2a6fbb")


def plot_depths(records: Sequence[Record], path: Path) -> None:
    """Plot PSNR, dtSSD and seconds per clip against depth, in three panels: the mean as a line, each seed as a dot.

    Args:
        records: of the depth ablation; step 0 is not shown.
        path: of a PNG.
    """
    rows, conditions = sorted_by_depth(trained(records)), conditions_of(records)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for color, name in zip(DEPTH_COLORS, conditions, strict=False):
        draw_line(axes[0], rows, [row.score(name, "psnr_mean") for row in rows], color, CONDITION_TITLES[name])
    draw_line(axes[1], rows, [mean_over(row, conditions, "dtssd") for row in rows], DEPTH_COLORS[0])
    draw_line(axes[2], rows, [row.cost("seconds_per_clip") for row in rows], DEPTH_COLORS[0])
    titles = ("alpha PSNR, dB (higher is better)", "dtSSD (lower is better)", "seconds a clip (lower is better)")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=11, loc="left")
        axis.set_xlabel("temporal depth")
        axis.set_xticks([depth_of(row) for row in rows])
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=9)
    axes[2].set_ylim(bottom=0)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_line(axis: Axes, rows: Sequence[Row], values: Sequence[Sequence[float]], color: str, label: str = "") -> None:
    """Draw the mean at each depth as a line, and the value of each seed as a dot; depths without values are skipped."""
    points = [(depth_of(row), seeds) for row, seeds in zip(rows, values, strict=True) if seeds]
    axis.plot([d for d, _ in points], [statistics.fmean(s) for _, s in points], color=color, label=label or None)
    axis.plot([d for d, seeds in points for _ in seeds], [v for _, s in points for v in s], "o", color=color, ms=4)


def curve(records: Sequence[Record], method: str, score: str) -> list[tuple[float, float]]:
    """Pairs of training step and score, sorted by step, of a method's first seed on real stickers."""
    chosen = [r for r in records if (r.method, r.data, r.seed) == (method, TEST_SET, 0) and TEST_SET in r.conditions]
    points = [(r.costs.get("steps"), r.conditions[TEST_SET].scores.get(score)) for r in chosen]
    return sorted((steps, value) for steps, value in points if steps is not None and value is not None)


def plot_steps(records: Sequence[Record], path: Path) -> None:
    """Plot scores against training steps, with a panel for each of `SCORES`.

    Args:
        records: of checkpoints during training and at its end.
        path: of a PNG.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, (score, title) in zip(figure.subplots(1, 2), SCORES.items(), strict=True):
        for number, (name, method) in enumerate(METHODS.items()):
            if points := curve(records, name, score):
                rounds, color = divmod(number, len(STEP_COLORS))
                line = "o--" if rounds else "o-"
                axis.plot(*zip(*points, strict=True), line, color=STEP_COLORS[color], ms=4, label=method.title)
        axis.set_title(title, fontsize=11, loc="left")
        axis.set_xlabel("training steps")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)

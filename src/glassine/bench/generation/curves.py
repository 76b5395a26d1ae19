"""VSD2M's figure 6: scores against training steps, a line a method."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from glassine.bench.generation.methods import METHODS
from glassine.bench.records import Record
from glassine.utils.files import atomic_path

TEST_SET = "stickers"
SCORES = {
    "fvd_glassine_native_8f_white": "fvd_glassine (lower is better)",
    "clip_glassine_similarity_softmax_white": "clip_glassine similarity (higher is better)",
}
COLORS = ("#777777", "#d1603d", "#3a8f5c", "#9467bd", "#c9a227", "#2a6fbb")


def curve(records: Sequence[Record], method: str, score: str) -> list[tuple[float, float]]:
    """Steps and score of a method's first seed on real stickers, in order."""
    chosen = [r for r in records if (r.method, r.data, r.seed) == (method, TEST_SET, 0) and TEST_SET in r.conditions]
    points = [(r.costs.get("steps"), r.conditions[TEST_SET].scores.get(score)) for r in chosen]
    return sorted((steps, value) for steps, value in points if steps is not None and value is not None)


def draw_curves(records: Sequence[Record], path: Path) -> None:
    """Write the plot.

    Args:
        records: of the ends of training and of the networks on the way.
        path: of a PNG.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, (score, title) in zip(figure.subplots(1, 2), SCORES.items(), strict=True):
        for color, (name, method) in zip(COLORS, METHODS.items(), strict=True):
            if points := curve(records, name, score):
                axis.plot(*zip(*points, strict=True), "o-", color=color, ms=4, label=method.title)
        axis.set_title(title, fontsize=11, loc="left")
        axis.set_xlabel("training steps")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)

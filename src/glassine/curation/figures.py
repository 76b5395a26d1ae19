"""The figures of a data set's report: VSD2M's figures 3 and 4, TASD's figure 3, what filters look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.utils.files import atomic_path

_INKS = ((38, 70, 83), (42, 157, 143), (231, 111, 81), (119, 73, 54), (94, 84, 142), (188, 71, 73))
_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "DroidSansFallback.ttf")


def chart_style() -> Any:
    """matplotlib's pyplot without a window, one look for all charts."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110})
    return plt


def cloud_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with Chinese characters where the system has one, else Pillow's own."""
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def word_cloud(counts: Mapping[str, int], width: int = 900, height: int = 480, most: int = 120) -> Image.Image:
    """Words as large as they are frequent, laid along a spiral from the middle; the same picture for the same counts.

    Args:
        counts: word -> how often.
        width: pixels.
        height: pixels.
        most: words shown.
    """
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    taken = np.zeros((height, width), bool)
    draw = ImageDraw.Draw(picture)
    words = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    top = words[0][1] if words else 1
    for number, (word, count) in enumerate(words):
        size = max(11, round(72 * math.sqrt(count / top)))
        font = cloud_font(size)
        box = draw.textbbox((0, 0), word[:30], font)
        w, h = math.ceil(box[2] - box[0]) + 6, math.ceil(box[3] - box[1]) + 4
        place = _free_place(taken, w, h)
        if place is None:
            continue
        left, up = place
        taken[up : up + h, left : left + w] = True
        draw.text((left + 3 - box[0], up + 2 - box[1]), word[:30], _INKS[number % len(_INKS)], font)
    return picture


def _free_place(taken: np.ndarray, w: int, h: int) -> tuple[int, int] | None:
    height, width = taken.shape
    if w >= width or h >= height:
        return None
    filled = np.pad(taken.astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    for step in range(1500):
        angle = 0.35 * math.sqrt(step) * 2.4
        radius = 5.0 * math.sqrt(step)
        left = round((width - w) / 2 + 1.7 * radius * math.cos(angle))
        up = round((height - h) / 2 + radius * math.sin(angle))
        if 0 <= left < width - w and 0 <= up < height - h:
            inside = filled[up + h, left + w] - filled[up, left + w] - filled[up + h, left] + filled[up, left]
            if not inside:
                return left, up
    return None


def bars(path: Path, pairs: Sequence[tuple[str, int]], title: str, label: str) -> None:
    """Words and how often they come, the most frequent first."""
    plt = chart_style()
    figure, axes = plt.subplots(figsize=(9, 3.4))
    axes.bar(range(len(pairs)), [count for _, count in pairs], color="#2a9d8f")
    names = [name[:18].replace("$", r"\$") for name, _ in pairs]  # `$` begins mathematics
    axes.set_xticks(range(len(pairs)), names, rotation=55, ha="right")
    axes.set(title=title, ylabel=label)
    save_figure(figure, path)


def histogram(
    path: Path, edges: Sequence[float], counts: Sequence[int], title: str, label: str, cut: float | None = None
) -> None:
    """Counts between edges, as wide bars of equal width; `cut` marks a threshold."""
    figure, axes = chart_style().subplots(figsize=(6, 3))
    draw_histogram(axes, edges, counts, title, label, cut)
    save_figure(figure, path)


def draw_histogram(
    axes: Any, edges: Sequence[float], counts: Sequence[int], title: str, label: str, cut: float | None = None
) -> None:
    """The same into matplotlib's `axes`."""
    axes.bar(range(len(counts)), counts, width=0.92, align="edge", color="#264653")
    axes.set_xticks(range(len(edges)), [f"{edge:g}" for edge in edges], rotation=60, fontsize=7)
    if any(counts) and max(counts) > 50 * max(1, min(count for count in counts if count)):
        axes.set_yscale("symlog", linthresh=10)
    if cut is not None:
        place = float(np.interp(cut, edges, range(len(edges))))
        axes.axvline(place, color="#e76f51", linewidth=2)
        axes.text(place, axes.get_ylim()[1], f" {cut:g}", color="#e76f51", va="top")
    axes.set(title=title, xlabel=label, ylabel="stickers")


def save_figure(figure: Any, path: Path) -> None:
    """As PNG, and closed."""
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    chart_style().close(figure)

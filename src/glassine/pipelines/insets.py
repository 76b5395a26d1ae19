"""Frame lines and letterbox bars around a picture, which are peeled off before its background is looked for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # h w 3
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Inset:
    """How many rows and columns are peeled off at each side, as frame lines or bars."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return bool(self.top or self.bottom or self.left or self.right)

    def of(self, picture: NDArray) -> NDArray:
        """What remains of `h w ...`."""
        height, width = picture.shape[:2]
        return picture[self.top : height - self.bottom, self.left : width - self.right]


NO_INSET = Inset()


def largest_difference(a: NDArray, b: NDArray) -> Floats:
    """Largest difference of any channel, `... 3` to `...` in 255ths."""
    first, second, third = (np.abs(a[..., c].astype(np.float32) - np.asarray(b[..., c], np.float32)) for c in range(3))
    return np.maximum(np.maximum(first, second), third)


def find_inset(picture: Picture) -> Inset:
    """Frame lines (thin, on any side) and letterbox bars (black, on two opposite sides)."""
    sides = {"top": 0, "bottom": 0, "left": 0, "right": 0}
    for _ in range(2):  # a line inside of bars, or bars inside of a line
        inner = Inset(**sides).of(picture)
        if min(inner.shape[:2]) < 24:
            break
        turned = {
            "top": inner,
            "bottom": inner[::-1],
            "left": inner.transpose(1, 0, 2),
            "right": inner[:, ::-1].transpose(1, 0, 2),
        }
        found = {side: _edge_depth(view) for side, view in turned.items()}
        thin = {
            side: depth for side, (depth, _) in found.items() if 0 < depth <= max(2, round(0.03 * min(inner.shape[:2])))
        }
        if len(thin) < 3:  # a line at one side alone is rather a part of the picture
            thin = {}
        for one, other in (("top", "bottom"), ("left", "right")):
            (depth, color), (depth_other, color_other) = found[one], found[other]
            plain = color.max() < 40  # white bars are mostly a white background that a wide sticker interrupts
            alike = np.abs(color - color_other).max() <= 8 and abs(depth - depth_other) <= max(3, 0.25 * depth)
            if depth and depth_other and plain and alike and not (one in thin and other in thin):
                thin |= {one: depth, other: depth_other}
        if not thin:
            break
        for side, depth in thin.items():
            sides[side] += depth
    inset = Inset(**sides)
    return inset if min(inset.of(picture).shape[:2]) >= 16 else Inset()


def _edge_depth(view: NDArray, tolerance: float = 10) -> tuple[int, Floats]:
    """How many first rows of `h w 3` are of one color that then ends abruptly (0: it does not), and the color."""
    color = np.median(view[0], axis=0).astype(np.float32)
    limit = int(len(view) * 0.4)
    same = (largest_difference(view[: limit + 1], color) <= tolerance).mean(axis=1)  # rows
    uniform = same >= 0.97
    depth = int(np.argmin(uniform)) if not uniform.all() else 0
    if depth == 0:
        return 0, color
    # compression softens the end of a bar: it may take a row or two
    after = view[min(depth + 1, len(view) - 1)]
    if (largest_difference(after, color) > 2 * tolerance).mean() < 0.7:
        return 0, color
    if same[depth] < 0.97 and (largest_difference(view[depth], after) > 2 * tolerance).mean() > 0.7:
        depth += 1  # a row of mixtures
    return depth, color

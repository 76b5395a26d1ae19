"""Corrections of a cut-out by hand: strokes on single frames, carried to the frames around by optical flow.

A stroke says "keep" or "remove" where it was painted. Its mask follows the picture's motion, forward and backward, by
dense flow (DIS) on small gray frames, and ends where the flow of both directions disagrees or the color changes: there
the picture shows something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.utils.errors import UserError

Mode = Literal["keep", "remove"]
Frame = NDArray[np.uint8]
Mask = NDArray[np.float32]
SIDE = 256  # of the frames that flow is computed on
DISAGREEMENT = 2.0  # pixels of those
CHANGE = 48.0  # of 255, in the mean color around a pixel
MOST_POINTS = 20_000


@dataclass(frozen=True)
class Stroke:
    """A painted line.

    Args:
        frame: number of the frame it was painted on, from 0.
        mode: what is done under it.
        radius: of the round brush, as a share of the longer side.
        points: x and y of the line's corners, as shares of width and height; one is a dot.

    Raises:
        UserError: a value out of range.
    """

    frame: int
    mode: Mode
    radius: float
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.frame < 0:
            raise UserError(f"frame of a stroke must be 0 or more, got {self.frame}")
        if self.mode not in get_args(Mode):
            raise UserError(f"mode of a stroke must be keep or remove, got {self.mode!r}")
        if not 0 < self.radius <= 1:
            raise UserError(f"radius of a stroke must be in (0, 1] of the longer side, got {self.radius}")
        if not self.points or len(self.points) > MOST_POINTS:
            raise UserError(f"a stroke must have 1 to {MOST_POINTS:,} points, got {len(self.points)}")
        if not all(len(point) == 2 and all(-1 <= part <= 2 for part in point) for point in self.points):
            raise UserError("points of a stroke must be pairs of shares of width and height, got others")

    def mask(self, height: int, width: int) -> Mask:
        """What it covers of a picture, `h w` in [0, 1], with smooth edges."""
        drawn = np.zeros((height, width), np.uint8)
        shift = 4
        corners = np.array([[x * width - 0.5, y * height - 0.5] for x, y in self.points]) * (1 << shift)
        radius = max(0.5, self.radius * max(height, width))
        line = corners.round().astype(np.int32)[:, None]
        if len(line) > 1:
            cv2.polylines(drawn, [line], False, 255, max(1, round(2 * radius)), cv2.LINE_AA, shift)
        for x, y in line[[0, -1], 0]:
            cv2.circle(drawn, (int(x), int(y)), round(radius * (1 << shift)), 255, -1, cv2.LINE_AA, shift)
        return np.asarray(drawn / 255, np.float32)


@dataclass(frozen=True)
class Correction:
    """What is done to one frame: masks `h' w'` in [0, 1] at the size of the flow."""

    keep: Mask
    remove: Mask

    def apply(self, cut: Frame, original: Frame) -> Frame:
        """The corrected frame.

        Args:
            cut: cut-out `h w 4` uint8, straight.
            original: the same frame before, `h w 4` uint8, whose colors come back where it is kept.

        Returns:
            `h w 4` uint8; where neither mask reaches it is `cut`.
        """
        size = cut.shape[1], cut.shape[0]
        keep, remove = (cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) for mask in (self.keep, self.remove))
        alpha = cut[..., 3].astype(np.float32) / 255
        wanted = np.maximum(alpha, keep * original[..., 3].astype(np.float32) / 255)
        wanted = np.minimum(wanted, 1 - remove)
        result = cut.copy()
        restored = (keep > 0) & (wanted > alpha)
        result[restored, :3] = original[restored, :3]
        result[..., 3] = (255 * wanted).round().astype(np.uint8)
        result[result[..., 3] == 0] = 0
        return result


def carry(frames: Iterable[Frame], strokes: Sequence[Stroke], over_time: bool = True) -> list[Correction | None]:
    """The correction of every frame.

    Args:
        frames: the original frames `h w 4` uint8 in order; small copies of all are held.
        strokes: in the order in which they were painted; where they overlap on a frame, the later one counts.
        over_time: whether strokes follow the motion to other frames; otherwise each counts on its own frame only.

    Returns:
        One for each frame; None where nothing is corrected.

    Raises:
        UserError: a stroke on a frame that there is not.
    """
    small = [_small(frame) for frame in frames]
    for stroke in strokes:
        if stroke.frame >= len(small):
            raise UserError(f"frame of a stroke must be below {len(small)}, got {stroke.frame}")
    found: list[Correction | None] = [None] * len(small)
    painted = sorted({stroke.frame for stroke in strokes})
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for number in painted:
        first = _painted([stroke for stroke in strokes if stroke.frame == number], small[number].shape[:2])
        found[number] = _joined(found[number], first)
        if not over_time:
            continue
        for step in (1, -1):
            now, masks = number, np.stack([first.keep, first.remove], axis=-1)
            while 0 <= now + step < len(small) and masks.max() > 0.02:
                masks = _moved(masks, small[now], small[now + step], flow)
                now += step
                if now in painted:
                    break  # that frame has strokes of its own, which start from there
                found[now] = _joined(found[now], Correction(masks[..., 0], masks[..., 1]))
    return found


def _small(frame: Frame) -> Frame:
    scale = min(1.0, SIDE / max(frame.shape[:2]))
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return cast(Frame, cv2.resize(np.ascontiguousarray(frame[..., :3]), size, interpolation=cv2.INTER_AREA))


def _painted(strokes: Sequence[Stroke], size: tuple[int, ...]) -> Correction:
    keep, remove = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for stroke in strokes:
        mask = stroke.mask(size[0], size[1])
        mine, other = (keep, remove) if stroke.mode == "keep" else (remove, keep)
        np.maximum(mine, mask, out=mine)
        np.minimum(other, 1 - mask, out=other)
    return Correction(keep, remove)


def _joined(known: Correction | None, new: Correction) -> Correction:
    """Both; where they contradict each other the stronger one counts."""
    if known is None:
        return new
    keep, remove = np.maximum(known.keep, new.keep), np.maximum(known.remove, new.remove)
    return Correction(np.where(keep >= remove, keep, 0), np.where(remove > keep, remove, 0))


def _moved(masks: Mask, now: Frame, after: Frame, flow: cv2.DISOpticalFlow) -> Mask:
    """The masks `h w 2` of frame `now` where its picture is in frame `after` (both `h w 3`)."""
    if np.array_equal(now, after):
        return masks
    grays = cv2.cvtColor(now, cv2.COLOR_RGB2GRAY), cv2.cvtColor(after, cv2.COLOR_RGB2GRAY)
    if min(grays[0].shape) < 16:  # too small for the flow's patches: taken as still
        return masks
    calc: Any = flow.calc  # its stub does not know that the third argument may be left to it
    back = calc(grays[1], grays[0], None)  # h w 2: where each pixel of `after` comes from
    forth = calc(grays[0], grays[1], None)
    rows, columns = np.indices(grays[0].shape, np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    moved = cv2.remap(masks, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    disagreement = np.linalg.norm(back + returned, axis=-1)
    before = cv2.remap(now, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    change = np.abs(cv2.blur(before, (5, 5)).astype(np.float32) - cv2.blur(after, (5, 5))).max(axis=-1)
    same = (disagreement < DISAGREEMENT) & (change < CHANGE)
    return cast(Mask, moved * same[..., None].astype(np.float32))

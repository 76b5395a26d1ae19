"""The user's image in the network's frame, and its details back in the frames that come out.

A network of 128 pixels sees the image small and through its codec, which loses detail. The image itself is known,
though: it is the reference frame. What the network made of that frame is compared with it, and the difference follows
the motion into the other frames. It goes nowhere where the network shows something else than the moved image, such as
an eye that closes. No paper does this.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.data.shards import resize_frames
from glassine.nn.motion_fields import brightness, move, optical_flow, premultiplied, reach, straight, warp

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]
Pair = tuple[int, int]

FILLS = 0.9  # share of the frame's side that a sticker takes in training: median 0.88 (Fluent), 0.91 (Noto)
FILLS_ENOUGH = 0.8  # from here on the image is shown as a whole, which spares resampling
LEAST_SIZE = 0.8  # to which share of its size a still is made smaller so that it has room to move
SEEN_FROM = 8  # of 255: fainter alpha does not count as the sticker
AGREE = 0.1  # premultiplied difference in [0, 1] up to which a frame shows the moved image and nothing else
DIFFERENT = 0.3  # the same, from which on it shows something else
NEAR = 7  # pixels of the network's frame over which that difference is averaged


@dataclass(frozen=True)
class FittedStill:
    """How an image is shown to the network: as a whole, or the part around the sticker if that would be small.

    Networks are trained on stickers that fill their frame, and what is small or off the center falls apart. The aspect
    ratio is kept; parts outside the image are transparent.

    Attributes:
        image: `h w 4` uint8, straight RGBA, not fully transparent.
        frame: height and width of the network's frame in pixels.
        given: the window, None for the one that fits.
    """

    image: Frames
    frame: Pair
    given: tuple[int, int, int, int] | None = None

    @cached_property
    def window(self) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels of the part that is shown, which may reach beyond the image."""
        if self.given is not None:
            return self.given
        whole = _around((0, 0), self.image.shape[:2], self.frame)
        close = _around(*_box(self.image[..., 3]), self.frame, FILLS)
        return whole if close[2] * FILLS >= FILLS_ENOUGH * whole[2] else close

    def shown(self) -> Frames:
        """The part of the image in `window`, `h' w' 4`, transparent where the image ends."""
        result = np.zeros((*self.window[2:], 4), np.uint8)
        inside, there = self._places
        result[inside] = self.image[there]
        return result

    def shrink(self) -> Frames:
        """The image in the network's frame, `1 h w 4` uint8, straight."""
        rows, columns, part = self._seen()
        result = np.zeros((1, *self.frame, 4), np.uint8)
        shown = FittedStill(self.image, self.frame, part).shown()
        result[:, rows, columns] = resize_frames(shown[None], rows.stop - rows.start, columns.stop - columns.start)
        return result

    def enlarge(self, frames: Frames, reference: int | None = None) -> Frames:
        """Frames of the network at the place and size of the image.

        Args:
            frames: `f h w 4` uint8, straight.
            reference: the frame that shows the image: its details are carried into all frames. None leaves them.

        Returns:
            `f h' w' 4` uint8, straight, of the size of the image.
        """
        rows, columns, part = self._seen()
        frames = np.ascontiguousarray(frames[:, rows, columns])
        shown = FittedStill(self.image, self.frame, part)
        large = resize_frames(frames, *part[2:])
        if reference is not None:
            large = carry_details(frames, large, shown.shown(), reference)
        result = np.zeros((len(frames), *self.image.shape[:2], 4), np.uint8)
        inside, there = shown._places
        result[:, *there] = large[:, *inside]
        return result

    def moved(self, field: Floats, num_frames: int, reference: int) -> Frames:
        """The image moved by a field of its window (`glassine.nn.motion_fields`), `f h w 4` uint8, straight.

        Nothing leaves the canvas that is on it: the image is shifted if it needs room on one side, drawn smaller if it
        needs more, to `LEAST_SIZE` at most, and moved less if that is not enough.
        """
        fitted, field = self.with_room(field)
        return move(fitted.image, field, num_frames, reference, fitted.window)

    def with_room(self, field: Floats) -> tuple["FittedStill", Floats]:
        """The still and the field with which nothing is cut off that the image does not cut off itself."""
        alpha, sides = self.shrink()[0, ..., 3], np.asarray(self.image.shape[:2], float)
        # what the still takes, and what it comes to take while it moves, in pixels of the image: y, x
        own, all_of_it = (self._box(reach(how, alpha)) for how in (0 * field, field))
        own = own.clip(0, sides)
        up, down = (own[0] - all_of_it[0]).clip(0), (all_of_it[1] - own[1]).clip(0)
        slack = np.asarray(self.window[2:]) / self.frame  # a pixel of the frame
        if (own[0] - up >= -slack).all() and (own[1] + down <= sides + slack).all():
            return self, field
        needed = own[1] - own[0] + up + down
        size = float(min(1, max(LEAST_SIZE, (sides / np.maximum(needed, 1)).min())))
        left_over = (sides / size - (own[1] - own[0])) / np.maximum(up + down, 1e-6)
        less = left_over.clip(0, 1)  # y, x
        up, down = up * less, down * less
        first, last = (own[0] - up) * size, (own[1] + down) * size  # of the smaller image, before it is placed
        middle = (own[0] + own[1]) / 2 * (1 - size)  # keeps the middle of the still where it is
        place = np.clip(middle, -first, np.maximum(sides - last, -first))
        smaller = self._smaller(size, (round(float(place[0])), round(float(place[1]))))
        return smaller, (field * less[::-1].astype(np.float32)).astype(np.float32)

    def _box(self, box: tuple[tuple[float, float], tuple[float, float]]) -> Floats:
        """First and last y and x, `2 2`, in pixels of the image, of a box in shares of the window."""
        top, left, height, width = self.window
        return np.asarray(box, np.float32) * (height, width) + (top, left)

    def _smaller(self, size: float, place: Pair) -> "FittedStill":
        """The still with its content at this share of its size, and its top left corner at `place`."""
        height, width = (max(1, round(side * size)) for side in self.image.shape[:2])
        small = resize_frames(self.image[None], height, width)[0]
        image = np.zeros_like(self.image)
        inside, there = shared((0, 0), self.image.shape[:2], place, (height, width))
        image[inside] = small[there]
        top, left, high, wide = (round(value * size) for value in self.window)
        return FittedStill(image, self.frame, (top + place[0], left + place[1], max(1, high), max(1, wide)))

    def _seen(self) -> tuple[slice, slice, tuple[int, int, int, int]]:
        """Rows and columns of the frame that the image reaches, and the part of the window that they are."""
        parts, places = [], []
        for start, side, frame, full in zip(
            self.window[:2], self.window[2:], self.frame, self.image.shape[:2], strict=True
        ):
            pixel = side / frame
            first = max(0, int(-start / pixel) - 1) if start < 0 else 0
            last = min(frame, int((full - start) / pixel) + 2)
            parts.append(slice(first, last))
            places.append((start + round(first * pixel), max(1, round((last - first) * pixel))))
        (top, height), (left, width) = places
        return parts[0], parts[1], (top, left, height, width)

    @property
    def _places(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of what the window and the image share: in the window, and in the image."""
        return shared(self.window[:2], self.window[2:], (0, 0), self.image.shape[:2])


Part = tuple[slice, slice]


def shared(start: Pair, sides: Pair, other: Pair, other_sides: Pair) -> tuple[Part, Part]:
    """Rows and columns that two rectangles share, counted in each of them; positions and sizes are in pixels."""
    pairs = []
    for a, side, b, length in zip(start, sides, other, other_sides, strict=True):
        first, last = max(a, b), max(max(a, b), min(a + side, b + length))
        pairs.append((slice(first - a, last - a), slice(first - b, last - b)))
    (rows, other_rows), (columns, other_columns) = pairs
    return (rows, columns), (other_rows, other_columns)


def _box(alpha: Frames) -> tuple[Pair, Pair]:
    """The first row and column that alpha `h w` shows, and the row and column after the last."""
    seen = alpha > min(SEEN_FROM, int(alpha.max()) - 1)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return (int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1)


def _around(first: Pair, last: Pair, frame: Pair, fills: float = 1.0) -> tuple[int, int, int, int]:
    """Top, left, height, width of the smallest window of the frame's shape that a box fills to this share."""
    (top, left), (bottom, right) = first, last
    scale = max((bottom - top) / frame[0], (right - left) / frame[1]) / fills  # pixels of the image in one of the frame
    height, width = (max(1, round(side * scale)) for side in frame)
    height, width = max(height, bottom - top), max(width, right - left)  # rounding cuts nothing off
    return (top + bottom - height) // 2, (left + right - width) // 2, height, width


def carry_details(frames: Frames, large: Frames, still: Frames, reference: int) -> Frames:
    """Frames that show the image itself, moved, wherever they show nothing else than that.

    Args:
        frames: `f h w 4` uint8, straight, as the network made them; motion is estimated on these.
        large: `f h' w' 4`, the same enlarged.
        still: `h' w' 4`, what the reference frame should show.
        reference: its index.

    Returns:
        `f h' w' 4`; the reference frame is the image.
    """
    height, width = still.shape[:2]
    small = [premultiplied(frame) for frame in frames]
    image = premultiplied(still)
    motion_of = [brightness(frame) for frame in small]
    scale = np.asarray([width / frames.shape[2], height / frames.shape[1]], np.float32)
    result = large.copy()
    result[reference] = still
    for number in range(len(frames)):
        if number == reference:
            continue
        moved = optical_flow(motion_of[number], motion_of[reference])  # h w 2: where a pixel is in the reference
        error = np.abs(small[number] - warp(small[reference], moved)).max(-1)  # h w
        error = cv2.blur(error, (NEAR, NEAR))
        trust = np.clip((DIFFERENT - error) / (DIFFERENT - AGREE), 0, 1)
        moved = cv2.resize(moved, (width, height), interpolation=cv2.INTER_LINEAR) * scale
        trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        result[number] = straight((1 - trust) * premultiplied(large[number]) + trust * warp(image, moved))
    return result

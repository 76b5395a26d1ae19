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
        return resize_frames(self.shown()[None], *self.frame)

    def enlarge(self, frames: Frames, reference: int | None = None) -> Frames:
        """Frames of the network at the place and size of the image.

        Args:
            frames: `f h w 4` uint8, straight.
            reference: the frame that shows the image: its details are carried into all frames. None leaves them.

        Returns:
            `f h' w' 4` uint8, straight, of the size of the image.
        """
        large = resize_frames(np.ascontiguousarray(frames), *self.window[2:])
        if reference is not None:
            large = carry_details(frames, large, self.shown(), reference)
        return self._placed(large)

    def moved(self, field: Floats, num_frames: int, reference: int) -> Frames:
        """The image moved by a field (`glassine.nn.motion_fields`), `f h w 4` uint8, straight.

        What the image shows is made smaller if it would leave its canvas, to `LEAST_SIZE` of it at most.
        """
        fitted = self.with_room(field)
        top, left, height, width = fitted.window
        wide = (top - height // 2, left - width // 2, height + 2 * (height // 2), width + 2 * (width // 2))
        wider = FittedStill(fitted.image, fitted.frame, wide)  # so that nothing is cut off where the window ends
        grown = np.asarray([width / wide[3], height / wide[2]], np.float32)
        around = np.pad(field * grown, ((0, 0), *[(field.shape[1] // 2,) * 2] * 2, (0, 0)), mode="edge")
        return wider._placed(move(wider.shown(), around, num_frames, reference))

    def with_room(self, field: Floats) -> "FittedStill":
        """The still, drawn smaller if moving by `field` would cut something off that it does not cut off itself."""
        low, high = (np.asarray(end) for end in reach(field, self.shrink()[0, ..., 3]))
        sides, scale = np.asarray(self.image.shape[:2], float), np.asarray(self.window[2:])
        low, high = low * scale + self.window[:2], high * scale + self.window[:2]  # in pixels of the image
        slack = scale / self.frame  # a pixel of the frame
        if (low >= -slack).all() and (high <= sides + slack).all():
            return self
        size = float(min(1, max(LEAST_SIZE, (sides / np.maximum(high - low, 1)).min())))
        middle, room = (low + high) / 2, (high - low) * size / 2
        place = np.clip(middle, np.minimum(room, sides / 2), np.maximum(sides - room, sides / 2)) - middle * size
        return self._smaller(size, (round(float(place[0])), round(float(place[1]))))

    def _smaller(self, size: float, place: tuple[int, int]) -> "FittedStill":
        """The still with its content at this share of its size, and its top left corner at `place`."""
        height, width = (max(1, round(side * size)) for side in self.image.shape[:2])
        small = resize_frames(self.image[None], height, width)[0]
        image = np.zeros_like(self.image)
        inside, there = shared((0, 0), image.shape[:2], place, (height, width))
        image[inside] = small[there]
        top, left, high, wide = (round(value * size) for value in self.window)
        return FittedStill(image, self.frame, (top + place[0], left + place[1], max(1, high), max(1, wide)))

    def _placed(self, large: Frames) -> Frames:
        """Frames of the window's size on the image's canvas."""
        result = np.zeros((len(large), *self.image.shape[:2], 4), np.uint8)
        inside, there = self._places
        result[:, *there] = large[:, *inside]
        return result

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

"""Fewer frames and fewer pixels: by time, and with premultiplied alpha."""

import cv2
import numpy as np

from glassine.data.sticker import Sticker
from glassine.errors import UserError


def cap_fps(sticker: Sticker, fps: float | None) -> Sticker:
    """Keep at most `fps` frames a second, picked by time: new frame k is what the sticker shows at k / fps seconds.

    The whole length stays the same to the millisecond. A sticker that has no more frames than that, on the mean, is
    returned as it is; None keeps all.

    Raises:
        UserError: `fps` is not above 0.
    """
    if fps is None:
        return sticker
    if not fps > 0:
        raise UserError(f"{fps} frames per second came; give a number above 0, or leave it out to keep all frames")
    total = sticker.duration_ms
    count = max(1, int(total * fps / 1000 + 1e-9))
    if count >= sticker.num_frames:
        return sticker
    edges = np.round(np.arange(count + 1) * (total / count)).astype(np.int64)  # ms, new frame borders
    ends = np.cumsum(sticker.durations)
    chosen = np.searchsorted(ends, edges[:-1], side="right")
    return Sticker(sticker.frames[chosen], tuple(np.diff(edges).tolist()), sticker.loop)


def fit_size(sticker: Sticker, size: int | None) -> Sticker:
    """Shrink so that the longer side is at most `size` pixels, keeping the shape; never enlarge. None keeps all.

    Raises:
        UserError: `size` is below 1.
    """
    if size is None:
        return sticker
    if size < 1:
        raise UserError(f"a size of {size} pixels came; give at least 1, or leave it out to keep the size")
    longer = max(sticker.height, sticker.width)
    if longer <= size:
        return sticker
    height, width = (max(1, round(side * size / longer)) for side in (sticker.height, sticker.width))
    return Sticker(resize_frames(sticker.frames, height, width), sticker.durations, sticker.loop)


def resize_frames(frames: np.ndarray, height: int, width: int, keep_shape: bool = False) -> np.ndarray:
    """Resize with premultiplied alpha, so that the colours of invisible pixels never leak into the border.

    Shrinking averages over areas, enlarging is bilinear; both on floats, rounded once at the end.

    Args:
        frames: `f h w 4` uint8, straight.
        height: of the result, pixels.
        width: of the result, pixels.
        keep_shape: fit the sticker inside and pad with clear pixels on both sides, rather than stretch it.

    Returns:
        `f height width 4` uint8, straight; `frames` itself where it has that size already.
    """
    old_height, old_width = frames.shape[1:3]
    if (old_height, old_width) == (height, width):
        return frames
    scale = min(height / old_height, width / old_width)
    inner = (height, width)
    if keep_shape:
        inner = (max(1, round(old_height * scale)), max(1, round(old_width * scale)))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    result = np.zeros((len(frames), height, width, 4), np.uint8)
    for frame, target in zip(frames, result, strict=True):
        _resize_frame(frame, target[top : top + inner[0], left : left + inner[1]])
    return result


def _resize_frame(frame: np.ndarray, target: np.ndarray) -> None:
    size = (target.shape[1], target.shape[0])
    how = cv2.INTER_AREA if size[0] <= frame.shape[1] and size[1] <= frame.shape[0] else cv2.INTER_LINEAR
    alpha = cv2.extractChannel(frame, 3)
    if alpha.min() == 255:
        target[...] = cv2.resize(frame, size, interpolation=how)
        return
    weights = cv2.merge((alpha, alpha, alpha, np.full_like(alpha, 255)))
    product = cv2.multiply(frame, weights, dtype=cv2.CV_32F)  # h w 4, up to 65025: colours times alpha, alpha times 255
    product = cv2.resize(product, size, interpolation=how)
    weight = np.maximum(cv2.extractChannel(product, 3), 1)
    divisor = cv2.merge((weight, weight, weight, np.full_like(weight, 255 * 255)))
    target[...] = cv2.divide(product, divisor, scale=255, dtype=cv2.CV_8U)  # rounds and saturates

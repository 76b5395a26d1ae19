"""Placement of a sticker on a platform's canvas: cropped to the visible area, scaled, with border and margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.outline import NO_SURROUND, Floats, Surround, add_surround, premultiplied, straight
from glassine.pipelines.pack.limits import Limits
from glassine.utils.errors import UserError

Frames = NDArray[np.uint8]
REFERENCE = 512  # outline and shadow are in pixels of a canvas of this size
LEAST_INNER = 8


@dataclass(frozen=True)
class Placing:
    """How stickers are placed on a canvas.

    Args:
        crop: crop areas that are transparent in all frames, so that the sticker fills the canvas; otherwise keep its
            canvas.
        surround: border and shadow, in pixels of a 512-pixel canvas; scaled in proportion on other canvases.
    """

    crop: bool = True
    surround: Surround = NO_SURROUND


def content_box(frames: Frames) -> tuple[int, int, int, int]:
    """Bounding box of all pixels visible in any frame: left, top, right, bottom (exclusive).

    Raises:
        UserError: nothing is visible.
    """
    seen = frames[..., 3].max(axis=0) > 0  # h w
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        raise UserError("the sticker must show something, got one that is transparent in all frames")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def place(frames: Frames, limits: Limits, placing: Placing, scale: float = 1.0) -> Frames:
    """Place frames on the platform's canvas.

    Args:
        frames: `f h w 4` uint8, straight.
        limits: limits of the file.
        placing: how to place them.
        scale: in (0, 1]; below 1 the sticker is drawn smaller: on a smaller canvas if the platform allows it, otherwise
            with more transparent padding.

    Returns:
        `f H W 4` uint8, straight; transparent pixels are black.

    Raises:
        UserError: nothing is visible, or border and margin leave no room.
    """
    if placing.crop:
        left, top, right, bottom = content_box(frames)
        frames = frames[:, top:bottom, left:right]
    canvas, drawn = limits.canvas, scale
    if limits.shrink_to is not None:
        side = max(limits.shrink_to, round(canvas[0] * scale))
        canvas, drawn = (side, side), min(1.0, scale * limits.canvas[0] / side)
    surround = placing.surround.scaled(max(canvas) / REFERENCE)
    pad = limits.margin + surround.room
    inner = (canvas[0] - 2 * pad, canvas[1] - 2 * pad)
    if min(inner) < LEAST_INNER:
        raise UserError(
            f"outline and shadow must leave at least {LEAST_INNER} pixels on a canvas of {canvas[0]}x{canvas[1]}, got "
            f"{min(inner)}: make them smaller"
        )
    height, width = frames.shape[1:3]
    factor = min(inner[0] / width, inner[1] / height)
    if limits.shape == "cut":
        room = [min(whole, max(1, round(side * factor)) + 2 * pad)
                for side, whole in zip((width, height), canvas, strict=True)]  # fmt: skip
        canvas = (room[0] + room[0] % 2, room[1] + room[1] % 2) if limits.even else (room[0], room[1])
        if limits.canvas[0] not in room and limits.canvas[1] not in room:
            raise AssertionError(f"{canvas} touches no side of {limits.canvas}")
    size = (max(1, round(width * factor * drawn)), max(1, round(height * factor * drawn)))
    size = (min(size[0], inner[0]), min(size[1], inner[1]))
    x, y = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
    result = np.zeros((len(frames), canvas[1], canvas[0], 4), np.uint8)
    for frame, target in zip(frames, result, strict=True):
        target[y : y + size[1], x : x + size[0]] = resized(frame, size)
    return add_surround(result, surround)


def resized(frame: Frames, size: tuple[int, int]) -> Frames:
    """Resize `h w 4` uint8 with premultiplied alpha: area averaging for downsampling, bicubic for upsampling."""
    if (frame.shape[1], frame.shape[0]) == size:
        clean = frame.copy()
        clean[clean[..., 3] == 0] = 0
        return clean
    smaller = size[0] <= frame.shape[1] and size[1] <= frame.shape[0]
    # a transparent rim, so that the sticker's edge is as soft at the box as elsewhere
    rim = 0 if smaller else 2
    pixels = cv2.copyMakeBorder(premultiplied(frame), rim, rim, rim, rim, cv2.BORDER_CONSTANT)
    if smaller:
        return straight(cast(Floats, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))
    steps = (size[0] / frame.shape[1], size[1] / frame.shape[0])
    move = np.array([[steps[0], 0, (0.5 - rim) * steps[0] - 0.5], [0, steps[1], (0.5 - rim) * steps[1] - 0.5]])
    grown = cv2.warpAffine(pixels, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    # bicubic overshoots at edges: alpha is clipped, and the color, which overshoots with it, is clipped accordingly
    alpha = grown[..., 3].clip(0, 1)
    share = np.divide(alpha, grown[..., 3], out=np.zeros_like(alpha), where=grown[..., 3] > 0)
    colors = (grown[..., :3] * share[..., None]).clip(0, alpha[..., None])
    return straight(np.concatenate([colors, alpha[..., None]], axis=-1).astype(np.float32))

"""From alpha to the result's frame: colors un-mixed at full size, no pixel more visible than the input had it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glassine.data.alpha import composite_frames
from glassine.pipelines.background_models import border_of, most_frequent
from glassine.pipelines.backgrounds import Color, settle_alpha, unmix
from glassine.pipelines.closed_cutout import FrameCut
from glassine.pipelines.frame_store import Frame
from glassine.pipelines.upsampling import WorkingSize

Opacity = Literal["auto", "opaque", "translucent"]
CLEAR_BORDER, CLEAR_AREA = 0.25, 0.1  # shares from which on a sticker counts as transparent already


def laid_on(frame: Frame, background: Color, size: WorkingSize) -> Frame:
    """What the frame looks like on the background, `h w 3` uint8; composited a strip at a time."""
    if (frame[..., 3] == 255).all():
        return frame[..., :3]
    step = size.rows_at_once
    strips = [composite_frames(frame[top : top + step], background) for top in range(0, len(frame), step)]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def finish(
    original: Frame,
    small: NDArray[np.float32],
    size: WorkingSize,
    background: Color,
    areas: tuple[FrameCut, dict[int, bool]] | None = None,
) -> Frame:
    """The result's frame, `h w 4` uint8, from the network's alpha (`h' w'` in [0, 1]), and closed areas as wholes."""
    opaque = laid_on(original, background, size)  # h w 3
    result = np.empty_like(original)
    for rows, alpha in size.enlarged_rows(small, opaque):
        levels = settle_alpha((alpha * 255).round().astype(np.uint8))  # r w
        if areas is not None and len(levels) == len(original):
            levels = areas[0].whole(levels, areas[1])
        result[rows] = unmix(opaque[rows], levels, background)
        kept = original[rows][..., 3] <= levels
        result[rows][kept] = original[rows][kept]  # no more transparent than before: keep the pixel
        result[rows][result[rows][..., 3] == 0] = 0
    return result


def finish_closed(original: Frame, closed: FrameCut, size: WorkingSize, under: Color, opacity: Opacity) -> Frame:
    """The result's frame, `h w 4` uint8, from closed-form alpha at the working size."""
    opaque = laid_on(original, under, size)  # h w 3
    levels = closed.decided()
    whole = closed.behind.spread(size.reduced(opaque))  # h' w' 3, or 3
    if opacity == "translucent":
        levels = np.minimum(levels, least_alpha(size.reduced(opaque), whole))
    result = np.empty_like(original)
    small = levels.astype(np.float32) / np.float32(255)
    for rows, alpha in size.enlarged_rows(small, opaque):
        fine = settle_alpha((alpha * 255).round().astype(np.uint8))  # r w
        behind = whole if whole.ndim == 1 else size.enlarged_part(whole, rows)
        result[rows] = unmix(opaque[rows], fine, behind)
        kept = original[rows][..., 3] <= fine
        result[rows][kept] = original[rows][kept]  # no more transparent than before: keep the pixel
        result[rows][result[rows][..., 3] == 0] = 0
    return result


def least_alpha(picture: NDArray[np.uint8], behind: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The least alpha, `h w` in 0..255, at which some color in 0..255 over `behind` gives `picture` (`h w 3`)."""
    difference = picture - behind
    room = np.where(difference > 0, 255 - behind, behind)
    share = np.abs(difference) / np.maximum(room, 1)
    return (share.max(axis=-1).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def is_transparent_already(frames: list[Frame]) -> bool:
    """Whether a quarter of the border, or a tenth of the picture, is clear in one of the frames."""
    for frame in frames:
        clear = frame[..., 3] < 128
        if clear.mean() >= CLEAR_AREA or border_of(clear[..., None]).mean() >= CLEAR_BORDER:
            return True
    return False


def opaque_border_color(frames: list[Frame]) -> Color:
    """The most frequent color of opaque border pixels; mid gray where there are none. Clear pixels are laid on it."""
    if all(int(frame[..., 3].min()) == 255 for frame in frames):
        return (128, 128, 128)
    border = np.concatenate([border_of(frame) for frame in frames])
    opaque = border[border[:, 3] == 255, :3]
    if len(opaque) < 8:
        return (128, 128, 128)
    red, green, blue = most_frequent(opaque).round().astype(int).tolist()
    return red, green, blue

"""Stickers as rows of frames in one picture, each over its caption."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.checkerboard import checkerboard
from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker

PAPER, INK = (250, 250, 249), (28, 28, 30)
MARGIN, GAP, TEXT = 16, 4, 22


def film_strips(stickers: Sequence[Sticker], captions: Sequence[str], frames: int = 8, tile: int = 128) -> Image.Image:
    """Draw stickers on a checkerboard, one a row.

    Args:
        stickers: at least one.
        captions: one a sticker; cut off where it is longer than the row.
        frames: most frames of each, evenly spread.
        tile: side, in pixels, of the square that a frame is fitted into.
    """
    columns = min(frames, max(sticker.num_frames for sticker in stickers))
    width = 2 * MARGIN + columns * (tile + GAP) - GAP
    canvas = Image.new("RGB", (width, 2 * MARGIN + len(stickers) * (tile + TEXT + GAP)), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for row, (sticker, caption) in enumerate(zip(stickers, captions, strict=True)):
        top = MARGIN + row * (tile + TEXT + GAP)
        number_shown = min(columns, sticker.num_frames)
        shown = np.arange(number_shown) * sticker.num_frames // number_shown  # of 16, number 8 among them
        for column, number in enumerate(shown):
            picture = fitted(sticker.frames[number], tile)
            place = (MARGIN + column * (tile + GAP) + (tile - picture.width) // 2, top + (tile - picture.height) // 2)
            canvas.paste(picture, place)
        while caption and draw.textlength(caption, font) > width - 2 * MARGIN:
            caption = caption.rstrip("…")[:-1] + "…" if caption != "…" else ""
        draw.text((MARGIN, top + tile + 3), caption, INK, font)
    return canvas


def fitted(frame: np.ndarray, tile: int) -> Image.Image:
    """`h w 4` uint8 on a checkerboard, its longer side `tile` pixels."""
    height, width = frame.shape[:2]
    shown = composite_frames(frame, checkerboard(height, width))
    scale = tile / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))

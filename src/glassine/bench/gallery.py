"""Stickers side by side, labelled, still and animated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.utils.checkerboard import checkerboard

Pixels = NDArray[np.uint8]
CELL, GAP, MARGIN, CAPTION, HEAD = 208, 14, 20, 26, 34  # pixels
PAPER, INK, SOFT_INK = (250, 250, 248), (28, 28, 30), (110, 110, 115)
SQUARE = 13  # pixels


@dataclass(frozen=True)
class Cell:
    """One picture and the line under it.

    Attributes:
        frames: `f h w 3` or straight RGBA `f h w 4`, uint8, square; RGBA is shown on a checkerboard.
        caption: a few words.
    """

    frames: Pixels
    caption: str = ""


def draw_gallery(rows: Sequence[Sequence[Cell]], columns: Sequence[str]) -> Pixels:
    """Lay out `rows` of cells under the names of their `columns`: `f H W 3` uint8.

    All clips have the same number of frames.
    """
    height = HEAD + len(rows) * (CELL + CAPTION + GAP) - GAP + 2 * MARGIN
    width = len(columns) * (CELL + GAP) - GAP + 2 * MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    for number, name in enumerate(columns):
        center = MARGIN + number * (CELL + GAP) + CELL // 2
        draw.text((center, MARGIN + 10), name, INK, ImageFont.load_default(19), anchor="mm")
    places = []
    for line, row in enumerate(rows):
        top = MARGIN + HEAD + line * (CELL + CAPTION + GAP)
        for number, cell in enumerate(row):
            left = MARGIN + number * (CELL + GAP)
            places.append((top, left, over_checkerboard(fit(cell.frames))))
            middle = (left + CELL // 2, top + CELL + CAPTION // 2)
            draw.text(middle, cell.caption, SOFT_INK, ImageFont.load_default(15), anchor="mm")
    frames = np.repeat(np.asarray(page)[None], len(places[0][2]), axis=0)  # f H W 3
    for top, left, clip in places:
        frames[:, top : top + CELL, left : left + CELL] = clip
    return frames


def fit(frames: Pixels) -> Pixels:
    """Resize to the cell."""
    how = cv2.INTER_AREA if frames.shape[1] >= CELL else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (CELL, CELL), interpolation=how) for frame in premultiplied(frames)])


def premultiplied(frames: Pixels) -> Pixels:
    """Colors times alpha, so that resizing brings no color out of clear pixels."""
    if frames.shape[-1] == 3:
        return frames
    alpha = frames[..., 3:].astype(np.uint16)
    return np.concatenate([((frames[..., :3] * alpha + 127) // 255).astype(np.uint8), frames[..., 3:]], axis=-1)


def over_checkerboard(frames: Pixels) -> Pixels:
    """Premultiplied `f h w 4` on gray squares; `f h w 3` as it is."""
    if frames.shape[-1] == 3:
        return frames
    board = checkerboard(frames.shape[1], frames.shape[2], SQUARE)
    mixed = frames[..., :3] + (board * (255 - frames[..., 3:].astype(np.int64)) + 127) // 255
    return mixed.clip(0, 255).astype(np.uint8)


def write_gallery(frames: Pixels, frame_ms: Sequence[int], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png (the first frame) and `stem`.webp (all), and return both paths."""
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)  # f H W 4
    still, animated = stem.with_suffix(".png"), stem.with_suffix(".webp")
    write_sticker(Sticker(opaque[:1], (frame_ms[0],)), still)
    write_sticker(Sticker(opaque, tuple(frame_ms)), animated, quality=90)
    return still, animated

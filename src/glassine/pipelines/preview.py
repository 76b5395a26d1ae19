"""Images of results on a checkerboard: cutouts before and after, and stickers as captioned strips."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glassine.data.alpha import composite_frames
from glassine.data.sticker import Sticker
from glassine.utils.colors import checkerboard

STRIP_PAPER, INK = (250, 250, 249), (28, 28, 30)
STRIP_MARGIN, STRIP_GAP, TEXT = 16, 4, 22


def film_strips(stickers: Sequence[Sticker], captions: Sequence[str], frames: int = 8, tile: int = 128) -> Image.Image:
    """Draw stickers on a checkerboard, one per row.

    Args:
        stickers: at least one.
        captions: one per sticker; truncated if longer than the row.
        frames: maximum frames per sticker, evenly spaced.
        tile: side in pixels of the square into which a frame is fitted.
    """
    columns = min(frames, max(sticker.num_frames for sticker in stickers))
    width = 2 * STRIP_MARGIN + columns * (tile + STRIP_GAP) - STRIP_GAP
    canvas = Image.new("RGB", (width, 2 * STRIP_MARGIN + len(stickers) * (tile + TEXT + STRIP_GAP)), STRIP_PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for row, (sticker, caption) in enumerate(zip(stickers, captions, strict=True)):
        top = STRIP_MARGIN + row * (tile + TEXT + STRIP_GAP)
        number_shown = min(columns, sticker.num_frames)
        shown = np.arange(number_shown) * sticker.num_frames // number_shown  # includes number 8 of 16
        for column, number in enumerate(shown):
            picture = fitted(sticker.frames[number], tile)
            place = (
                STRIP_MARGIN + column * (tile + STRIP_GAP) + (tile - picture.width) // 2,
                top + (tile - picture.height) // 2,
            )
            canvas.paste(picture, place)
        while caption and draw.textlength(caption, font) > width - 2 * STRIP_MARGIN:
            caption = caption.rstrip("…")[:-1] + "…" if caption != "…" else ""
        draw.text((STRIP_MARGIN, top + tile + 3), caption, INK, font)
    return canvas


def fitted(frame: np.ndarray, tile: int) -> Image.Image:
    """`h w 4` uint8 on a checkerboard, its longer side `tile` pixels."""
    height, width = frame.shape[:2]
    shown = composite_frames(frame, checkerboard(height, width))
    scale = tile / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))


Picture = NDArray[np.uint8]
MARGIN, GAP = 12, 6
PAPER = (244, 245, 247)


class PreviewStrip:
    """Collects thumbnails of a sticker of unknown length and arranges them; keeps at most `2 * columns`.

    Args:
        columns: number of frames in the strip (or fewer if there are fewer).
        tile: longer side of a thumbnail in pixels; smaller stickers are enlarged by integer factors, which keeps their
            pixels square.
    """

    def __init__(self, columns: int = 6, tile: int = 192) -> None:
        self.columns, self.tile = columns, tile
        self._kept: list[tuple[Picture, Picture]] = []
        self._stride, self._seen = 1, 0

    def add(self, before: Picture, after: Picture) -> None:
        """Add one frame: the input, or its `thumbnail`, and the result; both `h w 4` uint8, straight."""
        if self._seen % self._stride == 0:
            if len(self._kept) == 2 * self.columns:  # keep every other one, and sample half as often from now on
                self._kept = self._kept[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self._kept.append((self.thumbnail(before), self.thumbnail(after)))
        self._seen += 1

    def picture(self) -> Image.Image:
        """The strip so far.

        Raises:
            ValueError: no frame was added.
        """
        if not self._kept:
            raise ValueError("a preview needs at least one frame")
        count = min(self.columns, len(self._kept))
        chosen = [self._kept[i] for i in np.linspace(0, len(self._kept) - 1, count).round().astype(int)]
        height, width = chosen[0][0].shape[:2]
        canvas = np.empty((2 * MARGIN + 2 * height + GAP, 2 * MARGIN + count * (width + GAP) - GAP, 3), np.uint8)
        canvas[:] = PAPER
        board = checkerboard(height, width)
        for column, (before, after) in enumerate(chosen):
            left = MARGIN + column * (width + GAP)
            for row, picture in enumerate((before, after)):
                top = MARGIN + row * (height + GAP)
                canvas[top : top + height, left : left + width] = composite_frames(picture, board)
        return Image.fromarray(canvas)

    def thumbnail(self, picture: Picture) -> Picture:
        """`h w 4` to an image of the tile's size, resized premultiplied so that no invisible color bleeds in.

        An image whose longer side is already `tile` is returned unchanged.
        """
        height, width = picture.shape[:2]
        longer = max(height, width)
        if longer > 16 * self.tile:  # very large: subsample first, which saves memory and looks the same at this size
            step = longer // (8 * self.tile)
            picture = picture[::step, ::step]
        if longer <= self.tile:
            return picture.repeat(self.tile // longer, axis=0).repeat(self.tile // longer, axis=1)
        size = (max(1, round(width * self.tile / longer)), max(1, round(height * self.tile / longer)))
        alpha = picture[..., 3:].astype(np.float32)
        mixed = np.concatenate([picture[..., :3] * (alpha / 255), alpha], axis=-1)  # h w 4
        mixed = cv2.resize(mixed, size, interpolation=cv2.INTER_AREA)
        color = mixed[..., :3] / np.maximum(mixed[..., 3:] / 255, 1 / 255)
        small = np.concatenate([color, mixed[..., 3:]], axis=-1)
        return np.clip(small.round(), 0, 255).astype(np.uint8)

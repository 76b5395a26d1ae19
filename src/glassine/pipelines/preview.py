"""A picture to judge a cutout by: input above, result on a checkerboard below, for frames spread over the whole."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glassine.checkerboard import checkerboard
from glassine.data.alpha import composite_frames

Picture = NDArray[np.uint8]
MARGIN, GAP = 12, 6
PAPER = (244, 245, 247)


class PreviewStrip:
    """Collects thumbnails of a sticker of unknown length and lays them out; holds `2 * columns` of them at most.

    Args:
        columns: how many frames the strip shows (fewer if there are fewer).
        tile: longer side of a thumbnail in pixels; smaller stickers are enlarged by whole factors, which keeps their
            pixels square.
    """

    def __init__(self, columns: int = 6, tile: int = 192) -> None:
        self.columns, self.tile = columns, tile
        self._kept: list[tuple[Picture, Picture]] = []
        self._stride, self._seen = 1, 0

    def add(self, before: Picture, after: Picture) -> None:
        """Look at one frame: the input, or its `thumbnail`, and the result; both `h w 4` uint8, straight."""
        if self._seen % self._stride == 0:
            if len(self._kept) == 2 * self.columns:  # keep every other one, and from now on take half as many
                self._kept = self._kept[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self._kept.append((self.thumbnail(before), self.thumbnail(after)))
        self._seen += 1

    def picture(self) -> Image.Image:
        """The strip as it stands.

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
        """`h w 4` to a picture of the tile's size, resized premultiplied so that no invisible colour leaks in.

        One whose longer side is the tile's already stays as it is.
        """
        height, width = picture.shape[:2]
        longer = max(height, width)
        if longer > 16 * self.tile:  # huge: a sample of it first, which saves memory and is as good at this size
            step = longer // (8 * self.tile)
            picture = picture[::step, ::step]
        if longer <= self.tile:
            return picture.repeat(self.tile // longer, axis=0).repeat(self.tile // longer, axis=1)
        size = (max(1, round(width * self.tile / longer)), max(1, round(height * self.tile / longer)))
        alpha = picture[..., 3:].astype(np.float32)
        mixed = np.concatenate([picture[..., :3] * (alpha / 255), alpha], axis=-1)  # h w 4
        mixed = cv2.resize(mixed, size, interpolation=cv2.INTER_AREA)
        colour = mixed[..., :3] / np.maximum(mixed[..., 3:] / 255, 1 / 255)
        small = np.concatenate([colour, mixed[..., 3:]], axis=-1)
        return np.clip(small.round(), 0, 255).astype(np.uint8)

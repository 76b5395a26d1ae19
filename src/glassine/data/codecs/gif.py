"""Read GIF: Pillow unpacks the pictures (LZW), they are laid over each other here, as browsers do it.

Pillow and FFmpeg paint a cleared box in the background colour when a picture has no transparent colour of its own;
browsers, and so this reader, always clear to transparent.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.gif_layout import GifPicture, gif_layout
from glassine.data.codecs.guard import check_size, damaged, decoding
from glassine.data.codecs.reader import StickerReader

_CLEAR, _RESTORE = 2, (3, 4)  # old encoders wrote 4 where they meant 3


class GifReader(StickerReader):
    """GIF with every disposal method, local palettes and 1-bit alpha, which is straight by nature.

    What reaches outside the canvas is clipped; a first frame that does enlarges it. A delay of 10 ms or less reads as
    100 ms. Both are what browsers show.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = layout = gif_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        for picture in layout.pictures:  # also of what is clipped, since a picture is unpacked as a whole
            if picture.box[2] * picture.box[3] > max_pixels:
                check_size(name, *picture.box[2:], max_pixels)
        self._file, self._name = file, name
        self.width, self.height, self.loop = layout.width, layout.height, layout.loop
        self.durations, self.notes = layout.durations, layout.said
        self.num_frames = len(layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        # one number for the four bytes of a pixel: several times faster to look up and to copy
        canvas = np.zeros((self.height, self.width), np.uint32)
        for picture, duration in zip(self._layout.pictures, self._layout.durations, strict=True):
            left, top, width, height = picture.box
            box = canvas[top : top + height, left : left + width]
            before = box.copy() if picture.disposal in _RESTORE else None
            if box.size:
                numbers, palette = self._unpack(picture)
                numbers = numbers[: box.shape[0], : box.shape[1]]
                painted = True if picture.transparent is None else numbers != picture.transparent
                np.copyto(box, palette[numbers], where=painted)
            yield canvas.copy().view(np.uint8).reshape(self.height, self.width, 4), duration
            if picture.disposal == _CLEAR:
                box[...] = 0
            elif before is not None:
                box[...] = before

    def _unpack(self, picture: GifPicture) -> tuple[np.ndarray, np.ndarray]:
        """Colour numbers `h w` uint8 and the palette `256`, RGBA bytes seen as uint32, opaque; missing ones black."""
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 3] = 255
        colours = np.frombuffer(self._bytes(picture.table), np.uint8).reshape(-1, 3)
        palette[: len(colours), :3] = colours
        _, _, width, height = picture.box
        # a GIF of this picture alone, without a colour table, so that Pillow hands out the bare numbers
        alone = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
        alone += struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0x40 if picture.interlaced else 0)
        with decoding(self._name):
            image = Image.open(io.BytesIO(alone + self._bytes(picture.data) + b"\x3b"), formats=("GIF",))
            return np.asarray(image), palette.view(np.uint32)[:, 0]

    def _bytes(self, span: tuple[int, int]) -> bytes:
        begin, end = span
        self._file.seek(begin)
        data = self._file.read(end - begin)
        if len(data) < end - begin:
            raise damaged(self._name, "the GIF is shorter than when it was opened")
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

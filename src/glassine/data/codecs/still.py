"""Read still JPEG and BMP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from glassine.data.codecs.guard import STILL_MS, check_size, decoding
from glassine.data.codecs.reader import StickerReader


class StillReader(StickerReader):
    """One frame of 1000 ms out of a JPEG or BMP, turned upright as its EXIF note says."""

    num_frames = 1
    durations = (STILL_MS,)

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._file, self._name = file, name
        with decoding(name):
            # the size is checked below by our own limit, before a pixel is decoded
            self._image = Image.open(file, formats=("JPEG", "BMP"))
            self.width, self.height = self._image.size
            check_size(name, self.width, self.height, max_pixels)
            if self._image.getexif().get(0x0112, 1) >= 5:  # lying on its side
                self.width, self.height = self.height, self.width
            self.opaque = "A" not in self._image.getbands()

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        with decoding(self._name):
            yield np.array(ImageOps.exif_transpose(self._image).convert("RGBA")), STILL_MS

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

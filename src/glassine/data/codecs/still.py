"""Read still JPEG and BMP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.color import by_profile, cmyk_to_srgb, to_srgb
from glassine.data.codecs.exif import orientation, upright, upright_size
from glassine.data.codecs.guard import STILL_MS, check_size, decoding
from glassine.data.codecs.pixels import rgba_pixels
from glassine.data.codecs.reader import StickerReader


class StillReader(StickerReader):
    """One frame of 1000 ms out of a JPEG or BMP, turned upright as its EXIF note says, its colors brought to sRGB."""

    num_frames = 1
    durations = (STILL_MS,)

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._file, self._name = file, name
        with decoding(name):
            # the size is checked below by our own limit, before a pixel is decoded
            self._image = Image.open(file, formats=("JPEG", "BMP"))
            self.width, self.height = self._image.size
            check_size(name, self.width, self.height, max_pixels)
            exif, profile = (self._image.info.get(key) for key in ("exif", "icc_profile"))
            self._turned = orientation(exif) if isinstance(exif, bytes) else 1
            self._convert = by_profile(profile) if isinstance(profile, bytes) else None
            self.width, self.height = upright_size(self.width, self.height, self._turned)
            self.opaque = "A" not in self._image.getbands()

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        with decoding(self._name):
            image = cmyk_to_srgb(self._image) if self._image.mode == "CMYK" else self._image
            picture = to_srgb(rgba_pixels(image), self._convert)
            yield upright(picture, self._turned), STILL_MS

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

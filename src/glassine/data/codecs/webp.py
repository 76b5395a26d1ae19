"""Read WebP, still and animated: walk its chunks for size and timing, then let Pillow (libwebp) decode."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.guard import STILL_MS, ZERO_DELAY_MS, check_size, damaged, decoding
from glassine.data.codecs.reader import StickerReader


@dataclass(frozen=True)
class WebpLayout:
    """What a WebP says about itself: canvas in pixels, durations in ms, plays (0 for ever)."""

    width: int
    height: int
    durations: tuple[int, ...]
    loop: int


def _uint24(data: bytes) -> int:
    return int.from_bytes(data[:3], "little")


def webp_layout(file: BinaryIO, name: str) -> WebpLayout:
    """Walk all chunks without decoding a pixel.

    Raises:
        UserError: cut off, or without a frame.
    """
    file.seek(0, 2)
    length = file.tell()
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    if end > length:
        raise damaged(name, f"the WebP should have {end:,} bytes and has {length:,}")
    width = height = loop = 0
    still = False
    durations: list[int] = []
    place = 12
    while place + 8 <= end:
        file.seek(place)
        tag, size = struct.unpack("<4sI", file.read(8))
        if place + 8 + size > end:
            raise damaged(name, f"the WebP ends inside frame {len(durations) + 1}")
        head = file.read(min(size, 16))
        if tag == b"VP8X" and size >= 10:
            width, height = _uint24(head[4:]) + 1, _uint24(head[7:]) + 1
        elif tag == b"ANIM" and size >= 6:
            loop = struct.unpack("<H", head[4:6])[0]
        elif tag == b"ANMF" and size >= 16:
            durations.append(_uint24(head[12:]) or ZERO_DELAY_MS)
        elif tag in (b"VP8 ", b"VP8L") and size >= 10:
            still = True
            if not width:
                if tag == b"VP8 ":
                    width, height = (side & 0x3FFF for side in struct.unpack("<HH", head[6:10]))
                else:
                    bits = int.from_bytes(head[1:5], "little")
                    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        place += 8 + size + size % 2
    if not durations and not still:
        raise damaged(name, "the WebP has no frames")
    return WebpLayout(width, height, tuple(durations) or (STILL_MS,), loop if durations else 0)


class WebpReader(StickerReader):
    """WebP; its pixels are straight. libwebp keeps the file's compressed bytes and one canvas in memory.

    A duration of 0 reads as 100 ms, as browsers show it; a still picture has 1000 ms.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = layout = webp_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        self._file, self._name = file, name
        self.width, self.height, self.loop = layout.width, layout.height, layout.loop
        self.durations = layout.durations
        self.num_frames = len(layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        self._file.seek(0)
        with decoding(self._name):
            image = Image.open(self._file, formats=("WEBP",))
            if getattr(image, "n_frames", 1) != self.num_frames:
                raise damaged(self._name, f"only {getattr(image, 'n_frames', 1)} of {self.num_frames} frames are whole")
            for number, duration in enumerate(self._layout.durations):
                image.seek(number)
                yield np.array(image.convert("RGBA")), duration

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

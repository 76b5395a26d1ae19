"""Read PNG and APNG: walk the chunks for size, timing and completeness, then let Pillow decode."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.guard import STILL_MS, ZERO_DELAY_MS, check_size, damaged, decoding
from glassine.data.codecs.reader import StickerReader
from glassine.data.codecs.timing import whole_durations


@dataclass(frozen=True)
class PngLayout:
    """What a PNG says about itself.

    `hidden_default`: the plain picture that old programs show is no frame of the animation.
    """

    width: int
    height: int
    durations: tuple[int, ...]
    loop: int
    hidden_default: bool


def png_layout(file: BinaryIO, name: str) -> PngLayout:
    """Walk all chunks without decoding a pixel.

    Raises:
        UserError: cut off, or fewer frames than it promises.
    """
    file.seek(0, 2)
    length = file.tell()
    place = 8
    width = height = promised = loop = 0
    picture = animated = hidden_default = ended = False
    delays: list[Fraction] = []
    while place + 12 <= length and not ended:
        file.seek(place)
        size, tag = struct.unpack(">I4s", file.read(8))
        if place + 12 + size > length:
            break
        head = file.read(min(size, 26))
        if tag == b"IHDR" and size >= 13:
            width, height = struct.unpack(">II", head[:8])
        elif tag == b"acTL" and size >= 8 and not picture:
            animated = True
            promised, loop = struct.unpack(">II", head[:8])
        elif tag == b"fcTL" and size >= 26:
            number, unit = struct.unpack(">HH", head[20:24])
            delays.append(Fraction(1000 * number, unit or 100))
        elif tag == b"IDAT" and not picture:
            picture = True
            hidden_default = animated and not delays
        ended = tag == b"IEND"
        place += 12 + size
    if not ended:
        raise damaged(name, f"the PNG ends after {length:,} bytes inside a chunk")
    if not picture or (animated and (not delays or len(delays) != promised)):
        raise damaged(name, f"the PNG promises {promised if animated else 1} frames and has {len(delays)}")
    if not animated:
        return PngLayout(width, height, (STILL_MS,), 0, False)
    return PngLayout(width, height, whole_durations(delays, ZERO_DELAY_MS), loop, hidden_default)


class PngReader(StickerReader):
    """PNG and APNG; pixels are straight by the standard. 16-bit channels are brought down to 8.

    Fractions of a millisecond are rounded without drift; a duration of 0 reads as 100 ms; a still picture has 1000 ms.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = png_layout(file, name)
        check_size(name, self._layout.width, self._layout.height, max_pixels)
        self._file, self._name = file, name
        self.width, self.height, self.loop = self._layout.width, self._layout.height, self._layout.loop
        self.durations = self._layout.durations
        self.num_frames = len(self._layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        self._file.seek(0)
        with decoding(self._name):
            image = Image.open(self._file, formats=("PNG",))
            first = int(self._layout.hidden_default)
            for number, duration in enumerate(self._layout.durations):
                image.seek(number + first)
                yield np.array(eight_bit(image).convert("RGBA")), duration

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def eight_bit(image: Image.Image) -> Image.Image:
    """The picture with its gray brought down from 16 bits, which Pillow would clip; it does so itself with colours."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int32) >> 8).astype(np.uint8))

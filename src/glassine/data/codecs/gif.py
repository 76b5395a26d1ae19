"""Read GIF: walk its blocks for size, timing and completeness, then let Pillow decode."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.guard import ZERO_DELAY_MS, check_size, damaged, decoding
from glassine.data.codecs.reader import StickerReader

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


@dataclass(frozen=True)
class GifLayout:
    """What a GIF says about itself: canvas in pixels, durations in ms, plays (0 for ever)."""

    width: int
    height: int
    durations: tuple[int, ...]
    loop: int


def _skip_blocks(file: BinaryIO) -> bytes:
    """Pass the data blocks that follow; gives the first one's content."""
    first: bytes | None = None
    while True:
        size = file.read(1)
        if not size:
            raise EOFError("a data block is missing")
        content = file.read(size[0])
        if len(content) < size[0]:
            raise EOFError("a data block is too short")
        if not content:
            return first or b""
        first = content if first is None else first


def gif_layout(file: BinaryIO, name: str) -> GifLayout:
    """Walk all blocks without decoding a pixel. A missing end mark after whole frames is forgiven.

    A loop extension with the number n means "repeat n times", so n + 1 plays; without it a GIF plays once.

    Raises:
        UserError: cut off, or without a frame.
    """
    file.seek(6)
    durations: list[int] = []
    delay, loop = 0, 1
    try:
        width, height, flags = struct.unpack("<HHBxx", file.read(7))
        if flags & 0x80:
            file.seek(3 << ((flags & 7) + 1), 1)
        while (mark := file.read(1)) and mark[0] != _TRAILER:
            if mark[0] == _EXTENSION:
                label = file.read(1)[0]
                first = file.read(1)[0]
                content = file.read(first)
                if label == 0xF9 and first >= 4:
                    delay = struct.unpack("<H", content[1:3])[0]
                    _skip_blocks(file)
                elif label == 0xFF and content in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                    told = _skip_blocks(file)
                    if len(told) >= 3 and told[0] & 7 == 1:
                        repeats = struct.unpack("<H", told[1:3])[0]
                        loop = repeats + 1 if repeats else 0
                elif first:
                    _skip_blocks(file)
            elif mark[0] == _IMAGE:
                left, top, wide, high, flags = struct.unpack("<HHHHB", file.read(9))
                if flags & 0x80:
                    file.seek(3 << ((flags & 7) + 1), 1)
                file.seek(1, 1)
                _skip_blocks(file)
                width, height = max(width, left + wide), max(height, top + high)
                durations.append(delay * 10 or ZERO_DELAY_MS)
                delay = 0
            # any other byte between blocks is filler, which decoders pass over
    except (EOFError, IndexError, struct.error) as error:
        raise damaged(name, f"the GIF ends inside frame {len(durations) + 1}") from error
    if not durations:
        raise damaged(name, "the GIF has no frames")
    return GifLayout(width, height, tuple(durations), loop)


class GifReader(StickerReader):
    """GIF with every disposal method, local palettes and 1-bit alpha, which is straight by nature.

    Frames that reach outside the canvas enlarge it. A duration of 0 reads as 100 ms, as browsers show it.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        layout = gif_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        self._file, self._name = file, name
        self.width, self.height, self.loop = layout.width, layout.height, layout.loop
        self.durations = layout.durations
        self.num_frames = len(layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        self._file.seek(0)
        with decoding(self._name):
            image = Image.open(self._file, formats=("GIF",))
            for number, duration in enumerate(self.durations):
                image.seek(number)
                frame = np.array(image.convert("RGBA"))
                if frame.shape[:2] != (self.height, self.width):
                    whole = np.zeros((self.height, self.width, 4), np.uint8)
                    whole[: frame.shape[0], : frame.shape[1]] = frame
                    frame = whole
                yield frame, duration

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

"""Read GIF: size, timing and completeness come from its blocks; Pillow decompresses the images (LZW).

Images are composited here as in browsers. Pillow and FFmpeg fill a cleared box with the background color if an image
has no transparent color of its own; browsers, and therefore this reader, always clear to transparent.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader
from glassine.data.codecs.guard import check_size, damaged, decoding
from glassine.data.codecs.lottie import LeftOutWarning
from glassine.data.codecs.timing import shown_durations

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_LOOPERS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_CONTROL, _APPLICATION = 0xF9, 0xFF
_LEAST_FRAME_BYTES = 5  # size of the smallest frame, ignoring zeros


@dataclass(frozen=True)
class GifPicture:
    """Location of one GIF image in the file, and how to handle it.

    `table` and `data` are byte ranges (begin, end); `box` is left, top, width, height in pixels; `transparent` is a
    color index or None; `disposal` is what happens after it was shown: 2 clears its box, 3 restores the previous
    content.
    """

    table: tuple[int, int]
    data: tuple[int, int]
    box: tuple[int, int, int, int]
    interlaced: bool
    transparent: int | None
    disposal: int


@dataclass(frozen=True)
class GifLayout:
    """Metadata of a GIF: canvas in pixels, durations in ms, plays (0 for forever).

    `said` holds notes for the user; `lost` describes what may be missing, or is empty.
    """

    width: int
    height: int
    pictures: tuple[GifPicture, ...]
    durations: tuple[int, ...]
    loop: int
    said: tuple[str, ...] = ()
    lost: str = ""


def _skip_blocks(file: BinaryIO) -> bytes:
    """Skip the following data blocks; returns the content of the first."""
    first: bytes | None = None
    while True:
        content = file.read(file.read(1)[0])
        if not content:
            return first or b""
        first = content if first is None else first


def _skip_table(file: BinaryIO, flags: int) -> tuple[int, int]:
    """Skip the color table declared by `flags`; returns its byte range, empty if there is none."""
    begin = file.tell()
    end = begin + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    file.seek(end)
    return begin, end


def gif_layout(file: BinaryIO, name: str) -> GifLayout:
    """Walk all blocks.

    A missing end mark after complete frames is tolerated, as in browsers, but reported: a file truncated between two
    frames looks the same. So are bytes that belong to no block, which may be a damaged frame.

    A loop extension with the number n means "repeat n times", so n + 1 plays; without it a GIF plays once.
    Blocks: GIF89a specification (CompuServe, 1990), sections 17 to 27.

    Raises:
        UserError: the file is truncated, or has no frames.
    """
    length = file.seek(0, 2)
    file.seek(6)
    pictures: list[GifPicture] = []
    delays: list[int] = []
    disposal, transparent, delay = 0, None, 0
    loop, mark, stray = 1, b"", 0
    try:
        width, height, flags = struct.unpack("<HHBxx", file.read(7))
        shared_table = _skip_table(file, flags)
        while (mark := file.read(1)) and mark[0] != _TRAILER:
            if mark[0] == _EXTENSION:
                label = file.read(1)[0]
                content = file.read(file.read(1)[0])
                told = _skip_blocks(file) if content else b""
                if label == _CONTROL and len(content) >= 4:
                    flags, delay, number = struct.unpack("<BHB", content[:4])
                    disposal, transparent = flags >> 2 & 7, number if flags & 1 else None
                elif label == _APPLICATION and content in _LOOPERS and len(told) >= 3 and told[0] & 7 == 1:
                    repeats = int.from_bytes(told[1:3], "little")
                    loop = repeats + 1 if repeats else 0
            elif mark[0] == _IMAGE:
                *box, flags = struct.unpack("<HHHHB", file.read(9))
                table = _skip_table(file, flags)
                begin = file.tell()
                file.seek(1, 1)
                _skip_blocks(file)
                if file.tell() > length:
                    raise EOFError
                own = table if flags & 0x80 else shared_table
                left, top, wide, high = box
                picture = GifPicture(
                    own, (begin, file.tell()), (left, top, wide, high), bool(flags & 0x40), transparent, disposal
                )
                pictures.append(picture)
                delays.append(delay * 10)
                if len(pictures) == 1:  # as in browsers: the first image enlarges the canvas, later ones are clipped
                    width, height = max(width, left + wide), max(height, top + high)
                disposal, transparent, delay = 0, None, 0
            elif mark[0]:  # filler, which decoders skip; zeros are common
                stray += 1
        stray += sum(map(bool, file.read(64)))
    except (EOFError, IndexError, struct.error) as error:
        raise damaged(name, f"the GIF ends inside frame {len(pictures) + 1}") from error
    if not pictures:
        raise damaged(name, "the GIF has no frames")
    durations, said = shown_durations(delays)
    lost = f"what may have followed frame {len(pictures)} (the GIF ends without its end mark)" if not mark else ""
    if stray >= _LEAST_FRAME_BYTES:
        lost = f"bytes that belong to no frame, where there may have been one ({len(pictures)} frames are read)"
    return GifLayout(width, height, tuple(pictures), durations, loop, said, lost)


_CLEAR, _RESTORE = 2, (3, 4)  # old encoders wrote 4 instead of 3


class GifReader(StickerReader):
    """GIF with every disposal method, local palettes and 1-bit alpha, which is inherently straight.

    Anything outside the canvas is clipped; a first frame that exceeds it enlarges it. Delays of 10 ms or less are read
    as 100 ms. Both are what browsers do. So is reading a file that may have lost frames at its end, or to damage
    between them, with a `LeftOutWarning`.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = layout = gif_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        for picture in layout.pictures:  # including clipped parts, since an image is decompressed as a whole
            if picture.box[2] * picture.box[3] > max_pixels:
                check_size(name, *picture.box[2:], max_pixels)
        self._file, self._name = file, name
        self.width, self.height, self.loop = layout.width, layout.height, layout.loop
        self.durations, self.notes = layout.durations, layout.said
        self.num_frames = len(layout.durations)
        if layout.lost:
            warnings.warn(f"{name}: not drawn: {layout.lost}", LeftOutWarning, stacklevel=2)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        # one number for the four bytes of a pixel: several times faster to look up and copy
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
        """Color indices `h w` uint8 and palette `256`, RGBA viewed as uint32, opaque; missing entries black."""
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 3] = 255
        colors = np.frombuffer(self._bytes(picture.table), np.uint8).reshape(-1, 3)
        palette[: len(colors), :3] = colors
        _, _, width, height = picture.box
        # a GIF with only this image and no color table, so that Pillow returns the bare indices
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
        """Close the file."""
        self._file.close()

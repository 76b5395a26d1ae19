"""Read and write WebP, still and animated, with Pillow (libwebp); the container is handled here.

The reader walks the chunks for size and timing. The writer processes one frame at a time: Pillow's own animation writer
keeps every frame until the end and merges equal neighbors. Container:
https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader, StickerWriter, changed_box, rgba_pixels
from glassine.data.codecs.color import MOST_PROFILE_BYTES, by_profile, to_srgb
from glassine.data.codecs.guard import SHORTEST_SHOWN_MS, STILL_MS, check_size, damaged, decoding
from glassine.data.codecs.still import orientation, upright, upright_size
from glassine.data.codecs.timing import shown_durations
from glassine.utils.errors import UserError

_PICTURES = (b"VP8 ", b"VP8L")
_MOST_EXIF_BYTES = 2**16
Span = tuple[int, int]
"""Offset and size of a chunk's content."""


@dataclass(frozen=True)
class WebpLayout:
    """Metadata of a WebP: canvas in pixels, durations in ms, plays (0 for forever).

    `end` is the number of bytes that belong to it; `profile` and `exif` are byte ranges, empty if there is none.
    """

    width: int
    height: int
    durations: tuple[int, ...]
    loop: int
    end: int
    profile: Span = (0, 0)
    exif: Span = (0, 0)
    said: tuple[str, ...] = ()


def _uint24(data: bytes) -> int:
    return int.from_bytes(data[:3], "little")


def _chunks(file: BinaryIO, begin: int, end: int, name: str) -> Iterator[tuple[bytes, int, int]]:
    """Tag, content offset and size of each chunk between two offsets."""
    place = begin
    while place + 8 <= end:
        file.seek(place)
        tag, size = struct.unpack("<4sI", file.read(8))
        if place + 8 + size > end:
            raise damaged(name, f"the WebP ends inside its chunk {tag.decode('ascii', 'replace')!r}")
        yield tag, place + 8, size
        place += 8 + size + size % 2


def _picture_size(file: BinaryIO, name: str, tag: bytes, place: int, size: int) -> tuple[int, int]:
    """Width and height declared by the compressed image itself, for which a decoder allocates memory."""
    file.seek(place)
    head = file.read(min(size, 10))
    if tag == b"VP8 " and len(head) == 10 and head[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[6:])
        return width & 0x3FFF, height & 0x3FFF
    if tag == b"VP8L" and len(head) >= 5 and head[0] == 0x2F:
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise damaged(name, "a picture of the WebP has no header")


def webp_layout(file: BinaryIO, name: str) -> WebpLayout:
    """Walk all chunks without decoding a pixel; sizes are those of the compressed images, which must fit the canvas.

    Container: https://developers.google.com/speed/webp/docs/riff_container

    Raises:
        UserError: the file is truncated, has no frames, or its chunks contradict each other.
    """
    length = file.seek(0, 2)
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    if end > length:
        raise damaged(name, f"the WebP should have {end:,} bytes and has {length:,}")
    canvas: tuple[int, int] | None = None
    loop, animated, still = 0, False, False
    spans: dict[bytes, Span] = {}
    delays: list[int] = []
    for number, (tag, place, size) in enumerate(_chunks(file, 12, end, name)):
        if tag in _PICTURES:
            shown = _picture_size(file, name, tag, place, size)
            if canvas is None:  # the simple format: anything after it is ignored
                return WebpLayout(*shown, (STILL_MS,), 0, place + size + size % 2)
            if shown != canvas and not animated:
                raise damaged(name, f"its picture is {shown[0]}x{shown[1]} on a canvas of {canvas[0]}x{canvas[1]}")
            still = True
        elif tag == b"VP8X" and number == 0 and size >= 10:
            head = _read(file, place, 10)
            animated = bool(head[0] & 2)
            canvas = _uint24(head[4:]) + 1, _uint24(head[7:]) + 1
        elif canvas is None or tag == b"VP8X":
            raise damaged(name, "the WebP does not begin with its header, or has two")
        elif tag == b"ANIM" and size >= 6:
            loop = struct.unpack("<H", _read(file, place, 6)[4:])[0]
        elif tag == b"ANMF" and size >= 16 and animated:
            delays.append(_check_frame(file, name, place, size, canvas, len(delays)))
        elif tag in (b"ICCP", b"EXIF"):
            spans.setdefault(tag, (place, size))
    if canvas is None or not (delays or (still and not animated)):
        raise damaged(name, "the WebP has no frames")
    durations, said = shown_durations(delays) if delays else ((STILL_MS,), ())
    more = spans.get(b"ICCP", (0, 0)), spans.get(b"EXIF", (0, 0))
    return WebpLayout(*canvas, durations, loop if delays else 0, end, *more, said)


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _check_frame(file: BinaryIO, name: str, place: int, size: int, canvas: tuple[int, int], number: int) -> int:
    """Delay of an animation frame in ms; checks that its image has the declared size and is on the canvas."""
    head = _read(file, place, 16)
    left, top = 2 * _uint24(head), 2 * _uint24(head[3:])
    stated = _uint24(head[6:]) + 1, _uint24(head[9:]) + 1
    if left + stated[0] > canvas[0] or top + stated[1] > canvas[1]:
        raise damaged(name, f"frame {number} of the WebP reaches outside the canvas")
    pictures = [c for c in _chunks(file, place + 16, place + size, name) if c[0] in _PICTURES]
    if not pictures or any(_picture_size(file, name, *picture) != stated for picture in pictures):
        raise damaged(name, f"frame {number} of the WebP has no picture of its size")
    return _uint24(head[12:])


class WebpReader(StickerReader):
    """WebP; its pixels are straight. libwebp keeps the file's compressed bytes and one canvas in memory.

    Delays of 10 ms or less are read as 100 ms, as in browsers; still images last 1000 ms. Colors are converted to sRGB,
    and images with an orientation are rotated upright.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = layout = webp_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        self._file, self._name = file, name
        (place, size), (exif_place, exif_size) = layout.profile, layout.exif
        self._convert = by_profile(_read(file, place, size)) if size <= MOST_PROFILE_BYTES else None
        self._turned = orientation(_read(file, exif_place, min(exif_size, _MOST_EXIF_BYTES)))
        self.width, self.height = upright_size(layout.width, layout.height, self._turned)
        self.loop, self.durations, self.notes = layout.loop, layout.durations, layout.said
        self.num_frames = len(layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        with decoding(self._name):
            data = _read(self._file, 0, self._layout.end)
            # the size left by the simple format's only chunk
            whole = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
            image = Image.open(io.BytesIO(whole), formats=("WEBP",))
            del data, whole
            if getattr(image, "n_frames", 1) != self.num_frames:
                raise damaged(self._name, f"only {getattr(image, 'n_frames', 1)} of {self.num_frames} frames are whole")
            for number, duration in enumerate(self._layout.durations):
                image.seek(number)
                picture = to_srgb(rgba_pixels(image), self._convert)
                yield upright(picture, self._turned), duration

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_ANIMATION, _ALPHA, _OVERWRITE = 0x02, 0x10, 0x02


class WebpWriter(StickerWriter):
    """WebP with straight alpha. Each frame stores the changed box, which replaces the previous content.

    A single frame is written as a still WebP.

    Args:
        path: see `StickerWriter`.
        width: at most 16,383.
        height: at most 16,383.
        loop: see `StickerWriter`.
        quality: None is lossless, bit for bit, including colors of invisible pixels; 0 to 100 is lossy in color (4:2:0)
            with lossless alpha, and does not keep colors of invisible pixels.
        whole_canvas: store full frames, for programs that composite partial frames incorrectly.
    """

    longest_side = 16_383
    shortest_ms = SHORTEST_SHOWN_MS

    def __init__(
        self, path: Path, width: int, height: int, loop: int, quality: int | None, whole_canvas: bool = False
    ) -> None:
        super().__init__(path, width, height, loop)
        self.quality, self.whole_canvas = quality, whole_canvas
        self._previous: np.ndarray | None = None
        self._alone: tuple[np.ndarray, int] | None = None  # the first frame, until another one comes

    def _start(self, path: Path) -> None:
        self._file = path.open("wb")

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        if duration_ms >= 1 << 24:
            raise UserError(
                f"cannot write {self.path}: a duration must be at most 16,777,215 ms in WebP, got {duration_ms}"
            )
        if not self.num_frames:
            self._alone = frame.copy(), duration_ms
            return
        if self._alone is not None:
            size = (self.width - 1).to_bytes(3, "little") + (self.height - 1).to_bytes(3, "little")
            self._file.write(b"RIFF" + bytes(4) + b"WEBP")
            self._file.write(struct.pack("<4sIB3x", b"VP8X", 10, _ANIMATION | _ALPHA) + size)
            self._file.write(struct.pack("<4sI4xH", b"ANIM", 6, self.loop))
            first, self._alone = self._alone, None
            self._write_frame(*first)
        self._write_frame(frame, duration_ms)

    def _write_frame(self, frame: np.ndarray, duration_ms: int) -> None:
        left, top, right, bottom = changed_box(None if self.whole_canvas else self._previous, frame)
        left, top = left - left % 2, top - top % 2  # the container stores offsets divided by two
        picture = _picture_chunks(_packed(frame[top:bottom, left:right], self.quality))
        numbers = (left // 2, top // 2, right - left - 1, bottom - top - 1, duration_ms)
        header = b"".join(number.to_bytes(3, "little") for number in numbers) + bytes([_OVERWRITE])
        self._file.write(struct.pack("<4sI", b"ANMF", len(header) + len(picture)) + header + picture)
        self._previous = frame.copy()

    def _finish(self) -> None:
        if self._alone is not None:
            self._file.write(_packed(self._alone[0], self.quality))
            self._file.close()
            return
        length = self._file.tell()
        if length - 8 >= 1 << 32:
            raise UserError(
                f"cannot write {self.path}: it would pass 4 GiB, the most a WebP can hold; write .webm or .mov"
            )
        self._file.seek(4)
        self._file.write(struct.pack("<I", length - 8))
        self._file.close()

    def _abandon(self) -> None:
        self._file.close()


def _packed(pixels: np.ndarray, quality: int | None) -> bytes:
    """A still WebP of `h w 4` uint8."""
    packed = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels), "RGBA")
    if quality is None:
        # for lossless images `quality` is the effort
        image.save(packed, format="WEBP", lossless=True, exact=True, quality=50, method=3)
    else:
        image.save(packed, format="WEBP", quality=quality, alpha_quality=100, method=4)
    return packed.getvalue()


def _picture_chunks(data: bytes) -> bytes:
    """The image chunks (ALPH and VP8, or VP8L) of a still WebP."""
    chunks, place = [], 12
    while place < len(data):
        tag, size = struct.unpack_from("<4sI", data, place)
        end = place + 8 + size + size % 2
        if tag in (b"ALPH", b"VP8 ", b"VP8L"):
            chunks.append(data[place:end])
        place = end
    return b"".join(chunks)

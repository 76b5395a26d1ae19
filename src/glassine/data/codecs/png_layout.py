"""Walk a PNG's chunks for size, timing, colors and completeness without decoding a pixel.

PNG specification, third edition (https://www.w3.org/TR/png-3). Chunks without image data (text, notes of programs) are
skipped unread: neither their size nor their checksum matters.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

from glassine.data.codecs.color import MOST_PROFILE_BYTES, Convert, by_code_points, by_gamma, by_profile
from glassine.data.codecs.guard import STILL_MS, damaged
from glassine.data.codecs.still import orientation
from glassine.data.codecs.timing import shown_durations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEEP, CLEAR, RESTORE = 0, 1, 2
SOURCE, OVER = 0, 1
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# small chunks that define how pixels are interpreted
_NOTES = {b"PLTE": 768, b"tRNS": 256, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"iCCP": 2**22, b"eXIf": 2**16}


@dataclass(frozen=True)
class PngHeader:
    """Depth in bits, color type 0, 2, 3, 4 or 6, and whether the lines are interlaced."""

    depth: int
    color_type: int
    interlaced: int

    def chunk(self, width: int, height: int) -> bytes:
        """`IHDR` for an image of this kind."""
        return png_chunk(
            b"IHDR", struct.pack(">IIBBBBB", width, height, self.depth, self.color_type, 0, 0, self.interlaced)
        )

    def unpacked_bytes(self, width: int, height: int) -> int:
        """Maximum decompressed size of an image's lines in bytes, interlaced or not."""
        line = (width * self.depth * _CHANNELS[self.color_type] + 7) // 8 + 8
        return 2 * line * (height + 8)


@dataclass
class PngFrame:
    """One image: `box` is left, top, width, height in pixels; `chunks` are (offset, size) of its data chunks."""

    box: tuple[int, int, int, int]
    dispose: int = KEEP
    blend: int = SOURCE
    delay: Fraction = Fraction(STILL_MS)
    chunks: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class PngLayout:
    """Metadata of a PNG.

    `notes` are the small chunks that define how pixels are interpreted; `said` holds notes for the user.
    """

    width: int
    height: int
    header: PngHeader
    frames: tuple[PngFrame, ...]
    durations: tuple[int, ...]
    loop: int
    notes: dict[bytes, bytes]
    said: tuple[str, ...] = ()

    @property
    def orientation(self) -> int:
        """1 to 8, as in EXIF."""
        return orientation(self.notes.get(b"eXIf", b""))

    def convert(self) -> Convert | None:
        """The conversion to sRGB, from the first of `cICP`, `iCCP`, `sRGB`, and `gAMA` with `cHRM`."""
        points, profile = self.notes.get(b"cICP", b""), self.notes.get(b"iCCP", b"")
        if len(points) == 4 and points[2] == 0 and points[3] == 1:
            return by_code_points(points[0], points[1])
        if profile:
            packed = profile[profile.find(b"\0") + 2 :]
            try:
                return by_profile(zlib.decompressobj().decompress(packed, MOST_PROFILE_BYTES))
            except zlib.error:
                return None
        gamma, places = self.notes.get(b"gAMA", b""), self.notes.get(b"cHRM", b"")
        if b"sRGB" in self.notes or len(gamma) < 4:
            return None
        chromaticities = struct.unpack(">8I", places) if len(places) == 32 else None
        return by_gamma(int.from_bytes(gamma, "big"), chromaticities)


def png_chunk(tag: bytes, content: bytes) -> bytes:
    """A full chunk: size, tag, content, checksum."""
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))


class _Walker:
    """Processes the chunks in order and collects their metadata."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name = file, name
        self.notes: dict[bytes, bytes] = {}
        self.default: PngFrame | None = None  # the image in IDAT
        self.frames: list[PngFrame] = []
        self.promised: int | None = None  # number of frames, if animated
        self.loop = self.sequence = 0
        self.header: PngHeader | None = None
        self.width = self.height = 0

    def take(self, tag: bytes, place: int, size: int) -> None:
        if self.header is None:
            if tag != b"IHDR" or size != 13:
                raise damaged(self.name, "the PNG does not begin with its header")
            self._head(self._content(place, 13))
        elif tag == b"IHDR":
            raise damaged(self.name, "the PNG has two headers")
        elif tag == b"IDAT":
            if self.default is None:
                whole = PngFrame((0, 0, self.width, self.height))
                self.default = self.frames[0] if self.frames else whole
                if self.default.box != whole.box:
                    raise damaged(self.name, "the first frame of the APNG is not as large as the whole")
            self.default.chunks.append((place, size))
        elif tag == b"acTL" and size == 8 and self.default is None and self.promised is None:
            self.promised, self.loop = struct.unpack(">II", self._content(place, 8))
        elif tag == b"fcTL" and self.promised is not None:
            self.frames.append(self._frame(self._content(place, 26)))
        elif tag == b"fdAT" and self.promised is not None:
            if not self.frames or self.default is None or size < 4:
                raise damaged(self.name, "the APNG has data that belong to no frame")
            self.file.seek(place + 8)
            self._count(int.from_bytes(self.file.read(4), "big"))
            self.frames[-1].chunks.append((place, size))
        elif tag in _NOTES and tag not in self.notes and (self.default is None or tag == b"eXIf"):
            content = self._content(place, size, critical=tag == b"PLTE") if size <= _NOTES[tag] else None
            if content is not None:
                self.notes[tag] = content

    def _content(self, place: int, size: int, critical: bool = True) -> bytes:
        """A chunk's content after checking it; empty if an ancillary chunk has a wrong checksum."""
        self.file.seek(place + 4)
        data = self.file.read(4 + size + 4)
        if len(data) < 8 + size or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
            if critical:
                raise damaged(self.name, f"the PNG's chunk {data[:4].decode('ascii', 'replace')} has a wrong checksum")
            return b""
        return data[4:-4]

    def _head(self, content: bytes) -> None:
        self.width, self.height, depth, color_type, method, filters, interlaced = struct.unpack(">IIBBBBB", content)
        if depth not in _DEPTHS.get(color_type, ()) or method or filters or interlaced > 1:
            raise damaged(self.name, "the PNG's header makes no sense")
        self.header = PngHeader(depth, color_type, interlaced)

    def _count(self, number: int) -> None:
        if number != self.sequence:
            raise damaged(self.name, f"the APNG's chunk number {self.sequence} is missing")
        self.sequence += 1

    def _frame(self, content: bytes) -> PngFrame:
        number, width, height, left, top, delay, unit, dispose, blend = struct.unpack(">IIIIIHHBB", content)
        self._count(number)
        if not (width and height and left + width <= self.width and top + height <= self.height):
            raise damaged(self.name, f"frame {len(self.frames)} of the APNG reaches outside the picture")
        if dispose > RESTORE or blend > OVER:
            raise damaged(self.name, f"frame {len(self.frames)} of the APNG makes no sense")
        return PngFrame((left, top, width, height), dispose, blend, Fraction(1000 * delay, unit or 100))


def png_layout(file: BinaryIO, name: str) -> PngLayout:
    """Walk all chunks.

    An animation with a wrong frame count shows the frames present, at most as many as declared, as in browsers; with a
    count of 0 the plain image is shown.

    Raises:
        UserError: the file is truncated, or its chunks contradict each other.
    """
    length = file.seek(0, 2)
    walker, place, ended = _Walker(file, name), 8, False
    while place + 12 <= length and not ended:
        file.seek(place)
        size, tag = struct.unpack(">I4s", file.read(8))
        if place + 12 + size > length:
            break
        walker.take(tag, place, size)
        ended = tag == b"IEND"
        place += 12 + size
    if not ended or walker.header is None:
        raise damaged(name, f"the PNG ends after {length:,} bytes inside a chunk")
    if walker.default is None:
        raise damaged(name, "the PNG has no picture")
    size = walker.width, walker.height
    if not walker.promised or not walker.frames:
        plain = PngFrame((0, 0, *size), chunks=walker.default.chunks)
        return PngLayout(*size, walker.header, (plain,), (STILL_MS,), 0, walker.notes)
    frames = tuple(walker.frames[: walker.promised])
    if not all(frame.chunks for frame in frames):
        raise damaged(name, "a frame of the APNG has no picture")
    durations, said = shown_durations([frame.delay for frame in frames])
    if len(walker.frames) != walker.promised:
        said += (f"it promises {walker.promised} frames and has {len(walker.frames)}; {len(frames)} are shown",)
    return PngLayout(*size, walker.header, frames, durations, walker.loop, walker.notes, said)

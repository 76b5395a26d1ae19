"""Metadata of files, read chunk by chunk with our own parsers, which share nothing with the writers.

Each returns `Facts`. Pixels are decoded by Pillow (GIF, PNG, WebP) and FFmpeg (WebM), never by the package's own
readers. Containers: WebP https://developers.google.com/speed/webp/docs/riff_container, PNG https://www.w3.org/TR/png-3,
GIF89a (CompuServe 1990), Matroska https://www.rfc-editor.org/rfc/rfc9559 and WebM's alpha
https://wiki.webmproject.org/alpha-channel.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction


class BrokenFileError(ValueError):
    """A file that violates its format."""


@dataclass
class Facts:
    """Contents of a file.

    Attributes:
        format: webm, webp, apng, png or gif.
        durations: milliseconds of each frame; empty for a still image.
        plays: number of plays, 0 for forever.
        whole: each frame covers the whole canvas.
        modes: blend and dispose modes, one pair per frame.
        codec: codec of a video, otherwise empty.
        has_alpha: the file declares alpha.
        tracks: track types of a video.
    """

    format: str
    width: int
    height: int
    durations: list[float] = field(default_factory=list)
    plays: int = 0
    whole: list[bool] = field(default_factory=list)
    modes: list[tuple[int, int]] = field(default_factory=list)
    codec: str = ""
    has_alpha: bool = False
    tracks: list[str] = field(default_factory=list)

    @property
    def total_ms(self) -> float:
        """Duration of one play."""
        return sum(self.durations)


def facts(data: bytes) -> Facts:
    """Read a file's structure to its end.

    Raises:
        BrokenFileError: unknown format, damage, or bytes after the end.
    """
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:6] in (b"GIF89a", b"GIF87a"):
            return _gif(data)
        if data[:4] == b"\x1a\x45\xdf\xa3":
            return _webm(data)
    except (struct.error, IndexError) as error:
        raise BrokenFileError(f"it is cut off ({error})") from error
    raise BrokenFileError("it is none of WebM, WebP, PNG and GIF")


def _png(data: bytes) -> Facts:
    place, chunks = 8, []
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        (crc,) = struct.unpack_from(">I", data, place + 8 + size)
        if zlib.crc32(tag + body) != crc:
            raise BrokenFileError(f"chunk {tag.decode('latin-1')} has a wrong checksum")
        chunks.append((tag, body))
        place += 12 + size
    if chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", b""):
        raise BrokenFileError("it does not begin with IHDR and end with IEND")
    width, height, depth, color = struct.unpack_from(">IIBB", chunks[0][1])
    found = Facts("png", width, height, has_alpha=color in (4, 6) or any(tag == b"tRNS" for tag, _ in chunks))
    if depth != 8:
        raise BrokenFileError(f"it has {depth} bits a channel instead of 8")
    sequence, announced = 0, None
    for tag, body in chunks:
        if tag == b"acTL":
            found.format = "apng"
            announced, found.plays = struct.unpack(">II", body)
        elif tag == b"fcTL":
            number, wide, high, left, top, over, under, dispose, blend = struct.unpack(">IIIIIHHBB", body)
            found.durations.append(float(1000 * Fraction(over, under or 100)))
            found.whole.append((wide, high, left, top) == (width, height, 0, 0))
            found.modes.append((blend, dispose))
            if left + wide > width or top + high > height or number != sequence:
                raise BrokenFileError("a frame lies outside the canvas or out of order")
            sequence += 1
        elif tag == b"fdAT":
            if struct.unpack_from(">I", body)[0] != sequence:
                raise BrokenFileError("its frames are out of order")
            sequence += 1
    if announced is not None and announced != len(found.durations):
        raise BrokenFileError(f"it announces {announced} frames and holds {len(found.durations)}")
    return found


def _webp(data: bytes) -> Facts:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 != len(data):
        raise BrokenFileError(f"it announces {length + 8} bytes and holds {len(data)}")
    found = Facts("webp", 0, 0)
    for tag, body in _riff(data, 12, len(data)):
        if tag == b"VP8X":
            found.has_alpha = bool(body[0] & 0x10)
            found.width = 1 + int.from_bytes(body[4:7], "little")
            found.height = 1 + int.from_bytes(body[7:10], "little")
        elif tag == b"ANIM":
            (found.plays,) = struct.unpack_from("<H", body, 4)
        elif tag == b"ANMF":
            left, top, wide, high, duration = (int.from_bytes(body[n : n + 3], "little") for n in range(0, 15, 3))
            found.durations.append(float(duration))
            found.whole.append((left, top, wide + 1, high + 1) == (0, 0, found.width, found.height))
            found.modes.append((body[15] >> 1 & 1, body[15] & 1))
            if [tag for tag, _ in _riff(body, 16, len(body))][-1:] not in ([b"VP8 "], [b"VP8L"]):
                raise BrokenFileError("a frame holds no picture")
        elif tag == b"VP8L" and not found.width:
            bits = int.from_bytes(body[1:5], "little")
            found.width, found.height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
            found.has_alpha = bool(bits >> 28 & 1)
        elif tag == b"VP8 " and not found.width:
            wide, high = struct.unpack_from("<HH", body, 6)
            found.width, found.height = wide & 0x3FFF, high & 0x3FFF
    return found


def _riff(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    while place < end:
        tag, size = struct.unpack_from("<4sI", data, place)
        if place + 8 + size > end:
            raise BrokenFileError(f"chunk {tag.decode('latin-1')} reaches past the end")
        yield tag, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _gif(data: bytes) -> Facts:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    found = Facts("gif", width, height, plays=1)
    delay, dispose, clear = 0, 0, False
    while data[place] != 0x3B:
        if data[place] == 0x21:
            label, body, place = _gif_extension(data, place)
            if label == 0xF9:
                delay, dispose, clear = struct.unpack_from("<H", body, 1)[0], body[0] >> 2 & 7, bool(body[0] & 1)
            elif label == 0xFF and body[:11] == b"NETSCAPE2.0":
                repeats = struct.unpack_from("<H", body, 12)[0]
                found.plays = repeats + 1 if repeats else 0
        elif data[place] == 0x2C:
            left, top, wide, high, local = struct.unpack_from("<HHHHB", data, place + 1)
            place += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
            while data[place]:
                place += 1 + data[place]
            place += 1
            found.durations.append(delay * 10.0)
            found.whole.append((left, top, wide, high) == (0, 0, width, height))
            found.modes.append((0, dispose))
            found.has_alpha |= clear
        else:
            raise BrokenFileError(f"a block begins with {data[place]:#x}")
    if place != len(data) - 1:
        raise BrokenFileError("there are bytes after its end")
    if len(found.durations) == 1:
        found.durations, found.plays = [], 0
    return found


def _gif_extension(data: bytes, place: int) -> tuple[int, bytes, int]:
    """Label, content and the offset after it; content in several blocks is joined without their sizes."""
    label, body = data[place + 1], b""
    place += 2
    first = data[place]
    while data[place]:
        size = data[place]
        body += data[place + 1 : place + 1 + size]
        place += 1 + size
    return label, body[:first] + body[first:], place + 1


_PARENTS = {0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1549A966, 0x1F43B675, 0xA0, 0x75A1, 0xA6}
_TRACKS = {1: "video", 2: "audio", 17: "subtitles"}


def _webm(data: bytes) -> Facts:
    found = Facts("webm", 0, 0)
    scale, length, cluster, starts, blocks, extra, last = 1_000_000, 0.0, 0, [], 0, 0, 0.0
    doc = ""
    for name, body in _elements(data, 0, len(data)):
        number = int.from_bytes(body, "big") if len(body) <= 8 else 0
        match name:
            case 0x4282:
                doc = body.rstrip(b"\0").decode("latin-1")
            case 0x2AD7B1:
                scale = number
            case 0x4489:
                length = struct.unpack(">d" if len(body) == 8 else ">f", body)[0]
            case 0x83:
                found.tracks.append(_TRACKS.get(number, str(number)))
            case 0x86:
                found.codec = body.rstrip(b"\0").decode("latin-1")
            case 0xB0:
                found.width = number
            case 0xBA:
                found.height = number
            case 0x53C0:
                found.has_alpha = number == 1
            case 0xE7:
                cluster = number
            case 0xA3 | 0xA1:
                starts.append((cluster + struct.unpack_from(">h", body, 1)[0]) * scale / 1e6)
                blocks += 1
            case 0xA5:
                extra += 1
            case 0x9B:
                last = number * scale / 1e6
    if doc != "webm":
        raise BrokenFileError(f"it calls itself {doc or 'nothing'} instead of webm")
    if found.has_alpha and extra != blocks:
        raise BrokenFileError(f"only {extra} of {blocks} frames carry alpha")
    starts.sort()
    end = max(length * scale / 1e6, (starts[-1] + last) if starts else 0)
    found.durations = [after - start for start, after in zip(starts, [*starts[1:], end], strict=True)]
    return found


def _elements(data: bytes, place: int, end: int) -> Iterator[tuple[int, bytes]]:
    """All leaf elements, in order, descending into their parents."""
    while place < end:
        name, place = _number(data, place, keep_marker=True)
        start = place
        size, place = _number(data, place, keep_marker=False)
        unknown = size == (1 << 7 * (place - start)) - 1
        stop = end if unknown else place + size
        if stop > end:
            raise BrokenFileError(f"element {name:#x} reaches past the end")
        if name in _PARENTS or name == 0x1A45DFA3:
            yield from _elements(data, place, stop)
        else:
            yield name, data[place:stop]
        place = stop


def _number(data: bytes, place: int, keep_marker: bool) -> tuple[int, int]:
    first = data[place]
    if not first:
        raise BrokenFileError("an element has a name or size longer than 8 bytes")
    length = 9 - first.bit_length()
    value = int.from_bytes(data[place : place + length], "big")
    return value if keep_marker else value & (1 << 7 * length) - 1, place + length

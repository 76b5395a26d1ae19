"""Walk the boxes of AVIF and HEIC for sizes, timing, loops and colors without decoding a pixel.

ISO/IEC 14496-12 (boxes, edit lists), 23008-12 (image items and their properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_MOST_BOXES = 20_000
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"iprp", b"ipco"}
_VERSIONED = {b"meta": 4, b"stsd": 8}  # containers with this many bytes before their boxes
_SAMPLE_ENTRY_BYTES = 78  # of an image, before its own boxes
_SAMPLE_ENTRIES = (b"av01", b"hvc1", b"hev1")
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class IsoLayout:
    """Metadata from the boxes.

    Attributes:
        sizes: width and height of every image item and image track.
        delays: milliseconds per frame of the first image track; empty for a still image.
        loop: number of plays of the track, 0 for forever.
        code_points: color primaries and transfer characteristics of ITU-T H.273, or None.
    """

    sizes: tuple[tuple[int, int], ...]
    delays: tuple[Fraction, ...]
    loop: int
    code_points: tuple[int, int] | None


def iso_layout(data: bytes) -> IsoLayout:
    """Read the boxes of a whole file.

    Raises:
        ValueError: invalid boxes.
    """
    sizes: list[tuple[int, int]] = []
    points: tuple[int, int] | None = None
    scale, movie_length, edit = 1, 0, (0, 0)  # edit: flags, length
    counts: list[tuple[int, int]] = []  # of the first image track: frames, ticks
    in_pictures = done = False
    try:
        for tag, begin, end in walk_boxes(data):
            if tag == b"ispe" and end - begin >= 12:
                sizes.append(struct.unpack_from(">II", data, begin + 4))
            elif tag in _SAMPLE_ENTRIES and end - begin >= _SAMPLE_ENTRY_BYTES:
                sizes.append(struct.unpack_from(">HH", data, begin + 24))
            elif tag == b"colr" and data[begin : begin + 4] == b"nclx" and points is None:
                points = struct.unpack_from(">HH", data, begin + 4)
            elif tag == b"trak":
                done = done or bool(counts)
            elif tag == b"tkhd" and not done:
                movie_length = _long(data, begin, 20, 28)
            elif tag == b"elst" and not done:
                flags, number = int.from_bytes(data[begin + 1 : begin + 4], "big"), data[begin + 7]
                edit = (flags, _long(data, begin, 8, 8)) if number == 1 else (0, 0)
            elif tag == b"hdlr":
                in_pictures = data[begin + 8 : begin + 12] == b"pict"
            elif tag == b"mdhd" and not done:
                (scale,) = struct.unpack_from(">I", data, begin + (20 if data[begin] else 12))
            elif tag == b"stts" and in_pictures and not done:
                (rows,) = struct.unpack_from(">I", data, begin + 4)
                counts = [
                    struct.unpack_from(">II", data, begin + 8 + 8 * row) for row in range(min(rows, _MOST_FRAMES))
                ]
    except (struct.error, IndexError) as error:
        raise ValueError("a box is cut off") from error
    if sum(count for count, _ in counts) > _MOST_FRAMES or (counts and not scale):
        raise ValueError("the frames of its track make no sense")
    delays = tuple(Fraction(1000 * ticks, scale) for count, ticks in counts for _ in range(count))
    return IsoLayout(tuple(sizes), delays, _plays(edit, movie_length), points)


def _plays(edit: tuple[int, int], movie_length: int) -> int:
    """Number of plays of a track: a repeating edit (flag 1) repeats until the track's duration is filled."""
    flags, length = edit
    if not length or movie_length in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF):
        return 0
    return -(-movie_length // length) if flags & 1 else 1


def _long(data: bytes, begin: int, place: int, long_place: int) -> int:
    """A 4-byte length at `place`, or an 8-byte one at `long_place` in version 1 of the box."""
    if data[begin]:
        return int(struct.unpack_from(">Q", data, begin + long_place)[0])
    return int(struct.unpack_from(">I", data, begin + place)[0])


def walk_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Tag and content range of every box, containers before their content; without recursion.

    Raises:
        ValueError: boxes that exceed their container, or too many boxes.
    """
    waiting, seen = [(0, len(data))], 0
    while waiting:
        place, stop = waiting.pop()
        if place + 8 > stop:
            continue
        size, tag = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        box_end = stop if size == 0 else place + size
        seen += 1
        if box_end > stop or box_end < start or seen > _MOST_BOXES:
            raise ValueError(f"the box {tag.decode('ascii', 'replace')!r} makes no sense")
        yield tag, start, box_end
        waiting.append((box_end, stop))
        if tag in _CONTAINERS:
            waiting.append((start, box_end))
        elif tag in _VERSIONED:
            waiting.append((start + _VERSIONED[tag], box_end))
        elif tag in _SAMPLE_ENTRIES:
            waiting.append((start + _SAMPLE_ENTRY_BYTES, box_end))

"""Frame durations and size of GIF, WebP and APNG bytes, read from their headers without decoding a pixel."""

import struct
from dataclasses import dataclass

DEFAULT_DURATION = 100
"""Milliseconds given to a frame that states none (browsers show such GIF frames for a tenth of a second)."""


@dataclass(frozen=True)
class FileTiming:
    """What the headers say.

    Attributes:
        durations: milliseconds per frame, at least 1; one entry for a still.
        width: pixels.
        height: pixels.
    """

    durations: tuple[int, ...]
    width: int
    height: int


def file_timing(data: bytes) -> FileTiming:
    """Read the headers.

    Args:
        data: the whole file.

    Raises:
        ValueError: not a GIF, WebP or PNG, cut short, or without a frame.
    """
    try:
        if data[:4] == b"GIF8":
            return _gif(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
    except (struct.error, IndexError) as error:
        raise ValueError("the file is cut short") from error
    raise ValueError("not a GIF, WebP or PNG file")


def _gif(data: bytes) -> FileTiming:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    durations: list[int] = []
    delay = 0
    while data[position] != 0x3B:
        if data[position] == 0x21:  # extension: 0xF9 is the graphic control, its delay in hundredths of a second
            if data[position + 1] == 0xF9:
                delay = struct.unpack_from("<H", data, position + 4)[0] * 10
            position = _skip_blocks(data, position + 2)
        elif data[position] == 0x2C:
            local = data[position + 9]
            position += 10 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
            position = _skip_blocks(data, position + 1)
            durations.append(delay or DEFAULT_DURATION)
            delay = 0
        else:
            raise ValueError(f"unknown GIF block 0x{data[position]:02x}")
    return _checked(durations, width, height)


def _skip_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += data[position] + 1
    return position + 1


def _webp(data: bytes) -> FileTiming:
    durations: list[int] = []
    width = height = 0
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise ValueError("the file is cut short")
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        body = position + 8
        if name == b"VP8X":
            width = int.from_bytes(data[body + 4 : body + 7], "little") + 1
            height = int.from_bytes(data[body + 7 : body + 10], "little") + 1
        elif name == b"ANMF":
            durations.append(int.from_bytes(data[body + 12 : body + 15], "little") or DEFAULT_DURATION)
        elif name == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, body + 6))
        elif name == b"VP8L" and not width:
            bits = struct.unpack_from("<I", data, body + 1)[0]
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        position = body + size + (size & 1)
    return _checked(durations or [DEFAULT_DURATION], width, height)


def _png(data: bytes) -> FileTiming:
    width, height = struct.unpack_from(">II", data, 16)
    durations: list[int] = []
    position = 8
    while True:
        size, name = struct.unpack_from(">I4s", data, position)
        if name == b"fcTL":
            over, under = struct.unpack_from(">HH", data, position + 28)
            durations.append(round(1000 * over / (under or 100)) or DEFAULT_DURATION)
        if name == b"IEND":
            return _checked(durations or [DEFAULT_DURATION], width, height)
        position += size + 12


def _checked(durations: list[int], width: int, height: int) -> FileTiming:
    if not durations or not width or not height:
        raise ValueError("the file has no frame")
    return FileTiming(tuple(durations), width, height)

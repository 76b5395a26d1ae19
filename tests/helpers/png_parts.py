"""Handmade PNG and APNG, chunk by chunk."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(tag: bytes, content: bytes, wrong: bool = False) -> bytes:
    """A chunk; `wrong` gives it a wrong checksum."""
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content) ^ wrong)


def header(width: int, height: int, depth: int = 8, color_type: int = 6) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))


def packed(pixels: np.ndarray) -> bytes:
    """Lines without filter: `h w c` of bytes, or `h n` of packed bytes."""
    return zlib.compress(b"".join(b"\0" + line.tobytes() for line in pixels))


def flat(width: int, height: int, color: tuple[int, ...]) -> np.ndarray:
    return np.tile(np.array(color, np.uint8), (height, width, 1))


def png(pixels: np.ndarray, *notes: bytes, depth: int = 8, color_type: int = 6, width: int | None = None) -> bytes:
    """A still picture, with chunks of notes before it."""
    width = pixels.shape[1] if width is None else width
    head = SIGNATURE + header(width, len(pixels), depth, color_type)
    return head + b"".join(notes) + chunk(b"IDAT", packed(pixels)) + chunk(b"IEND", b"")


def apng(size: tuple[int, int], frames: list[tuple], promised: int | None = None, hidden: np.ndarray | None = None):
    """Frames `(pixels, left, top, dispose, blend, delay, unit)`, the last two if need be; a hidden picture before."""
    data = SIGNATURE + header(*size) + chunk(b"acTL", struct.pack(">II", promised or len(frames), 0))
    if hidden is not None:
        data += chunk(b"IDAT", packed(hidden))
    sequence = 0
    for number, (pixels, left, top, dispose, blend, *delay) in enumerate(frames):
        place = struct.pack(">IIIII", sequence, pixels.shape[1], pixels.shape[0], left, top)
        data += chunk(b"fcTL", place + struct.pack(">HHBB", *(delay or (1, 10)), dispose, blend))
        sequence += 1
        if number == 0 and hidden is None:
            data += chunk(b"IDAT", packed(pixels))
        else:
            data += chunk(b"fdAT", struct.pack(">I", sequence) + packed(pixels))
            sequence += 1
    return data + chunk(b"IEND", b"")

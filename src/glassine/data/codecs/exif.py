"""Which way up a picture is held: the orientation in an EXIF note, read without trusting a byte of it."""

from __future__ import annotations

import struct

import numpy as np

_ORIENTATION = 0x0112
_SHORT = 3
_MOST_BYTES = 2**16  # the first directory, which holds the orientation, lies near the start


def orientation(note: bytes) -> int:
    """The orientation of an EXIF note, 1 to 8; 1 (upright) where there is none or the note makes no sense.

    The note is a TIFF: EXIF 2.32, section 4.5.

    Args:
        note: with or without the `Exif` mark that JPEG puts before it.
    """
    data = note[6:_MOST_BYTES] if note[:6] in (b"Exif\0\0", b"Exif\0\xff") else note[:_MOST_BYTES]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, place)
        for number in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", data, place + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def upright_size(width: int, height: int, turned: int) -> tuple[int, int]:
    """Width and height after `upright`."""
    return (height, width) if turned >= 5 else (width, height)


def upright(picture: np.ndarray, turned: int) -> np.ndarray:
    """A picture `h w c` turned and mirrored as its orientation (1 to 8) asks for."""
    if turned in (2, 3, 7, 8):
        picture = picture[:, ::-1]
    if turned in (3, 4, 6, 7):
        picture = picture[::-1]
    if turned >= 5:
        picture = picture.swapaxes(0, 1)
    return np.ascontiguousarray(picture)

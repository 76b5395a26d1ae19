"""Write APNG frame by frame: Pillow packs pictures, the animation chunks are made here.

Pillow's own animation writer keeps every frame until the end and merges equal neighbours; this does neither.
Chunks: PNG specification, third edition, sections 11.3.6 and 12 (https://www.w3.org/TR/png-3).
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs.writer import StickerWriter, changed_box
from glassine.errors import UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(tag: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))


class ApngWriter(StickerWriter):
    """APNG, lossless with straight alpha. Each frame stores the box that changed, which replaces what was there.

    Also the writer for one still picture: a program that knows no APNG shows the first frame.
    """

    def _start(self, path: Path) -> None:
        self._previous: np.ndarray | None = None
        self._sequence = 0
        self._file = path.open("wb")
        self._file.write(_SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 6, 0, 0, 0)))
        self._control_at = self._file.tell()
        self._file.write(self._control())

    def _control(self) -> bytes:
        return _chunk(b"acTL", struct.pack(">II", self.num_frames, self.loop))

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        left, top, right, bottom = changed_box(self._previous, frame)
        place = struct.pack(">IIII", right - left, bottom - top, left, top)
        # 0, 0: leave the frame standing, and replace (not blend) the box
        control = self._number() + place + struct.pack(">HHBB", *self._delay(duration_ms), 0, 0)
        self._file.write(_chunk(b"fcTL", control))
        pixels = _pixel_data(frame[top:bottom, left:right])
        if self._previous is None:
            self._file.write(_chunk(b"IDAT", pixels))
        else:
            self._file.write(_chunk(b"fdAT", self._number() + pixels))
        self._previous = frame.copy()

    def _number(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)

    def _delay(self, duration_ms: int) -> tuple[int, int]:
        """Numerator and denominator in seconds; exact up to 65,535 ms, then to 10 ms, then to 1 s."""
        for unit in (1000, 100, 1):
            number = round(duration_ms * unit / 1000)
            if number <= 65_535:
                return number, unit
        raise UserError(f"cannot write {self.path}: a duration of {duration_ms} ms came; APNG takes up to 65,535 s")

    def _finish(self) -> None:
        self._file.write(_chunk(b"IEND", b""))
        self._file.seek(self._control_at)
        self._file.write(self._control())
        self._file.close()

    def _abandon(self) -> None:
        self._file.close()


def _pixel_data(pixels: np.ndarray) -> bytes:
    """The packed pixels out of a still PNG of `h w 4` uint8."""
    packed = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels), "RGBA").save(packed, format="PNG", compress_level=6)
    data = packed.getvalue()
    parts, place = [], len(_SIGNATURE)
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        if tag == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)

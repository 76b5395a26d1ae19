"""Write APNG frame by frame: Pillow packs pictures, the animation chunks are made here.

Pillow's own animation writer keeps every frame until the end and merges equal neighbors; this does neither.
Chunks: PNG specification, third edition, sections 11.3.6 and 12 (https://www.w3.org/TR/png-3).
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerWriter, changed_box
from glassine.data.codecs.guard import SHORTEST_SHOWN_MS
from glassine.data.codecs.png_layout import SIGNATURE, png_chunk
from glassine.utils.errors import UserError


class ApngWriter(StickerWriter):
    """APNG, lossless with straight alpha. Each frame stores the box that changed, which replaces what was there.

    A single frame becomes a plain PNG.

    Args:
        path: see `StickerWriter`.
        width: see `StickerWriter`.
        height: see `StickerWriter`.
        loop: see `StickerWriter`.
        whole_canvas: store every frame whole, for programs that lay frames over each other wrongly.
    """

    shortest_ms = SHORTEST_SHOWN_MS

    def __init__(self, path: Path, width: int, height: int, loop: int, whole_canvas: bool = False) -> None:
        super().__init__(path, width, height, loop)
        self.whole_canvas = whole_canvas
        self._previous: np.ndarray | None = None
        self._alone: tuple[np.ndarray, int] | None = None  # the first frame, until another one comes
        self._sequence = 0

    def _start(self, path: Path) -> None:
        self._file = path.open("wb")

    def _control(self) -> bytes:
        return png_chunk(b"acTL", struct.pack(">II", self.num_frames, self.loop))

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        if not self.num_frames:
            self._alone = frame.copy(), duration_ms
            return
        if self._alone is not None:
            header = struct.pack(">IIBBBBB", self.width, self.height, 8, 6, 0, 0, 0)
            self._file.write(SIGNATURE + png_chunk(b"IHDR", header))
            self._control_at = self._file.tell()
            self._file.write(self._control())
            first, self._alone = self._alone, None
            self._write_frame(*first)
        self._write_frame(frame, duration_ms)

    def _write_frame(self, frame: np.ndarray, duration_ms: int) -> None:
        left, top, right, bottom = changed_box(None if self.whole_canvas else self._previous, frame)
        place = struct.pack(">IIII", right - left, bottom - top, left, top)
        # 0, 0: leave the frame standing, and replace (not blend) the box
        control = self._number() + place + struct.pack(">HHBB", *self._delay(duration_ms), 0, 0)
        self._file.write(png_chunk(b"fcTL", control))
        pixels = _pixel_data(frame[top:bottom, left:right])
        if self._previous is None:
            self._file.write(png_chunk(b"IDAT", pixels))
        else:
            self._file.write(png_chunk(b"fdAT", self._number() + pixels))
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
        raise UserError(f"cannot write {self.path}: a duration must be at most 65,535 s in APNG, got {duration_ms} ms")

    def _finish(self) -> None:
        if self._alone is not None:
            Image.fromarray(self._alone[0], "RGBA").save(self._file, format="PNG", compress_level=6)
            self._file.close()
            return
        self._file.write(png_chunk(b"IEND", b""))
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
    parts, place = [], len(SIGNATURE)
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        if tag == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)

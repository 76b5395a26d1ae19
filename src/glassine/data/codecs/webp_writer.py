"""Write WebP frame by frame: libwebp (through Pillow) packs pictures, the container is made here.

Pillow's own animation writer keeps every frame until the end and merges equal neighbours; this does neither.
Container: https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs.guard import SHORTEST_SHOWN_MS
from glassine.data.codecs.writer import StickerWriter, changed_box
from glassine.errors import UserError

_ANIMATION, _ALPHA, _OVERWRITE = 0x02, 0x10, 0x02


class WebpWriter(StickerWriter):
    """WebP with straight alpha. Each frame stores the box that changed, which replaces what was there.

    A single frame becomes a plain WebP.

    Args:
        path: see `StickerWriter`.
        width: at most 16,383.
        height: at most 16,383.
        loop: see `StickerWriter`.
        quality: None is lossless to the last bit, colours of invisible pixels too; 0 to 100 is lossy in colour (4:2:0)
            with lossless alpha, and colours of invisible pixels are not kept.
        whole_canvas: store every frame whole, for programs that lay frames over each other wrongly.
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
                f"cannot write {self.path}: a duration of {duration_ms} ms came; WebP takes up to 16,777,215"
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
        left, top = left - left % 2, top - top % 2  # the container counts offsets in twos
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
        # for lossless pictures `quality` is the effort
        image.save(packed, format="WEBP", lossless=True, exact=True, quality=50, method=3)
    else:
        image.save(packed, format="WEBP", quality=quality, alpha_quality=100, method=4)
    return packed.getvalue()


def _picture_chunks(data: bytes) -> bytes:
    """The picture's own chunks (ALPH and VP8, or VP8L) out of a still WebP."""
    chunks, place = [], 12
    while place < len(data):
        tag, size = struct.unpack_from("<4sI", data, place)
        end = place + 8 + size + size % 2
        if tag in (b"ALPH", b"VP8 ", b"VP8L"):
            chunks.append(data[place:end])
        place = end
    return b"".join(chunks)

"""Write AVIF through Pillow (libavif): the frames wait in a temporary file until all have come."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from glassine.data.codecs.guard import SHORTEST_SHOWN_MS
from glassine.data.codecs.iso_boxes import walk_boxes
from glassine.data.codecs.video_writer import bled
from glassine.data.codecs.writer import StickerWriter
from glassine.errors import UserError

_SPEED = 6  # 0 to 10; libavif's own default


class AvifWriter(StickerWriter):
    """AVIF with straight alpha, 8 bits, 4:4:4; lossy in color and alpha. A single frame becomes a still AVIF.

    Args:
        path: see `StickerWriter`.
        width: at most 16,384.
        height: at most 16,384.
        loop: see `StickerWriter`.
        quality: 0 to 100, default 90.
    """

    longest_side = 16_384
    shortest_ms = SHORTEST_SHOWN_MS

    def __init__(self, path: Path, width: int, height: int, loop: int, quality: int | None) -> None:
        super().__init__(path, width, height, loop)
        self.quality = 90 if quality is None else quality
        self._durations: list[int] = []

    def _start(self, path: Path) -> None:
        self._target = path
        # on the disk that must have room for the result; closed by `_finish` or `_abandon`
        self._frames: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        self._frames.write(bled(frame).tobytes())
        self._durations.append(duration_ms)

    def _finish(self) -> None:
        image = Image.new("RGBA", (self.width, self.height))
        shown = -1

        def seek(number: int) -> None:
            nonlocal shown
            if number >= len(self._durations):
                raise EOFError
            if number != shown:
                self._frames.seek(number * 4 * self.width * self.height)
                image.frombytes(self._frames.read(4 * self.width * self.height))
                shown = number

        seek(0)
        # Pillow asks a picture with more than one frame for them one after the other
        vars(image).update(seek=seek, tell=lambda: 0, is_animated=len(self._durations) > 1)
        many = len(self._durations) > 1
        how = {"quality": self.quality, "subsampling": "4:4:4", "speed": _SPEED, "duration": self._durations}
        with self._target.open("w+b") as file:
            try:
                image.save(file, format="AVIF", save_all=many, **how)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise UserError(
                    f"cannot write {self.path}: the encoder refused ({reason}); try another format"
                ) from error
            if many and self.loop:
                _set_plays(file, self.loop, sum(self._durations))
        self._frames.close()

    def _abandon(self) -> None:
        self._frames.close()


def _set_plays(file: IO[bytes], plays: int, length_ms: int) -> None:
    """Write how often it plays into the tracks' lengths: an edit is repeated until they are filled."""
    file.seek(0)
    data = file.read()
    for tag, begin, _ in walk_boxes(data):
        place = {b"mvhd": (16, 24), b"tkhd": (20, 28)}.get(tag)
        if place is not None:
            long = bool(data[begin])
            file.seek(begin + place[long])
            file.write(struct.pack(">Q" if long else ">I", plays * length_ms))

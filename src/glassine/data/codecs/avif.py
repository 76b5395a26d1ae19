"""AVIF (by Pillow, libavif) and HEIC (by pi-heif or pillow-heif).

Files are read in a separate process, see :mod:`glassine.data.codecs.sandbox`. For writing, frames wait in a temporary
file until the last one has arrived, since libavif takes them all at once.
"""

from __future__ import annotations

import importlib.util
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from PIL import Image, features

from glassine.data.codecs.base import StickerReader, StickerWriter
from glassine.data.codecs.color import by_code_points, by_profile, to_srgb
from glassine.data.codecs.guard import SHORTEST_SHOWN_MS, STILL_MS, check_size, damaged
from glassine.data.codecs.iso_boxes import iso_layout, walk_boxes
from glassine.data.codecs.sandbox import Sandbox
from glassine.data.codecs.still import orientation, upright, upright_size
from glassine.data.codecs.timing import shown_durations
from glassine.data.codecs.video_writer import bled
from glassine.utils.errors import UserError

_MOST_BYTES = 2**28
_VIDEO_CURVES = (1, 6, 14, 15)


class AvifReader(StickerReader):
    """AVIF, still and animated, and HEIC; supports tile grids, rotation, alpha and color profiles.

    If an HEIC has several images, the primary one is read. Delays of 10 ms or less are read as 100 ms.

    Args:
        file: file open for reading.
        name: file name for messages.
        max_pixels: largest frame to read.
        kind: Pillow's name of the format, `AVIF` or `HEIF`.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int, kind: str) -> None:
        self._name, self._kind, self._max_pixels = name, kind, max_pixels
        _check_library(name, kind)
        length = file.seek(0, 2)
        if length > _MOST_BYTES:
            raise UserError(f"{name}: has {length:,} bytes; at most {_MOST_BYTES:,} are read; scale it down")
        file.seek(0)
        self._data = file.read()
        file.close()
        try:
            layout = iso_layout(self._data)
        except ValueError as error:
            raise damaged(name, str(error)) from error
        for size in layout.sizes:
            check_size(name, *size, max_pixels)
        if not layout.sizes:
            raise damaged(name, "it has no picture")
        self._pixels = max(width * height for width, height in layout.sizes)
        self._waiting: Sandbox | None = self._opened()
        child = self._waiting
        self.num_frames = child.frames
        if child.frames < 1:
            self.close()
            raise damaged(name, "it has no picture")
        self._turned = orientation(child.exif) if kind == "AVIF" else 1  # libheif rotates images itself
        self.width, self.height = upright_size(*child.size, self._turned)
        self._convert = by_profile(child.profile)
        if not child.profile and layout.code_points:
            primaries, transfer = layout.code_points
            # browsers treat the transfer functions of SD and HD video as sRGB here
            self._convert = by_code_points(primaries, 13 if transfer in _VIDEO_CURVES else transfer)
        self.opaque = not child.alpha
        self.durations = (STILL_MS,)
        if child.frames > 1:
            if len(layout.delays) < child.frames:
                self.close()
                raise damaged(name, f"it has {child.frames} frames and times for {len(layout.delays)}")
            self.durations, self.notes = shown_durations(layout.delays[: child.frames])
            self.loop = layout.loop

    def _opened(self) -> Sandbox:
        return Sandbox(self._kind, self._data, self._name, self._pixels, self._max_pixels)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        child, self._waiting = self._waiting or self._opened(), None
        try:
            for frame, duration in zip(child, self.durations or (), strict=True):
                yield upright(to_srgb(frame, self._convert), self._turned), duration
        finally:
            child.close()

    def close(self) -> None:
        """Close the file and end the process."""
        if self._waiting is not None:
            self._waiting.close()


def _check_library(name: str, kind: str) -> None:
    """Raise UserError if the format is not supported by the installed packages."""
    if kind == "AVIF" and not features.check("avif"):
        raise UserError(f"{name}: is an AVIF, which this Pillow was built without; pip install --upgrade pillow")
    if kind == "HEIF" and not any(importlib.util.find_spec(package) for package in ("pillow_heif", "pi_heif")):
        raise UserError(
            f"{name}: is an HEIC, which needs one more package; pip install 'glassine[heif]', or save it as JPEG or PNG"
        )


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
        # on the disk that the result is written to; closed by `_finish` or `_abandon`
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
        # Pillow requests the frames of an animated image one at a time
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
    """Encode the loop count in the tracks' durations: an edit is repeated until they are filled."""
    file.seek(0)
    data = file.read()
    for tag, begin, _ in walk_boxes(data):
        place = {b"mvhd": (16, 24), b"tkhd": (20, 28)}.get(tag)
        if place is not None:
            long = bool(data[begin])
            file.seek(begin + place[long])
            file.write(struct.pack(">Q" if long else ">I", plays * length_ms))

"""Write a folder or .zip of PNGs with a note of their timing."""

from __future__ import annotations

import io
import json
import zipfile
from abc import abstractmethod
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs.png_sequence import TIMING_NAME
from glassine.data.codecs.writer import StickerWriter


class PngSequenceWriter(StickerWriter):
    """`frame_00000.png`, `frame_00001.png`, ... and `animation.json` with durations and loop count; lossless."""

    def _start(self, path: Path) -> None:
        self._durations: list[int] = []
        self._open(path)

    @abstractmethod
    def _open(self, path: Path) -> None:
        """Make the folder or archive."""

    @abstractmethod
    def _put(self, name: str, data: bytes) -> None:
        """Store one member."""

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        packed = io.BytesIO()
        Image.fromarray(frame, "RGBA").save(packed, format="PNG", compress_level=6)
        self._put(f"frame_{self.num_frames:05d}.png", packed.getvalue())
        self._durations.append(duration_ms)

    def _finish(self) -> None:
        note = {"durations": self._durations, "loop": self.loop, "width": self.width, "height": self.height}
        self._put(TIMING_NAME, json.dumps(note).encode())
        self._abandon()


class PngZipWriter(PngSequenceWriter):
    """A .zip of PNGs, stored without a second compression."""

    def _open(self, path: Path) -> None:
        self._file = path.open("wb")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)

    def _put(self, name: str, data: bytes) -> None:
        # a fixed date: the same frames give the same bytes
        self._zip.writestr(zipfile.ZipInfo(name), data)

    def _abandon(self) -> None:
        try:
            self._zip.close()
        finally:
            self._file.close()


class PngFolderWriter(PngSequenceWriter):
    """A folder of PNGs; it must not exist yet, or be empty."""

    def _open(self, path: Path) -> None:
        self._folder = path
        path.mkdir()

    def _put(self, name: str, data: bytes) -> None:
        (self._folder / name).write_bytes(data)

    def _abandon(self) -> None:
        """Nothing stays open between frames."""

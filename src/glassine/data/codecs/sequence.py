"""Read and write a folder or .zip of PNGs, with a JSON file of their timing (optional when reading)."""

from __future__ import annotations

import io
import json
import re
import zipfile
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader, StickerWriter
from glassine.data.codecs.guard import LONGEST_MS, ZERO_DELAY_MS, check_size, damaged, decoding, printable
from glassine.data.codecs.png import PngReader
from glassine.data.codecs.still import Kind, sniff
from glassine.utils.errors import UserError

TIMING_NAME = "animation.json"
"""JSON file next to the PNGs: `{"durations": [ms, ...], "loop": 0}`. The default is 100 ms per frame, forever."""

_MOST_NOTE_BYTES = 2**20
_NOTE_BYTES_A_FRAME = 32
_MOST_DIRECTORY_BYTES = 2**24  # of a zip: some 200,000 members
_ENCRYPTED = 0x1


def _natural(name: str) -> list[tuple[int, str]]:
    """Natural sort key: frame2.png comes before frame10.png; numbers may have any number of digits."""
    parts = [(part, part.lstrip("0")) for part in re.split(r"([0-9]+)", name)]
    return [(len(digits), digits) if part[:1].isdecimal() else (-1, part) for part, digits in parts]


class PngSequenceReader(StickerReader):
    """PNGs of one size in natural name order, with straight alpha. Frames are read independently."""

    def __init__(self, name: str, members: list[str], max_pixels: int) -> None:
        pngs = [member for member in members if PurePosixPath(member).suffix.lower() == ".png"]
        self._pngs = sorted((png for png in pngs if not _hidden(png)), key=_natural)
        self._name, self._max_pixels = name, max_pixels
        if not self._pngs:
            raise UserError(f"{name}: has no PNG files in it; give one with at least one PNG, or another format")
        notes = [member for member in members if PurePosixPath(member).name == TIMING_NAME and not _hidden(member)]
        self.num_frames = len(self._pngs)
        self.durations = (ZERO_DELAY_MS,) * len(self._pngs)
        if notes:
            self.durations, self.loop = self._timing(notes[0])
        with self._open(self._pngs[0]) as first:
            self.width, self.height = first.width, first.height

    @abstractmethod
    def _read(self, member: str, limit: int) -> bytes:
        """Content of a member; more than `limit` bytes is an error."""

    def _label(self, member: str) -> str:
        return f"{self._name}/{printable(member)}"

    def _open(self, member: str) -> PngReader:
        name = self._label(member)
        # a PNG of random pixels with 16 bits per channel has slightly more than 8 bytes per pixel
        data = self._read(member, 9 * self._max_pixels + 2**20)
        if sniff(data[:16], name) is not Kind.PNG:
            raise damaged(name, "its content is no PNG")
        return PngReader(io.BytesIO(data), name, self._max_pixels)

    def _timing(self, member: str) -> tuple[tuple[int, ...], int]:
        try:
            note = json.loads(self._read(member, _MOST_NOTE_BYTES + _NOTE_BYTES_A_FRAME * len(self._pngs)))
            durations, loop = tuple(note["durations"]), note.get("loop", 0)
            fits = len(durations) == len(self._pngs)
            fits = fits and all(type(ms) is int and 0 < ms <= LONGEST_MS for ms in durations)
            fits = fits and type(loop) is int and 0 <= loop <= LONGEST_MS
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            fits = False
        if not fits:
            raise UserError(
                f"{self._label(member)}: is no timing note; it must be like {{'durations': [40, 40], 'loop': 0}} "
                f"with whole milliseconds for each of the {len(self._pngs)} PNGs; correct it or remove it"
            )
        return durations, loop

    def _frame(self, number: int) -> np.ndarray:
        with self._open(self._pngs[number]) as picture:
            check_size(self._label(self._pngs[number]), picture.width, picture.height, self._max_pixels)
            if (picture.width, picture.height) != (self.width, self.height):
                raise UserError(
                    f"{self._label(self._pngs[number])}: is {picture.width}x{picture.height} and the first PNG is "
                    f"{self.width}x{self.height}; all must have one size; scale them alike"
                )
            return next(iter(picture))[0]

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        for number, duration in enumerate(self.durations or ()):
            yield self._frame(number), duration

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """See `StickerReader`; only reads the requested frames."""
        outside = [index for index in indices if not 0 <= index < len(self._pngs)]
        if outside or not indices:
            return super().frames_at(outside[:1])
        return np.stack([self._frame(index) for index in indices])


def _hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member).parts)


def _check_directory(file: BinaryIO, name: str) -> None:
    """Reject zips whose member list would exhaust memory (APPNOTE 6.3.10, sections 4.3.14 and 4.3.16)."""
    length = file.seek(0, 2)
    file.seek(max(0, length - 2**16 - 200))
    tail = file.read()
    place, long = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    sizes = [int.from_bytes(tail[place + 12 : place + 16], "little")] if place >= 0 else []
    sizes += [int.from_bytes(tail[long + 40 : long + 48], "little")] if long >= 0 else []
    if any(_MOST_DIRECTORY_BYTES < size <= length for size in sizes):
        raise UserError(f"{name}: has more members than are read; give a zip of the PNGs alone")


class PngZipReader(PngSequenceReader):
    """A .zip of PNGs."""

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        _check_directory(file, name)
        with decoding(name):
            self._zip = zipfile.ZipFile(file)
        self._file = file
        super().__init__(name, self._zip.namelist(), max_pixels)

    def _read(self, member: str, limit: int) -> bytes:
        label, info = self._label(member), self._zip.getinfo(member)
        if info.flag_bits & _ENCRYPTED:
            raise UserError(f"{label}: needs a password; unpack the zip first and give the folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{label}: is packed in a way that is not read; zip it again without special settings")
        too_large = UserError(
            f"{label}: unpacks to {info.file_size:,} bytes; at most {limit:,} are read; scale it down"
        )
        if info.file_size > limit:
            raise too_large
        with decoding(label), self._zip.open(member) as content:
            data = content.read(limit + 1)  # counted, since the declared size may be anything
        if len(data) > limit:
            raise too_large
        return data

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


class PngFolderReader(PngSequenceReader):
    """A folder of PNGs."""

    def __init__(self, folder: Path, max_pixels: int) -> None:
        self._folder = folder
        with decoding(printable(str(folder))):
            members = [member.name for member in folder.iterdir() if member.is_file()]
        super().__init__(printable(str(folder)), members, max_pixels)

    def _read(self, member: str, limit: int) -> bytes:
        label = self._label(member)
        with decoding(label), (self._folder / member).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise UserError(f"{label}: has more than the {limit:,} bytes that are read; scale it down")
        return data

    def close(self) -> None:
        """Nothing stays open between frames."""


class PngSequenceWriter(StickerWriter):
    """`frame_00000.png`, `frame_00001.png`, ... and `animation.json` with durations and loop count; lossless."""

    def _start(self, path: Path) -> None:
        self._durations: list[int] = []
        self._open(path)

    @abstractmethod
    def _open(self, path: Path) -> None:
        """Create the folder or archive."""

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

"""Base classes of readers and writers, and Pillow images as arrays with straight alpha."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from glassine.data.alpha import unpremultiply
from glassine.data.codecs.timing import Pacer
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path


class StickerReader(abc.ABC):
    """Streams the frames of a file; memory does not grow with their number.

    A context manager. Each `iter()` starts again at the first frame.

    Attributes:
        width: width of every frame, in pixels.
        height: height of every frame, in pixels.
        num_frames: number of frames, or None if only known after decoding.
        durations: ms per frame if known before decoding (all but video), otherwise None.
        loop: number of plays; 0 is forever.
        opaque: True if the file has no alpha channel, so every frame has alpha 255.
        notes: what differs from the file, one sentence each, to report to the user.
    """

    width: int
    height: int
    num_frames: int | None
    durations: tuple[int, ...] | None = None
    loop: int = 0
    opaque: bool = False
    notes: tuple[str, ...] = ()

    @abc.abstractmethod
    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield `(frame, duration_ms)`; frame is `h w 4` uint8, straight RGBA, owned by the caller."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """Frames by index, in the requested order, repeats allowed: `f h w 4` uint8.

        Decodes from the start up to the last requested frame, and only keeps the requested ones.

        Raises:
            IndexError: an index out of range.
        """
        wanted = set(indices)
        found: dict[int, np.ndarray] = {}
        if wanted and min(wanted) >= 0:
            last = max(wanted)
            for number, (frame, _) in enumerate(self):
                if number in wanted:
                    found[number] = frame
                if number == last:
                    break
        missing = sorted(wanted - found.keys())
        if missing:
            raise IndexError(f"there is no frame {missing[0]}; the sticker has {self.num_frames} frames")
        if not indices:
            return np.zeros((0, self.height, self.width, 4), np.uint8)
        return np.stack([found[number] for number in indices])


class StickerWriter(abc.ABC):
    """Writes frames one at a time and keeps at most a few of them in memory.

    A context manager: the file only appears under its name when the block succeeds, never half-written.

    Args:
        path: the file to write; its folder must exist.
        width: width of every frame, in pixels.
        height: height of every frame, in pixels.
        loop: number of plays, up to 65,535; 0 is forever.

    Attributes:
        num_frames: number of frames written.
        notes: what the format could not store, one sentence each, to report to the user.
    """

    longest_side = 65_535
    shortest_ms = 1  # shortest frame duration that programs support in this format

    def __init__(self, path: Path, width: int, height: int, loop: int) -> None:
        if not (1 <= width <= self.longest_side and 1 <= height <= self.longest_side):
            raise UserError(
                f"cannot write {path}: sides must be 1 to {self.longest_side:,} pixels in this format, got "
                f"{width}x{height}: scale it or choose another format"
            )
        if not 0 <= loop <= 65_535:
            raise UserError(f"cannot write {path}: loop must be 0 (forever) to 65,535, got {loop}")
        self.path, self.width, self.height, self.loop = path, width, height, loop
        self.num_frames = 0
        self.notes: list[str] = []
        self._pacer = Pacer(self.shortest_ms)
        self._stack = contextlib.ExitStack()

    @abc.abstractmethod
    def _start(self, path: Path) -> None:
        """Open the temporary file."""

    @abc.abstractmethod
    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        """Encode one checked frame, `h w 4` uint8."""

    @abc.abstractmethod
    def _finish(self) -> None:
        """Write the remaining data and close the file."""

    @abc.abstractmethod
    def _abandon(self) -> None:
        """Close the file after an error; it is then removed."""

    def append(self, frame: np.ndarray, duration_ms: int) -> None:
        """Add a frame. Frames too short for the format may be dropped to preserve the speed (`notes`).

        Args:
            frame: `h w 4` uint8, straight RGBA, of the writer's size.
            duration_ms: duration of the frame, at least 1 ms.

        Raises:
            UserError: the wrong size or type.
        """
        if frame.shape != (self.height, self.width, 4) or frame.dtype != np.uint8:
            raise UserError(
                f"cannot write {self.path}: a frame must be uint8 ({self.height}, {self.width}, 4), got "
                f"{frame.dtype} {frame.shape}"
            )
        if duration_ms < 1:
            raise UserError(f"cannot write {self.path}: a duration must be at least 1 ms, got {duration_ms}")
        shown_ms = self._pacer.shown_ms(int(duration_ms))
        if shown_ms is not None:
            self._add(np.ascontiguousarray(frame), shown_ms)
            self.num_frames += 1

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._start(temporary)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # on exit renames the file, or removes it if the block below raises
            if error is None and self.num_frames:
                try:
                    self._note_left_out()
                    self._finish()
                except BaseException:
                    self._abandon()
                    raise
            else:
                self._abandon()
                raise error or UserError(f"cannot write {self.path}: a sticker must have at least one frame, got none")

    def _note_left_out(self) -> None:
        if self._pacer.left_out:
            count = self.num_frames + self._pacer.left_out
            self.notes.append(
                f"{self._pacer.left_out} of {count} frames are dropped to preserve the speed: "
                f"this format does not support frames shorter than {self.shortest_ms} ms"
            )


def changed_box(old: np.ndarray | None, new: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box of the pixels in which two frames differ: left, top, right, bottom (exclusive).

    Args:
        old: `h w 4` uint8, or None for "all pixels differ".
        new: `h w 4` uint8.

    Returns:
        A box of at least 1x1, even for equal frames: a frame that is not written would lose its duration.
    """
    if old is None:
        return 0, 0, new.shape[1], new.shape[0]
    if new.shape[-1] == 4 and old.flags.c_contiguous and new.flags.c_contiguous:  # compare four bytes at once
        return mask_box(old.view(np.uint32)[..., 0] != new.view(np.uint32)[..., 0])
    return mask_box(np.any(old != new, axis=-1))


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box, at least 1x1, of the True values of `h w`: left, top, right, bottom (exclusive)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


_WHOLE_PIXELS = 2**20


def rgba_pixels(image: Image.Image) -> np.ndarray:
    """An image as `h w 4` uint8, straight RGBA, writable; avoids a second copy of large images."""
    width, height = image.size
    if width * height <= _WHOLE_PIXELS:
        return np.array(image.convert("RGBA"))
    pixels = np.empty((height, width, 4), np.uint8)
    rows = max(1, _WHOLE_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        strip.info = image.info  # which has the transparency of palettes and colors
        pixels[top : top + rows] = np.asarray(strip.convert("RGBA"))
    return pixels


class UnpremultipliedReader(StickerReader):
    """Another reader's frames, un-premultiplied. Precision lost in 8 bits at small alpha stays lost."""

    def __init__(self, reader: StickerReader) -> None:
        self._reader = reader
        self.width, self.height, self.num_frames = reader.width, reader.height, reader.num_frames
        self.durations, self.loop, self.opaque = reader.durations, reader.loop, reader.opaque
        self.notes = reader.notes

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        for frame, duration in self._reader:
            yield unpremultiply(frame), duration

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """See `StickerReader`."""
        return unpremultiply(self._reader.frames_at(indices))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

"""Frames that wait: in memory or in a temporary file, and windows of neighboring frames over an endless stream."""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
MEMORY_BYTES = 2**26  # of frames that wait: 64 of 512x512; those of 33 megapixels wait on the disk


@dataclass
class StoredFrame:
    """A frame in a `FrameStore`. `load` returns it any number of times; `drop` releases it."""

    store: "FrameStore"
    shape: tuple[int, ...]
    frame: Frame | None  # if it is held in memory
    slot: int = 0  # its place in the file otherwise

    def load(self) -> Frame:
        """The frame, `h w 4` uint8; treat it as read-only."""
        return self.store.read(self) if self.frame is None else self.frame

    def drop(self) -> None:
        """Release the frame."""
        self.store.forget(self)


class FrameStore:
    """Frames of one size, at most `memory_bytes` of them in memory and the others in a temporary file.

    Args:
        memory_bytes: limit; at least one frame is held in memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._slots = 0

    def put(self, frame: Frame) -> StoredFrame:
        """Store a frame; in memory it is not copied."""
        if not self._held_bytes or self._held_bytes + frame.nbytes <= self._memory_bytes:
            self._held_bytes += frame.nbytes
            return StoredFrame(self, frame.shape, frame)
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the store)
        slot = self._free.pop() if self._free else self._slots
        self._slots = max(self._slots, slot + 1)
        self._file.seek(slot * frame.nbytes)
        data = memoryview(np.ascontiguousarray(frame).data).cast("B")
        while data:
            data = data[self._file.write(data) :]
        return StoredFrame(self, frame.shape, None, slot)

    def read(self, stored: StoredFrame) -> Frame:
        """Read a frame from the file."""
        assert self._file is not None
        frame = np.empty(stored.shape, np.uint8)
        self._file.seek(stored.slot * frame.nbytes)
        view, filled = memoryview(frame.data).cast("B"), 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise OSError("the temporary file of frames is shorter than what was written")
            filled += got
        return frame

    def forget(self, stored: StoredFrame) -> None:
        """Release a frame's memory or its place in the file."""
        if stored.frame is None:
            self._free.append(stored.slot)
        else:
            self._held_bytes -= stored.frame.nbytes
            stored.frame = None


T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """Neighboring items and the slice of them that the window is for; the others are context."""

    items: list[T]
    own: slice


def overlapping_windows(items: Iterable[T], size: int, radius: int) -> Iterator[Window[T]]:
    """Windows of `size` items with `radius` items of context on each side, fewer at the ends of the sequence.

    For the own items of a window, a network with a receptive field of `radius` frames to each side returns exactly what
    it returns for the whole sequence. Each item is an own item of exactly one window.

    Args:
        items: any iterable; it is read no further than the window needs, and at most `size + 2 * radius` are held.
        size: own items per window, at least 1; the last window may have fewer.
        radius: items of context on each side, 0 or more.
    """
    source = iter(items)
    held: deque[T] = deque(islice(source, size + radius))
    before = 0
    while len(held) > before:
        end = min(before + size, len(held))
        yield Window(list(held), slice(before, end))
        for _ in range(max(end - radius, 0)):  # keep the next window's context
            held.popleft()
        before = min(end, radius)
        held.extend(islice(source, before + size + radius - len(held)))


def drained(items: list) -> Iterator:
    """The items in order; each is released once it is taken, which keeps memory small."""
    items.reverse()
    while items:
        yield items.pop()

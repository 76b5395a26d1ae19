"""Hold frames on their way through a pipeline: a few in memory, the rest of huge ones in a temporary file."""

import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
MEMORY_BYTES = 2**28  # of frames that wait: 256 of 512x512


@dataclass
class StoredFrame:
    """One frame that waits. `load` gives it back once or often; `drop` makes room for others."""

    store: "FrameStore"
    shape: tuple[int, ...]
    frame: Frame | None  # where it waits in memory
    slot: int = 0  # where it waits in the file

    def load(self) -> Frame:
        """The frame, `h w 4` uint8; not to be changed."""
        return self.store.read(self) if self.frame is None else self.frame

    def drop(self) -> None:
        """Forget it."""
        self.store.forget(self)


class FrameStore:
    """Frames of one size that wait; at most `memory_bytes` of them in memory, whatever their number.

    Args:
        memory_bytes: how much may wait in memory; at least one frame may.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes, self._held_bytes = memory_bytes, 0
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._slots = 0

    def put(self, frame: Frame) -> StoredFrame:
        """Keep a frame; in memory it is kept as it is, not copied."""
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
        """A frame out of the file."""
        assert self._file is not None
        frame = np.empty(stored.shape, np.uint8)
        self._file.seek(stored.slot * frame.nbytes)
        view, filled = memoryview(frame.data).cast("B"), 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise OSError("the temporary file of waiting frames is shorter than what was written")
            filled += got
        return frame

    def forget(self, stored: StoredFrame) -> None:
        """Make room."""
        if stored.frame is None:
            self._free.append(stored.slot)
        else:
            self._held_bytes -= stored.frame.nbytes
            stored.frame = None

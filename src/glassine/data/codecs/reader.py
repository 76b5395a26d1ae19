"""What all readers have in common."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np


class StickerReader(abc.ABC):
    """Frames of a file, one after the other; memory does not grow with their number.

    A context manager. Each `iter()` starts again at the first frame.

    Attributes:
        width: of every frame, in pixels.
        height: of every frame, in pixels.
        num_frames: how many frames there are, or None where only decoding would tell.
        durations: ms per frame where known before decoding (all but video), else None.
        loop: how often the animation plays; 0 is for ever.
        opaque: True where the file cannot hold alpha, so every frame has alpha 255.
        notes: what is shown otherwise than the file says, one sentence each, to be told to the user.
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
        """Yield `(frame, duration_ms)`; frame is `h w 4` uint8, straight RGBA, the caller's own copy."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """Frames by number, in the order asked for, repeats allowed: `f h w 4` uint8.

        Decodes from the start up to the last one asked for, and keeps only those asked for.

        Raises:
            IndexError: a number outside the sticker.
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

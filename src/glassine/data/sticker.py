"""The value that everything passes around: a transparent animated sticker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassine.errors import UserError


@dataclass(frozen=True, eq=False)
class Sticker:
    """Frames with straight alpha, how long each stands, and how often the whole plays.

    Args:
        frames: `f h w 4` uint8, straight (un-premultiplied) RGBA, alpha last; at least one frame of 1x1.
        durations: milliseconds per frame, whole numbers of at least 1, one for each frame.
        loop: how often the animation plays; 0 means for ever.

    Raises:
        UserError: shapes, types or counts that do not fit together.
    """

    frames: np.ndarray
    durations: tuple[int, ...]
    loop: int = 0

    def __post_init__(self) -> None:
        frames = self.frames
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[-1] != 4 or frames.dtype != np.uint8:
            came = f"{getattr(frames, 'dtype', type(frames).__name__)} of shape {getattr(frames, 'shape', None)}"
            raise UserError(f"sticker frames came as {came}; they must be a uint8 array 'f h w 4' of straight RGBA")
        if 0 in frames.shape:
            raise UserError(f"sticker frames have shape {frames.shape}; at least one frame of 1x1 pixels is needed")
        object.__setattr__(self, "durations", tuple(int(duration) for duration in self.durations))
        if len(self.durations) != len(frames):
            raise UserError(f"{len(self.durations)} durations came for {len(frames)} frames; give one for each frame")
        if min(self.durations) < 1:
            raise UserError(f"a frame duration of {min(self.durations)} ms came; each must be at least 1 ms")
        if self.loop < 0:
            raise UserError(f"a loop count of {self.loop} came; give 0 (for ever) or how often it plays")

    @property
    def num_frames(self) -> int:
        """How many frames there are, at least 1."""
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.frames.shape[2])

    @property
    def duration_ms(self) -> int:
        """Length of one play in milliseconds."""
        return sum(self.durations)

    @property
    def fps(self) -> float:
        """Mean frames per second over one play."""
        return 1000.0 * self.num_frames / self.duration_ms

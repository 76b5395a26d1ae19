"""The value type of the package, a transparent animated sticker, and the split of its group."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from glassine.utils.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Stills = bool | Literal["only"]  # whether single-frame stickers are used

_TRAIN_SHARE, _VAL_SHARE = 0.8, 0.1


def split_of(group: str) -> Split:
    """The split of a group: train 80%, val 10%, test 10%, by the SHA-256 of its name.

    Stickers that look nearly the same (skin tones, genders, re-encodings) share a group and therefore a split. The
    result only depends on the name: it is the same on every machine, in every run and for any subset of the
    data.

    Args:
        group: the group's name, as defined by each source.

    Returns:
        ``"train"``, ``"val"`` or ``"test"``.
    """
    digest = hashlib.sha256(group.encode("utf-8")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    if position < _TRAIN_SHARE:
        return "train"
    return "val" if position < _TRAIN_SHARE + _VAL_SHARE else "test"


def checked_split(name: str) -> Split:
    """The split with this name; raises UserError if there is none."""
    for split in SPLITS:
        if split == name:
            return split
    raise UserError(f"split must be one of {', '.join(SPLITS)}, got {name!r}")


@dataclass(frozen=True, eq=False)
class Sticker:
    """Frames with straight alpha, their durations, and the loop count.

    Args:
        frames: `f h w 4` uint8, straight (un-premultiplied) RGBA, alpha last; at least one frame of 1x1.
        durations: milliseconds per frame, whole numbers of at least 1, one for each frame.
        loop: number of times the animation plays; 0 means forever.

    Raises:
        UserError: inconsistent shapes, types or counts.
    """

    frames: np.ndarray
    durations: tuple[int, ...]
    loop: int = 0

    def __post_init__(self) -> None:
        frames = self.frames
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[-1] != 4 or frames.dtype != np.uint8:
            found = f"{getattr(frames, 'dtype', type(frames).__name__)} of shape {getattr(frames, 'shape', None)}"
            raise UserError(f"frames must be a uint8 array 'f h w 4' of straight RGBA, got {found}")
        if 0 in frames.shape:
            raise UserError(f"frames must be at least one of 1x1 pixels, got shape {frames.shape}")
        object.__setattr__(self, "durations", tuple(int(duration) for duration in self.durations))
        if len(self.durations) != len(frames):
            raise UserError(f"durations must be one for each of {len(frames)} frames, got {len(self.durations)}")
        if min(self.durations) < 1:
            raise UserError(f"durations must be at least 1 ms, got {min(self.durations)}")
        if self.loop < 0:
            raise UserError(f"loop must be 0 (forever) or how often it plays, got {self.loop}")

    @property
    def num_frames(self) -> int:
        """Number of frames, at least 1."""
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
        """Duration of one play in milliseconds."""
        return sum(self.durations)

    @property
    def fps(self) -> float:
        """Mean frames per second over one play."""
        return 1000.0 * self.num_frames / self.duration_ms

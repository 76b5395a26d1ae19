"""Keyframes: the few frames of an animation that differ most, as TASD's keyframe index (ILDiff, table I).

The paper says that TASD has such an index and not how it is made. Here it is farthest-point sampling: the first frame,
then again and again the frame that is farthest from all chosen ones, until nothing differs any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from glassine.data.alpha import composite_frames
from glassine.data.frame_sampling import flip_order, sample_frames

if TYPE_CHECKING:
    import torch

MOST = 8
_SIDE = 32
LEAST = 2.0
"""Mean absolute difference, in gray levels, below which a frame adds nothing."""


def keyframes(frames: np.ndarray, most: int = MOST, least: float = LEAST) -> list[int]:
    """The frames that differ most, in the order of time; `[0]` for a still.

    Args:
        frames: `f h w 4` uint8 straight RGBA.
        most: how many at most.
        least: see `LEAST`.
    """
    opaque = composite_frames(frames, (128, 128, 128))
    small = np.stack([cv2.resize(one, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for one in opaque])
    flat = small.reshape(len(small), -1).astype(np.int16)
    chosen = [0]
    distance = np.abs(flat - flat[0]).mean(axis=1)
    while len(chosen) < most:
        farthest = int(distance.argmax())  # the first of equals
        if distance[farthest] < least:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, np.abs(flat - flat[farthest]).mean(axis=1))
    return sorted(chosen)


def sample_keyframes(
    durations: Sequence[int],
    index: Sequence[int],
    num_frames: int = 8,
    generator: torch.Generator | None = None,
    share: float = 1.0,
) -> tuple[list[int], float]:
    """Choose frames of a clip from a sticker's keyframes, in the order of time.

    Args:
        durations: ms of each frame.
        index: its keyframes.
        num_frames: how many to choose; more than there are keyframes are filled up with the frames farthest in time
            from those chosen, and a sticker of fewer frames as `glassine.data.frame_sampling` does.
        generator: the only source of chance: whether keyframes are used this time, see `share`.
        share: of the draws that use keyframes; the others are `sample_frames`, whose frames are evenly spaced in time.

    Returns:
        Frame numbers, and the frames per second at which the clip plays in real time.
    """
    import torch  # takes seconds, and workers that find keyframes do without it

    if generator is not None and share < 1 and torch.rand((), generator=generator).item() >= share:
        return sample_frames(durations, num_frames, generator)
    count, seconds = len(durations), sum(durations) / 1000
    if count < num_frames:
        return flip_order(count, num_frames), count / seconds
    chosen = sorted({place for place in index if 0 <= place < count})[:num_frames] or [0]
    while len(chosen) < num_frames:
        places = np.setdiff1d(np.arange(count), chosen)
        gaps = np.abs(places[:, None] - np.array(chosen)).min(axis=1)
        chosen = sorted([*chosen, int(places[gaps.argmax()])])
    return chosen, num_frames / seconds

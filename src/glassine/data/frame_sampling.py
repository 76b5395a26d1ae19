"""Choosing a fixed number of frames from a sticker of any length."""

from collections.abc import Sequence

import numpy as np
import torch


def flip_order(count: int, num_frames: int) -> list[int]:
    """Complete a short sticker by VSD2M's flip strategy: play it back and forth until there are enough frames.

    VSD2M, "Experiments", paragraph "Models": "For stickers with less than 8 frames, we use a flip strategy to
    supplement frames." The paper does not say whether the turning frame is shown twice; here it is not, so 3 frames
    become 0 1 2 1 0 1 2 1 and motion never stops.

    Args:
        count: frames there are, at least 1.
        num_frames: frames wanted, at least 1.

    Returns:
        `num_frames` indices below `count`.
    """
    period = max(1, 2 * (count - 1))
    return [min(step, period - step) for step in (number % period for number in range(num_frames))]


def sample_frames(
    durations: Sequence[int], num_frames: int = 8, generator: torch.Generator | None = None
) -> tuple[list[int], float]:
    """Choose `num_frames` frames, in order of time.

    With a generator (training) the clip covers a random part of the sticker: its length is uniform between
    `num_frames` mean frame durations and the whole, its start uniform in what is left. Without one (evaluation) it is
    the whole sticker. Inside that part the moments are evenly spaced, each in the middle of its share, and each shows
    the frame that stands then; so a frame held long may be chosen twice, as a viewer would see it. A sticker of fewer
    frames than asked for is completed by :func:`flip_order`.

    Args:
        durations: milliseconds of each frame, at least one.
        num_frames: how many to choose, at least 1.
        generator: the only source of chance.

    Returns:
        The frame indices, and the frames per second at which the clip plays in real time.
    """
    count = len(durations)
    ends = np.cumsum(np.asarray(durations, np.float64))  # ms
    total = float(ends[-1])
    if count < num_frames:
        return flip_order(count, num_frames), 1000.0 * count / total
    start, length = 0.0, total
    if generator is not None:
        length_draw, start_draw = torch.rand(2, generator=generator).tolist()
        shortest = total * num_frames / count
        length = shortest + length_draw * (total - shortest)
        start = start_draw * (total - length)
    moments = start + (np.arange(num_frames) + 0.5) * (length / num_frames)
    chosen = np.searchsorted(ends, moments, side="right").clip(max=count - 1)
    return chosen.tolist(), 1000.0 * num_frames / length


def frames_at(durations: Sequence[int], num_frames: int, fps: float) -> list[int]:
    """The frames that a viewer sees at a fixed rate from the sticker's start on; a shorter sticker goes round.

    Args:
        durations: milliseconds of each frame, at least one.
        num_frames: how many to choose, at least 1.
        fps: frames a second.

    Returns:
        The frame indices; a frame that stands for longer than a step is chosen several times.
    """
    ends = np.cumsum(np.asarray(durations, np.float64))  # ms
    moments = (np.arange(num_frames) + 0.5) * (1000.0 / fps) % ends[-1]
    return np.searchsorted(ends, moments, side="right").clip(max=len(durations) - 1).tolist()

"""Choosing a fixed number of frames from a sticker of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    import torch

from glassine.utils.errors import UserError

Span = Literal["part", "whole", "start"]


def flip_order(count: int, num_frames: int) -> list[int]:
    """Complete a short sticker by VSD2M's flip strategy: play it back and forth until there are enough frames.

    VSD2M, "Experiments", paragraph "Models": "For stickers with less than 8 frames, we use a flip strategy to
    supplement frames." The paper does not say whether the turning frame is shown twice; here it is not, so 3 frames
    become 0 1 2 1 0 1 2 1 and the motion never pauses.

    Args:
        count: number of frames, at least 1.
        num_frames: number of frames to return, at least 1.

    Returns:
        `num_frames` indices below `count`.
    """
    period = max(1, 2 * (count - 1))
    return [min(step, period - step) for step in (number % period for number in range(num_frames))]


def check_rate(fps: float | None, span: Span) -> None:
    """Raise UserError where a frame rate is not positive, missing, or given for whole stickers."""
    if span not in get_args(Span):
        raise UserError(f"span must be one of {', '.join(get_args(Span))}, got {span!r}")
    if fps is None and span == "start":
        raise UserError("fps must be given where span is 'start', got None")
    if fps is not None and not fps > 0:
        raise UserError(f"fps must be positive, got {fps}")
    if fps is not None and span == "whole":
        raise UserError(f"fps must be null where span is 'whole', got {fps}: the rate follows from the length")


def sample_frames(
    durations: Sequence[int],
    num_frames: int = 8,
    generator: torch.Generator | None = None,
    fps: float | None = None,
    span: Span = "part",
) -> tuple[list[int], float]:
    """Choose `num_frames` frames, in order of time.

    With a generator (training) the clip covers a random part of the sticker: its length is uniform between `num_frames`
    mean frame durations and the whole sticker, its start uniform over the remaining range. Without one (evaluation) it
    covers the whole sticker. Within that part, sampling times are evenly spaced, each at the center of its interval,
    and give the frame shown at that time; so a long frame may be chosen twice, as a viewer would see it. A sticker with
    fewer frames than requested is completed by :func:`flip_order`.

    With `fps` the part lasts `num_frames / fps` seconds, wherever it starts: at random with a generator, in the middle
    without one. A sticker that is shorter is played back and forth, so that the rate holds.

    Args:
        durations: milliseconds of each frame, at least one.
        num_frames: how many to choose, at least 1.
        generator: the only source of chance.
        fps: frames per second of the clip; None lets it follow from the part's length.
        span: `whole` takes the whole sticker with a generator, too; `start` begins at its start and loops, as a viewer
            sees it, for comparisons at one rate.

    Returns:
        The frame indices, and the frames per second at which the clip plays in real time.

    Raises:
        UserError: see :func:`check_rate`.
    """
    import torch  # takes seconds: most of what reads shards does without it

    check_rate(fps, span)
    count = len(durations)
    ends = np.cumsum(np.asarray(durations, np.float64))  # ms
    total = float(ends[-1])
    if fps is not None and span == "start":
        return frames_at(durations, num_frames, fps), float(fps)
    if fps is not None:
        length = 1000.0 * num_frames / fps
        place = 0.5 if generator is None else float(torch.rand((), generator=generator))
        moments = place * max(0.0, total - length) + (np.arange(num_frames) + 0.5) * (length / num_frames)
        moments = total - np.abs(moments % (2 * total) - total)  # there and back
        return np.searchsorted(ends, moments, side="right").clip(max=count - 1).tolist(), float(fps)
    if count < num_frames:
        return flip_order(count, num_frames), 1000.0 * count / total
    start, length = 0.0, total
    if generator is not None and span == "part":
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

"""Timing of frames: meets a platform's limits without changing the speed unless requested."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from glassine.data.sticker import Sticker
from glassine.pipelines.pack.limits import Limits
from glassine.utils.errors import UserError

TooLong = Literal["refuse", "trim", "speed-up"]
SHOWS = 0.02  # visible pixels of a frame over those of the fullest one, from which it shows something
REPRESENTS = 0.5  # the same, from which a frame can stand for the sticker


def merge_repeats(sticker: Sticker) -> Sticker:
    """Merge each repeated frame into the previous one, adding its duration. The animation looks the same."""
    frames = sticker.frames
    fresh = [0, *(n for n in range(1, len(frames)) if not np.array_equal(frames[n], frames[n - 1]))]
    if len(fresh) == len(frames):
        return sticker
    ends = [*fresh[1:], len(frames)]
    durations = tuple(sum(sticker.durations[start:end]) for start, end in zip(fresh, ends, strict=True))
    return Sticker(frames[fresh], durations, sticker.loop)


def at_even_times(sticker: Sticker, count: int) -> Sticker:
    """`count` evenly spaced frames, each as shown at its start. The duration is unchanged, to the millisecond.

    Raises:
        UserError: there are more frames than milliseconds.
    """
    total = sticker.duration_ms
    if not 1 <= count <= total:
        raise UserError(f"number of frames must be 1 to {total} for {total} ms, got {count}")
    edges, chosen = _even(sticker, count)
    return Sticker(sticker.frames[chosen], tuple(np.diff(edges).tolist()), sticker.loop)


def _even(sticker: Sticker, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count + 1` evenly spaced times in milliseconds, and the index of the frame shown at each except the last."""
    edges = np.round(np.arange(count + 1) * (sticker.duration_ms / count)).astype(np.int64)
    return edges, np.searchsorted(np.cumsum(sticker.durations), edges[:-1], side="right")


def _most_even_times(sticker: Sticker, most: int, shortest: int) -> int:
    """The finest even spacing, at least `shortest` ms, at which at most `most` frames differ from the previous one.

    A sticker that pauses needs few frames for the pause, which leaves more for the motion.
    """
    finest = max(1, sticker.duration_ms // max(shortest, min(sticker.durations)))
    for count in range(finest, most, -1):
        if 1 + int((np.diff(_even(sticker, count)[1]) != 0).sum()) <= most:
            return count
    return min(finest, most)


def fewer_frames(sticker: Sticker, fps: float) -> Sticker:
    """At most `fps` frames per second, evenly spaced, with repeats merged; unchanged if there are not more."""
    count = max(1, math.floor(sticker.duration_ms * fps / 1000 + 1e-9))
    return sticker if count >= sticker.num_frames else merge_repeats(at_even_times(sticker, count))


def fit_length(sticker: Sticker, most_ms: int | None, too_long: TooLong) -> tuple[Sticker, str]:
    """Shorten one play to `most_ms`, if requested.

    Returns:
        The sticker and a note on what was done, empty if nothing.

    Raises:
        UserError: it is too long, and `too_long` is "refuse".
    """
    total = sticker.duration_ms
    if most_ms is None or total <= most_ms:
        return sticker, ""
    if too_long == "refuse":
        raise UserError(
            f"length must be at most {most_ms / 1000:g} s, got {total / 1000:g} s: use --too-long trim (keeps the "
            "start) or --too-long speed-up"
        )
    if too_long == "trim":
        starts = np.cumsum((0, *sticker.durations[:-1]))
        kept = int((starts < most_ms).sum())
        durations = (*sticker.durations[: kept - 1], int(most_ms - starts[kept - 1]))
        told = f"trimmed from {total / 1000:g} s to {most_ms / 1000:g} s, as requested: it no longer loops seamlessly"
        return Sticker(sticker.frames[:kept], durations, sticker.loop), told
    told = f"played {total / most_ms:.2f} times as fast ({total / 1000:g} s in {most_ms / 1000:g} s), as requested"
    return _in_time(sticker, most_ms), told


def _in_time(sticker: Sticker, total_ms: int) -> Sticker:
    """Scale the total duration; frames that would last less than a millisecond are dropped."""
    ends = np.round(np.cumsum(sticker.durations) * (total_ms / sticker.duration_ms)).astype(np.int64)
    durations = np.diff(ends, prepend=0)
    kept = durations > 0
    return Sticker(sticker.frames[kept], tuple(durations[kept].tolist()), sticker.loop)


def hold_to_whole_second(sticker: Sticker) -> tuple[Sticker, str]:
    """Hold the last frame until the next whole second. The motion keeps its speed."""
    missing = -sticker.duration_ms % 1000
    if not missing:
        return sticker, ""
    durations = (*sticker.durations[:-1], sticker.durations[-1] + missing)
    told = f"last frame held for another {missing} ms, since one play must last whole seconds"
    return Sticker(sticker.frames, durations, sticker.loop), told


def fit_rate(sticker: Sticker, limits: Limits) -> tuple[Sticker, str]:
    """Reduce to the frames that the platform allows in this time, none shorter than its minimum."""
    total, before = sticker.duration_ms, sticker.num_frames
    most = limits.max_frames or before
    shortest = max(limits.min_frame_ms or 1, math.floor(1000 / limits.max_fps) if limits.max_fps else 1)
    if limits.max_fps:
        most = min(most, max(1, math.floor(total * limits.max_fps / 1000 + 1e-9)))
    if before > most or min(sticker.durations) < shortest:
        count = min(most, max(1, total // shortest)) if limits.max_fps else _most_even_times(sticker, most, shortest)
        sticker = merge_repeats(at_even_times(sticker, count))
    if sticker.num_frames == before:
        return sticker, ""
    rule = f"{limits.max_fps:g} frames a second" if limits.max_fps else f"{limits.max_frames} frames"
    rule = rule if limits.max_fps or limits.max_frames else f"frames of {shortest} ms"
    return sticker, f"{sticker.num_frames} of {before} frames, evenly spaced: the platform allows at most {rule}"


def visible_shares(frames: np.ndarray, least_alpha: int = 1) -> np.ndarray:
    """Visible pixels of each frame over those of the fullest one, `f` in [0, 1]; zeros if nothing is visible.

    Args:
        frames: `f h w 4` uint8.
        least_alpha: alpha from which a pixel is visible.
    """
    counts = np.array([np.count_nonzero(frame[..., 3] >= least_alpha) for frame in frames])
    return counts / max(1, counts.max())


def begin_visible(sticker: Sticker, least_alpha: int) -> tuple[Sticker, str]:
    """Begin with a frame that shows something, since chats show the first frame before they play.

    A sticker that plays forever begins later in its loop, which looks the same. One that ends keeps its end: its first
    visible frame is shown from the start.

    Args:
        sticker: frames with their final loop count.
        least_alpha: alpha that the format keeps: 1, or the threshold of 1-bit alpha.

    Raises:
        UserError: no pixel has that much.
    """
    shows = np.flatnonzero(visible_shares(sticker.frames, least_alpha) >= SHOWS)
    if not len(shows):
        raise UserError(
            f"some pixels must have an alpha of at least {least_alpha}, got at most {sticker.frames[..., 3].max()}: "
            "lower --alpha-threshold"
        )
    if not shows[0]:
        return sticker, ""
    first = int(shows[0])
    what = "1 frame shows" if first == 1 else f"{first} frames show"
    if sticker.loop == 0:
        frames = np.roll(sticker.frames, -first, axis=0)
        durations = (*sticker.durations[first:], *sticker.durations[:first])
        return Sticker(frames, durations, 0), f"first {what} nothing there: the loop begins after, and is the same"
    frames = sticker.frames.copy()
    frames[:first] = frames[first]
    told = f"first {what} nothing there: the next one is shown from the start"
    return merge_repeats(Sticker(frames, sticker.durations, sticker.loop)), told


def split_frames(sticker: Sticker, least: int) -> tuple[Sticker, str]:
    """Split the longest frames until there are `least` frames. The animation looks the same.

    Raises:
        UserError: it is too short for this many frames.
    """
    before = sticker.num_frames
    order, durations = list(range(before)), list(sticker.durations)
    while len(order) < least:
        longest = int(np.argmax(durations))
        whole = durations[longest]
        if whole < 2:
            raise UserError(f"length must be at least {least} ms for {least} frames, got {sticker.duration_ms} ms")
        durations[longest : longest + 1] = [whole // 2, whole - whole // 2]
        order.insert(longest, order[longest])
    if len(order) == before:
        return sticker, ""
    told = f"{before} frames split into {least}, the minimum"
    return Sticker(sticker.frames[order], tuple(durations), sticker.loop), told


def plays(sticker: Sticker, limits: Limits) -> tuple[int, str]:
    """The loop count there, 0 for forever, and a note if it differs from the sticker's own."""
    own = sticker.loop
    if not limits.max_loops:
        return 0, f"plays forever there; the file says {own} times" if own else ""
    most = min(limits.max_loops, (limits.loops_ms or 1 << 31) // sticker.duration_ms)
    count = min(own, most) if own else most
    if count < 1:
        raise UserError(f"length must be at most {limits.loops_ms} ms for one play, got {sticker.duration_ms} ms")
    return count, "" if own == count else f"plays {count} times, the maximum" if count > 1 else "plays once"

"""Convert finer or coarser clocks to whole milliseconds, without drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from glassine.data.codecs.guard import TOO_SHORT_MS, ZERO_DELAY_MS


def whole_durations(exact_ms: Iterable[Fraction], zero_ms: int) -> tuple[int, ...]:
    """Round durations so that the start time of each frame is accurate to half a millisecond.

    Rounding each separately would drift: 72 frames of 1/24 s would lose 24 ms.

    Args:
        exact_ms: duration of each frame in milliseconds.
        zero_ms: replacement for a duration of 0.

    Returns:
        One duration of at least 1 ms for each frame.
    """
    clock = Fraction(0)
    passed = 0
    rounded = []
    for duration in exact_ms:
        clock += duration if duration > 0 else zero_ms
        whole = max(1, round(clock) - passed)
        rounded.append(whole)
        passed += whole
    return tuple(rounded)


def shown_durations(delays: Sequence[Fraction | int]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Frame durations of an animated image as in browsers: delays of 10 ms or less become 100 ms.

    Args:
        delays: milliseconds per frame in the file, 0 or more.

    Returns:
        Whole milliseconds per frame, rounded without drift, and notes for the user, if any.
    """
    short = sum(delay <= TOO_SHORT_MS for delay in delays)
    shown = whole_durations((Fraction(d if d > TOO_SHORT_MS else 0) for d in delays), ZERO_DELAY_MS)
    if not short or len(delays) == 1:
        return shown, ()
    which = "all" if short == len(delays) else f"{short} of {len(delays)}"
    return shown, (f"{which} frames have a delay of 10 ms or less; as in browsers, they are shown for 100 ms",)


class TickClock:
    """Turn milliseconds into whole ticks of a coarser clock, carrying the remainder over to the next frame.

    Only rounding errors are carried over: a frame longer than `most` ticks is truncated, and the next one keeps
    its own duration.

    Args:
        tick_ms: length of one tick in milliseconds.
        least: minimum ticks per frame.
        most: maximum ticks per frame.
    """

    def __init__(self, tick_ms: int, least: int, most: int) -> None:
        self.tick_ms, self.least, self.most = tick_ms, least, most
        self._owed_ms = 0

    def ticks(self, duration_ms: int) -> int:
        """Ticks for the next frame."""
        owed = self._owed_ms + duration_ms
        count = (owed + self.tick_ms // 2) // self.tick_ms
        if count > self.most:
            self._owed_ms = 0
            return self.most
        count = max(count, self.least)
        self._owed_ms = owed - count * self.tick_ms
        return count


class Pacer:
    """Preserve the speed of an animation in a format with a minimum frame duration.

    A frame that is too short gets the minimum duration, and the next ones make up for it; a frame with less than half
    of the minimum left is dropped.

    Args:
        shortest_ms: minimum frame duration, at least 1 ms.
    """

    def __init__(self, shortest_ms: int) -> None:
        self.shortest_ms = shortest_ms
        self.left_out = 0
        self._late_ms = 0
        self._first = True

    def shown_ms(self, duration_ms: int) -> int | None:
        """The duration of the next frame, or None to drop it; the first one is never dropped."""
        rest = duration_ms - self._late_ms
        if 2 * rest < self.shortest_ms and not self._first:
            self._late_ms -= duration_ms
            self.left_out += 1
            return None
        shown = max(self.shortest_ms, rest)
        self._late_ms, self._first = shown - rest, False
        return shown

"""Whole milliseconds out of finer or coarser clocks, without drift."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction


def whole_durations(exact_ms: Iterable[Fraction], zero_ms: int) -> tuple[int, ...]:
    """Round durations so that the time at which each frame starts is right to half a millisecond.

    Rounding each on its own would drift: 72 frames of 1/24 s would lose 24 ms.

    Args:
        exact_ms: duration of each frame in milliseconds.
        zero_ms: what stands for a duration of 0.

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


class TickClock:
    """Turn milliseconds into whole ticks of a coarser clock, carrying the rest over to the next frame.

    Args:
        tick_ms: length of one tick in milliseconds.
        least: fewest ticks a frame may get.
        most: most ticks a frame may get.
    """

    def __init__(self, tick_ms: int, least: int, most: int) -> None:
        self.tick_ms, self.least, self.most = tick_ms, least, most
        self._owed_ms = 0

    def ticks(self, duration_ms: int) -> int:
        """Ticks for the next frame."""
        self._owed_ms += duration_ms
        count = (self._owed_ms + self.tick_ms // 2) // self.tick_ms
        count = min(max(count, self.least), self.most)
        self._owed_ms -= count * self.tick_ms
        return count

"""Cut an endless row of items into overlapping windows, holding one window at a time."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Window(Generic[T]):
    """Neighbouring items, and which of them are the window's own; the others are there for context only."""

    items: list[T]
    own: slice


def overlapping_windows(items: Iterable[T], size: int, radius: int) -> Iterator[Window[T]]:
    """Windows of `size` own items with up to `radius` more on each side, fewer only where the row begins or ends.

    A network whose result for a frame depends on `radius` frames to each side gives for the own items of a window
    exactly what it gives for the whole row: at the ends it sees the same ends, elsewhere all the context there is.

    Args:
        items: any iterable; it is read no further than the window needs.
        size: own items a window, at least 1; the last window may have fewer.
        radius: items of context to each side, 0 or more.

    Each item is an own item of exactly one window. At most `size + 2 * radius` items are held.
    """
    source = iter(items)
    held: deque[T] = deque(islice(source, size + radius))
    before = 0
    while len(held) > before:
        end = min(before + size, len(held))
        yield Window(list(held), slice(before, end))
        for _ in range(max(end - radius, 0)):  # keep the next window's context
            held.popleft()
        before = min(end, radius)
        held.extend(islice(source, before + size + radius - len(held)))

"""A progress bar in the terminal for long work, and a parallel map over threads for work that uses one core."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import cv2
import torch

from glassine.utils.devices import cores

R = TypeVar("R")
Progress = Callable[[str, int, int], None]
"""Called with the current work, the number of steps done, and the total."""
ShowProgress = Callable[[], AbstractContextManager[Progress]]
"""Returns a context manager that gives a `Progress`."""


@contextmanager
def no_progress() -> Iterator[Progress]:
    """A `Progress` that shows nothing."""
    yield lambda text, done, total: None


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A `Progress` that moves a bar, which is removed when the block ends."""
    from rich.console import Console

    from glassine.utils import progress

    with progress.progress_bar(Console(stderr=True), "scoring", transient=True) as update:
        yield lambda text, done, total: update(done, total, text)


def parallel_map(
    function: Callable[[Any], R], items: Sequence[Any] | range, step: Callable[[], None] = lambda: None
) -> list[R]:
    """Call `function` on each item in parallel, with one thread per core.

    OpenCV's graph cuts and connected components use one core and release the GIL. So does torch when limited to one
    thread; with more, its threads would only compete for the same cores.

    Args:
        function: called with each item.
        items: its inputs.
        step: called after each item.

    Returns:
        The results, in the order of the items.
    """
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(cores(), initializer=lambda: torch.set_num_threads(1))
    try:
        return list(_stepping(pool.map(function, items), step))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, drop the waiting items
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)


def _stepping(results: Iterator[R], step: Callable[[], None]) -> Iterator[R]:
    for result in results:
        step()
        yield result

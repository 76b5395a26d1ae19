"""A map over threads for work that uses one core at a time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import cv2
import torch

from glassine.utils.devices import cores

R = TypeVar("R")


def parallel_map(
    function: Callable[[Any], R], items: Sequence[Any] | range, step: Callable[[], None] = lambda: None
) -> list[R]:
    """Call `function` on each item, one thread a core, and `step` after each; the results in order.

    OpenCV's graph cuts and connected components use one core and let other threads run meanwhile; so does torch here,
    whose own threads would only fight over the same cores.
    """
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(cores(), initializer=lambda: torch.set_num_threads(1))
    try:
        return list(_stepping(pool.map(function, items), step))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, do not work off the queue
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)


def _stepping(results: Iterator[R], step: Callable[[], None]) -> Iterator[R]:
    for result in results:
        step()
        yield result

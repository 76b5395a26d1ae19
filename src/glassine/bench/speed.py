"""What a method costs: milliseconds a frame, and the memory of a process that runs it once."""

import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.decoder_methods import ildiff_method
from glassine.bench.method import Method


def milliseconds_per_frame(methods: Sequence[Method], clip: Tensor, true_alpha: Tensor, rounds: int = 5) -> list[float]:
    """Shortest of each method's runs on a clip `b f 3 h w`, over its b times f frames, after one to warm up.

    See `shortest_in_turns`.
    """
    calls = [partial(method.alpha, clip, None, true_alpha) for method in methods]
    for call in calls:
        call()
    return [1000 * taken / (clip.shape[0] * clip.shape[1]) for taken in shortest_in_turns(calls, rounds)]


def shortest_in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each call's shortest run; what needs to warm up has been called before.

    The shortest, since other work on the machine only ever adds: on a busy one the median was ten times as long. The
    calls take turns, so that a slow minute meets all of them.
    """
    times = [[seconds(call) for call in calls] for _ in range(rounds)]
    return [min(own) for own in zip(*times, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call, with the GPU's work in it."""
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(source: str, shape: tuple[int, ...], device: torch.device) -> float:
    """MiB at the peak of a fresh process that loads ILDiff from `source` and decodes one clip of `shape`.

    On a GPU it is what tensors took there, on a CPU the whole resident process, Python and libraries included.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_decode_once, (source, shape, device))


def _decode_once(source: str, shape: tuple[int, ...], device: torch.device) -> float:
    ildiff_method(source, device).alpha(torch.rand(shape))
    if device.type != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; getrusage's peak there is the parent's, where that was larger
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 2**10  # type: ignore[index]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB

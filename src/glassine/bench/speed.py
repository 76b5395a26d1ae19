"""Costs of methods: milliseconds per frame, seconds per clip, and the peak memory of a process that runs it once."""

import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from glassine.bench.alpha_methods import ildiff_method
from glassine.bench.methods import AlphaMethod
from glassine.bench.protocols import CaptionedClip
from glassine.bench.records import Record, plain

if TYPE_CHECKING:
    from glassine.bench.video_methods import VideoSampler

# name of the cost that records with how many rows a time was measured
TOGETHER = "timed_together"
Load = Callable[[], "VideoSampler | None"]


def milliseconds_per_frame(
    methods: Sequence[AlphaMethod], clip: Tensor, target: Tensor, rounds: int = 5
) -> list[float]:
    """Milliseconds per frame of each method's fastest run, after one warm-up run; see `shortest_in_turns`.

    Args:
        methods: with weights.
        clip: `b f 3 h w` in [0, 1].
        target: true alpha `b f 1 h w`, for methods with a prompt.
        rounds: number of timed runs.
    """
    calls = [partial(method.alpha, clip, None, target) for method in methods]
    for call in calls:
        call()
    return [1000 * taken / (clip.shape[0] * clip.shape[1]) for taken in shortest_in_turns(calls, rounds)]


def shortest_in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each call's shortest run, without a warm-up.

    The minimum is used, since other work on the machine can only add time; on a busy machine, the median was ten times
    as long. The calls take turns, so that a slow minute affects all of them.
    """
    times = [[seconds(call) for call in calls] for _ in range(rounds)]
    return [min(own) for own in zip(*times, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call in seconds, including the work it queued on the GPU."""
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait until the GPU is idle, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def time_together(rows: Sequence[tuple[Record, Load]], one: CaptionedClip, folder: Path) -> bool:
    """Measure `seconds_per_clip` of all rows, unless all were already timed together with as many rows.

    Args:
        rows: records, which are changed and saved; and functions that load their samplers, or return None if the
            network is missing.
        one: gives the caption and the shape of the clip.
        folder: of the records.

    Returns:
        Whether the records have their times; False if a network is missing.
    """
    if all((record.costs.get(TOGETHER) or 0) >= len(rows) for record, _ in rows):
        return True
    samplers = [sampler for _, load in rows if (sampler := load()) is not None]
    if len(samplers) < len(rows):
        return False
    for (record, _), seconds in zip(rows, time_in_turns(samplers, one), strict=True):
        record.costs |= {"seconds_per_clip": plain(seconds, 3), TOGETHER: len(rows)}
        record.save(folder)
    return True


def time_in_turns(samplers: Sequence["VideoSampler"], one: CaptionedClip, rounds: int = 3) -> list[float]:
    """Seconds per clip with the paper's 25 DDIM steps: the fastest of `rounds` runs, after one short warm-up run."""
    from glassine.bench.video_methods import PAPER, SHORT

    for sampler in samplers:
        sampler.make([one], [0], SHORT)
    return shortest_in_turns([partial(sampler.make, [one], [0], PAPER) for sampler in samplers], rounds)


def peak_memory(source: str, shape: tuple[int, ...], device: torch.device) -> float:
    """Peak memory in MiB of a fresh process that loads ILDiff from `source` and decodes one clip of `shape`.

    On a GPU, it is the memory of tensors; on a CPU, the resident set of the whole process, including Python and
    libraries.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_decode_once, (source, shape, device))


def _decode_once(source: str, shape: tuple[int, ...], device: torch.device) -> float:
    ildiff_method(source, device).alpha(torch.rand(shape))
    if device.type != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where getrusage may report the parent's peak
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 2**10  # type: ignore[index]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB

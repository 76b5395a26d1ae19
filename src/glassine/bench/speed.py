"""What a method costs: milliseconds a frame, seconds a clip, and the peak memory of a process that runs it once."""

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

# cost that says with how many rows a time was measured
TOGETHER = "timed_together"
Load = Callable[[], "VideoSampler | None"]


def milliseconds_per_frame(
    methods: Sequence[AlphaMethod], clip: Tensor, target: Tensor, rounds: int = 5
) -> list[float]:
    """Shortest of each method's runs on a clip `b f 3 h w`, over its b times f frames, after one to warm up.

    See `shortest_in_turns`.
    """
    calls = [partial(method.alpha, clip, None, target) for method in methods]
    for call in calls:
        call()
    return [1000 * taken / (clip.shape[0] * clip.shape[1]) for taken in shortest_in_turns(calls, rounds)]


def shortest_in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each call's shortest run, without a warm-up.

    The shortest one, since other work on the machine can only add: on a busy one the median was ten times as long. The
    calls take turns, so that a slow minute affects all of them.
    """
    times = [[seconds(call) for call in calls] for _ in range(rounds)]
    return [min(own) for own in zip(*times, strict=True)]


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call, including the GPU's work."""
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def time_together(rows: Sequence[tuple[Record, Load]], one: CaptionedClip, folder: Path) -> bool:
    """Measure `seconds_per_clip` of all rows, unless that has been done with as many.

    Args:
        rows: records that are compared, changed and saved here; and functions that load their samplers, None where the
            network is missing.
        one: the caption and shape of the clip.
        folder: of the records.

    Returns:
        Whether the records have their times; False where a network is missing.
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
    """Seconds of a clip with the paper's 25 steps of DDIM, after one short run to warm up."""
    from glassine.bench.video_methods import PAPER, SHORT

    for sampler in samplers:
        sampler.make([one], [0], SHORT)
    return shortest_in_turns([partial(sampler.make, [one], [0], PAPER) for sampler in samplers], rounds)


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

"""Seconds a clip, of several networks in one run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from glassine.bench.generation.methods import ALL_METHODS
from glassine.bench.generation.rows import PAPER, SHORT, VideoSampler, load_maker
from glassine.bench.generation.runs import Run
from glassine.bench.generation.scoring import Scorer
from glassine.bench.generation.test_set import CaptionedClip
from glassine.bench.records import Record, plain
from glassine.bench.speed import shortest_in_turns

TOGETHER = "timed_together"
Load = Callable[[], VideoSampler | None]


def time_together(rows: Sequence[tuple[Record, Load]], one: CaptionedClip, folder: Path) -> bool:
    """Measure `seconds_per_clip` of all rows, unless that has been done with as many.

    Args:
        rows: records that are compared, changed and saved here; and what gives their makers.
        one: what is made.
        folder: of the records.

    Returns:
        Whether the records have their times; not where a network is missing.
    """
    if all((record.costs.get(TOGETHER) or 0) >= len(rows) for record, _ in rows):
        return True
    makers = [maker for _, load in rows if (maker := load()) is not None]
    if len(makers) < len(rows):
        return False
    for (record, _), seconds in zip(rows, time_in_turns(makers, one), strict=True):
        record.costs |= {"seconds_per_clip": plain(seconds, 3), TOGETHER: len(rows)}
        record.save(folder)
    return True


def trained_row(run: Run, scorer: Scorer, folder: Path) -> tuple[Record, Load]:
    """The row of a trained method; its network is missing where only its record is here, as in a fresh clone."""

    def load() -> VideoSampler | None:
        part, device = ALL_METHODS[run.method].part, scorer.evaluators.device
        return load_maker(str(run.checkpoint), part, device) if run.checkpoint.is_file() else None

    return scorer.record(run, run.checkpoint, folder), load


def ready(maker: VideoSampler) -> Load:
    """What gives a maker that is there already."""
    return lambda: maker


def time_in_turns(makers: Sequence[VideoSampler], one: CaptionedClip, rounds: int = 3) -> list[float]:
    """Seconds of a clip with the paper's 25 steps of DDIM, after one short run to warm up."""
    for maker in makers:
        maker.make([one], [0], SHORT)
    return shortest_in_turns([partial(maker.make, [one], [0], PAPER) for maker in makers], rounds)

"""Score methods under conditions; every cell of the table is saved as soon as it is known."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glassine import __version__
from glassine.bench.clip_scores import make_cell, pack, score_clip
from glassine.bench.held_out import CONDITION_TITLES, HeldOut, unique_samples
from glassine.bench.method import Method
from glassine.bench.parallel import parallel_map
from glassine.bench.records import Record, plain, read_record
from glassine.bench.speed import milliseconds_per_frame
from glassine.utils.devices import processor
from glassine.utils.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called with what goes on, how many steps are done, and of how many."""
Row = tuple[Method, Record]

MEASURED = (
    "alpha of {frames} evenly spaced frames at {size} px against the truth; one animated sticker of each held-out "
    "group; the background is estimated by the method; composites on black, colors un-mixed from the estimated "
    "background; "
    "ms per frame: shortest of 5 runs on one clip of that many frames, all cores, the methods of a call in turns"
)


def score(
    methods: Sequence[Method],
    held_out: HeldOut,
    folder: Path,
    conditions: Sequence[str] | None = None,
    again: bool = False,
    data: str = "",
    progress: Progress = lambda *_: None,
) -> list[Record]:
    """Fill the records of `methods`.

    A cell that is there for the same weights, settings and clips is kept, so a stopped run goes on where it was.
    Clips are made once a condition; stickers are scored side by side, one a core.

    Args:
        methods: rows; those with missing weights get a record that says so.
        held_out: the stickers.
        folder: of the records.
        conditions: names; None for all there are.
        again: measure what is there already, too.
        data: what the records call the data.
        progress: called after every step.

    Returns:
        The records, one a method.

    Raises:
        UserError: an unknown condition, a size that a method cannot take, an unreadable record.
    """
    for method in methods:
        if held_out.size % method.size_multiple:
            raise UserError(f"size {held_out.size} came; {method.title} needs a multiple of {method.size_multiple}")
    names = list(held_out.conditions if conditions is None else conditions)
    prints = {name: held_out.fingerprint(name) for name in names}
    rows = [(method, open_record(method, held_out, folder, data)) for method in methods]
    todo: dict[str, list[Row]] = {}
    for name in names:
        able = [row for row in rows if row[0].is_scored(name)]
        wanted = [row for row in able if again or not is_current(*row, name, prints[name])]
        if wanted:
            todo[name] = wanted
    count = Count(sum(len(held_out) * (1 + len(wanted)) for wanted in todo.values()), progress)
    for method, record in rows:
        if method.function is None:
            record.save(folder)
    working = [row for row in rows if row[0].function is not None]
    if again or any(processor(method.device) != record.costs_on for method, record in working):
        measure_costs(working, held_out)  # all together, so that the times compare
        for _, record in working:
            record.save(folder)
    for name, wanted in todo.items():
        samples = load_clips(held_out, name, partial(count.step, f"{CONDITION_TITLES[name]}: clips"))
        for method, record in wanted:
            step = partial(count.step, f"{CONDITION_TITLES[name]}: {method.title}")
            results = parallel_map(partial(score_clip, method), samples, step)
            record.conditions[name] = make_cell(cell_inputs(method, prints[name]), samples, results)
            record.save(folder)
    return [record for _, record in rows]


class Count:
    """Counts steps and hands them on."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def step(self, text: str) -> None:
        """One more."""
        self.done += 1
        self.progress(text, self.done, self.total)


def load_clips(held_out: HeldOut, condition: str, step: Callable[[], None]) -> list[dict[str, Any]]:
    """All packed clips of a condition; damaged stickers are left out and named in a warning."""
    dataset = held_out.dataset(condition)
    samples = parallel_map(lambda row: pack(dataset[row]), range(len(dataset)), step)
    if damaged := dataset.damaged:
        named = ", ".join(f"{name} ({reason})" for name, reason in damaged.items())
        warnings.warn(f"{len(damaged)} damaged stickers were left out: {named}", stacklevel=2)
    return unique_samples(samples)


def open_record(method: Method, held_out: HeldOut, folder: Path, data: str) -> Record:
    """The record of earlier runs where its stickers and weights are the same, else a new one."""
    new = Record(
        method=method.name,
        title=method.title,
        split=held_out.split,
        size=held_out.size,
        num_frames=held_out.num_frames,
        stickers=held_out.keys(),
        data=data,
        weights=method.weights,
        config=method.config,
        digest=method.digest,
        seed=method.seed,
        settings=dict(method.settings),
        missing=method.missing,
        measured=MEASURED.format(frames=held_out.num_frames, size=held_out.size),
    )
    path = folder / new.file_name
    if not path.is_file():
        return new
    old = read_record(path)
    if (old.setup, old.digest, old.settings) == (new.setup, new.digest, new.settings):
        new.conditions, new.costs, new.costs_on = old.conditions, old.costs, old.costs_on
    if (old.title, old.config) != (new.title, new.config):
        new.save(folder)  # the same numbers, now in another row of the table
    return new


def is_current(method: Method, record: Record, condition: str, clips: str) -> bool:
    """Whether the cell is there and was measured on the same."""
    cell = record.conditions.get(condition)
    if cell is None or cell.stickers < len(record.stickers):  # some were damaged then
        return False
    return cell.inputs == cell_inputs(method, clips)


def cell_inputs(method: Method, clips: str) -> str:
    """Fingerprint of all that decides a cell's scores; `clips` is that of the clips."""
    parts = (__version__, method.name, method.digest, sorted(method.settings.items()), clips)
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def measure_costs(rows: Sequence[Row], held_out: HeldOut) -> None:
    """Milliseconds a frame, on the first sticker on white, and parameters."""
    sample = held_out.dataset("white")[0]
    times = milliseconds_per_frame([method for method, _ in rows], sample["clip"][None], sample["alpha"][None])
    for (method, record), milliseconds in zip(rows, times, strict=True):
        record.costs_on = processor(method.device)
        record.costs = {"ms_per_frame": plain(milliseconds, 3), "parameters": method.parameters}

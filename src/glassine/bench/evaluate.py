"""Evaluate methods on an evaluation set and keep the results in records: shared by both halves of the benchmark.

An `Evaluator` opens the record of a method, finds the missing cells, measures them, and saves each as soon as it is
measured. `AlphaEvaluator` evaluates mattes; `VideoEvaluator` in `evaluate_video` evaluates generated clips.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glassine.bench.alpha_methods import ildiff_method
from glassine.bench.methods import AlphaMethod
from glassine.bench.progress import Progress, ShowProgress, no_progress, parallel_map
from glassine.bench.protocols import CONDITION_TITLES, AlphaEvalSet, EvalSet, unique_samples
from glassine.bench.records import Cell, Record, fingerprint, plain, read_record
from glassine.bench.run import Run
from glassine.bench.speed import milliseconds_per_frame, peak_memory
from glassine.metrics.matting_scores import SCORE_NAMES, MattingScores
from glassine.nn.background import estimate_background
from glassine.utils.devices import processor
from glassine.utils.errors import UserError

# not the background of any condition: on that background, colors un-mixed with a wrong alpha would still look right
COMPOSITE_ON = "black"
# per-clip score -> name of its mean; gaps between rows are judged by these
ITEM_SCORES = {
    "psnr": "psnr_mean",
    "ssim": "ssim",
    "mad": "mad",
    "dtssd": "dtssd",
    "holes_filled": "holes_filled",
    "composite_psnr": "composite_psnr",
}
MEASURED = (
    "alpha of {frames} evenly spaced frames at {size} px against the truth; one animated sticker of each held-out "
    "group; the background is estimated by the method; composites on black, colors un-mixed from the estimated "
    "background; "
    "ms per frame: shortest of 5 runs on one clip of that many frames, all cores, the methods of a call in turns"
)


class Evaluator(ABC):
    """Measures methods and fills their records.

    Attributes:
        eval_set: on which methods are evaluated.
    """

    eval_set: EvalSet

    @abstractmethod
    def metric_names(self) -> Sequence[str]:
        """Names of the scores of a cell."""

    @abstractmethod
    def inputs(self, record: Record, condition: str) -> str:
        """Fingerprint of everything that determines the scores of a cell, except the names of the metrics."""

    @abstractmethod
    def is_complete(self, run: Run, checkpoint: Path, folder: Path) -> bool:
        """Whether the record of a run is known to be complete without loading its network."""

    @abstractmethod
    def fill(self, run: Run, checkpoint: Path, folder: Path, steps: int) -> Record:
        """Measure and save the missing cells of a trained run.

        Args:
            run: the run of `checkpoint`.
            checkpoint: the last one, or one saved during training.
            folder: of the records.
            steps: training steps at that checkpoint.

        Returns:
            The complete record.
        """

    def open(self, new: Record, folder: Path, any_weights: bool = False) -> Record:
        """The saved record if its eval set, settings and weights are those of `new`, else `new`.

        Args:
            new: record without scores.
            folder: of the records.
            any_weights: do not compare the weights' digests, for when the weights of `new` are not loaded and its
                settings identify them.

        Raises:
            UserError: the saved record is unreadable.
        """
        path = folder / new.file_name
        if not path.is_file():
            return new
        old = read_record(path)
        if (old.setup, old.settings) != (new.setup, new.settings) or (not any_weights and old.digest != new.digest):
            return new
        kept = replace(old, title=new.title, config=new.config, missing=new.missing, measured=new.measured)
        if (old.title, old.config) != (new.title, new.config):
            kept.save(folder)  # same numbers, but now in another row of the table
        return kept

    def missing(self, record: Record, conditions: Sequence[str]) -> list[str]:
        """The conditions of the record without a current cell."""
        # a cell with fewer stickers than the record, because some were damaged, is measured again
        expected, names = len(record.stickers), self.metric_names()
        cells = {name: record.conditions.get(name) for name in conditions}
        return [n for n, c in cells.items() if c is None or not c.is_current(self.inputs(record, n), names, expected)]


class AlphaEvaluator(Evaluator):
    """Evaluates matting methods. Clips are made once for each condition; stickers are scored in parallel, one per core.

    Args:
        eval_set: the stickers.
        conditions: names; None for all of the eval set.
        data: name of the data in records.
        device: for the networks of runs.
        arm_method: name of the method in records of runs.
        progress: context manager that gives a function called after every step.

    Raises:
        UserError: a condition is unknown.
    """

    eval_set: AlphaEvalSet

    def __init__(
        self,
        eval_set: AlphaEvalSet,
        conditions: Sequence[str] | None = None,
        data: str = "",
        device: torch.device | None = None,
        arm_method: str = "arm",
        progress: ShowProgress = no_progress,
    ) -> None:
        self.eval_set, self.data, self.arm_method, self.progress = eval_set, data, arm_method, progress
        self.device = device or torch.device("cpu")
        self.conditions = list(eval_set.conditions if conditions is None else conditions)
        self.clips = {name: eval_set.fingerprint(name) for name in self.conditions}

    def metric_names(self) -> Sequence[str]:
        """Names of the scores of `MattingScores`."""
        return SCORE_NAMES

    def inputs(self, record: Record, condition: str) -> str:
        """Fingerprint of the method, its weights and settings, and the clips."""
        return fingerprint(record.method, record.digest, sorted(record.settings.items()), self.clips[condition])

    def evaluate(self, methods: Sequence[AlphaMethod], folder: Path, again: bool = False) -> list[Record]:
        """Fill the records of `methods`. Current cells are kept, so a stopped call resumes.

        Args:
            methods: rows; those with missing weights get a record that says so.
            folder: of the records.
            again: also measure current cells again.

        Returns:
            The records, one per method.

        Raises:
            UserError: the size of the eval set is no multiple of a method's `size_multiple`, or a saved record is
                unreadable.
        """
        size = self.eval_set.size
        for method in methods:
            if size % method.size_multiple:
                raise UserError(f"size must be a multiple of {method.size_multiple} for {method.title}, got {size}")
        measured = MEASURED.format(frames=self.eval_set.num_frames, size=size)
        rows = [(m, self.open(m.new_record(self.eval_set, self.data, measured), folder)) for m in methods]
        todo: dict[str, list[tuple[AlphaMethod, Record]]] = {}
        for name in self.conditions:
            able = [row for row in rows if row[0].is_scored(name)]
            if wanted := [row for row in able if again or self.missing(row[1], [name]) or self.lacks(*row, name)]:
                todo[name] = wanted
        for method, record in rows:
            if method.function is None:
                record.save(folder)
        working = [row for row in rows if row[0].function is not None]
        if again or any(processor(method.device) != record.costs_on for method, record in working):
            self.measure_costs(working)  # all in one go, so that the times are comparable
            for _, record in working:
                record.save(folder)
        with self.progress() as tell:
            count = Count(sum(len(self.eval_set) * (1 + len(wanted)) for wanted in todo.values()), tell)
            for name, wanted in todo.items():
                samples = self.load_clips(name, partial(count.step, f"{CONDITION_TITLES[name]}: clips"))
                for method, record in wanted:
                    step = partial(count.step, f"{CONDITION_TITLES[name]}: {method.title}")
                    results = parallel_map(partial(score_clip, method), samples, step)
                    cell = make_cell(self.inputs(record, name), samples, results)
                    if method.more is not None:
                        add_scores(cell, parallel_map(partial(more_scores, method), samples))
                    record.conditions[name] = cell
                    record.save(folder)
        return [record for _, record in rows]

    def lacks(self, method: AlphaMethod, record: Record, condition: str) -> bool:
        """Whether a cell has been measured without the further scores of its method."""
        return not set(method.more_names) <= set(record.conditions[condition].metrics)

    def load_clips(self, condition: str, step: Callable[[], None]) -> list[dict[str, Any]]:
        """All packed clips of a condition; damaged stickers are skipped and named in a warning."""
        dataset = self.eval_set.dataset(condition)
        samples = parallel_map(lambda row: pack(dataset[row]), range(len(dataset)), step)
        if damaged := dataset.damaged:
            named = ", ".join(f"{name} ({reason})" for name, reason in damaged.items())
            warnings.warn(f"{len(damaged)} damaged stickers were left out: {named}", stacklevel=2)
        return unique_samples(samples)

    def measure_costs(self, rows: Sequence[tuple[AlphaMethod, Record]]) -> None:
        """Set the records' costs: milliseconds per frame on the first sticker on white, and parameters."""
        sample = self.eval_set.dataset("white")[0]
        times = milliseconds_per_frame([method for method, _ in rows], sample["clip"][None], sample["alpha"][None])
        for (method, record), milliseconds in zip(rows, times, strict=True):
            record.costs_on = processor(method.device)
            record.costs = {"ms_per_frame": plain(milliseconds, 3), "parameters": method.parameters}

    def is_complete(self, run: Run, checkpoint: Path, folder: Path) -> bool:
        """Always False: cells depend on the digest of the weights, which must be loaded for it."""
        return False

    def fill(self, run: Run, checkpoint: Path, folder: Path, steps: int) -> Record:
        """See `Evaluator.fill`. The record is that of an ablation arm and includes its costs.

        Raises:
            UserError: the checkpoint cannot be loaded, or see `evaluate`.
        """
        method = ildiff_method(str(checkpoint), self.device, run.spec.title, failures=True)
        if method.function is None:
            raise UserError(method.missing)
        config = run.stages()[-1].description
        (record,) = self.evaluate([replace(method, name=self.arm_method, config=config)], folder)
        speed = record.costs["ms_per_frame"] or 0.0
        record.costs["seconds_per_clip"] = plain(speed * record.num_frames / 1000, 3)
        if "peak_memory_mib" not in record.costs:
            shape = (1, record.num_frames, 3, record.size, record.size)
            record.costs["peak_memory_mib"] = plain(peak_memory(str(checkpoint), shape, self.device), 4)
        record.costs["steps"] = steps
        record.save(folder)
        return record


def evaluate(
    methods: Sequence[AlphaMethod],
    eval_set: AlphaEvalSet,
    folder: Path,
    conditions: Sequence[str] | None = None,
    again: bool = False,
    data: str = "",
    progress: ShowProgress = no_progress,
) -> list[Record]:
    """Evaluate matting methods and return their records; see `AlphaEvaluator` and `AlphaEvaluator.evaluate`."""
    return AlphaEvaluator(eval_set, conditions, data, progress=progress).evaluate(methods, folder, again)


class Count:
    """Counts steps and reports them to `progress`.

    Args:
        total: number of steps.
        progress: called with the text, the steps done, and the total.
    """

    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def step(self, text: str) -> None:
        """Count one step of the work named `text`."""
        self.done += 1
        self.progress(text, self.done, self.total)


def pack(sample: dict[str, Any]) -> dict[str, Any]:
    """The part of a sample that scoring needs, with colors as uint8, which takes a third of the memory."""
    packed = {name: (sample[name] * 255).round().byte() for name in ("clip", "foreground")}
    return {**packed, "alpha": sample["alpha"], "key": sample["key"], "group": sample["group"]}


def score_clip(method: AlphaMethod, sample: dict[str, Any]) -> MattingScores:
    """Scores of one packed clip. The method is not given the background; it may use the target only for prompts."""
    clip = sample["clip"].float().unsqueeze(0) / 255  # 1 f 3 h w
    return score_alpha(method.alpha(clip, None, sample["alpha"].unsqueeze(0)), sample)


def more_scores(method: AlphaMethod, sample: dict[str, Any]) -> dict[str, float]:
    """The further scores of a method on one packed clip."""
    assert method.more is not None
    clip, color = (sample[name].float().unsqueeze(0) / 255 for name in ("clip", "foreground"))  # 1 f 3 h w
    return method.more(clip, sample["alpha"].unsqueeze(0), color)


def add_scores(cell: Cell, scores: Sequence[dict[str, float]]) -> None:
    """Add further scores of each clip, and their means, to a cell."""
    for name in scores[0]:
        values = [one[name] for one in scores]
        cell.scores[name], cell.items[name] = plain(sum(values) / len(values)), [plain(value, 4) for value in values]
        cell.metrics.append(name)


def score_alpha(alpha: Tensor, sample: dict[str, Any]) -> MattingScores:
    """Scores of a predicted `alpha`, `1 f 1 h w`, for one packed clip."""
    clip, foreground = (sample[name].float().unsqueeze(0) / 255 for name in ("clip", "foreground"))  # 1 f 3 h w
    scores = MattingScores(COMPOSITE_ON)
    scores.update(alpha, sample["alpha"].unsqueeze(0), unmix(clip, alpha), foreground)
    return scores


def unmix(clip: Tensor, alpha: Tensor) -> Tensor:
    """Straight colors `b f 3 h w` in [0, 1] of an opaque clip for a given alpha, computed alike for all methods.

    Solves C = alpha F + (1 - alpha) B for F; the background B is estimated from the border.
    """
    background = estimate_background(clip)[:, None, :, None, None]  # b 1 3 1 1
    return ((clip - (1 - alpha) * background) / alpha.clamp(min=1 / 255)).clamp(0, 1)


def make_cell(inputs: str, samples: Sequence[dict[str, Any]], results: Sequence[MattingScores]) -> Cell:
    """Summarize the clips of one condition.

    Args:
        inputs: fingerprint of the cell.
        samples: packed samples.
        results: scores of each sample; the first is changed.
    """
    total, *others = results
    for other in others:
        total.merge_state(other)
    values, keys = total.per_clip(), [sample["key"] for sample in samples]
    psnr = {key: round(value, 2) for key, value in zip(keys, values["psnr"].tolist(), strict=True)}
    scores = {name: plain(value) for name, value in total.compute().items()}
    items = {score: [plain(value, 4) for value in values[name].tolist()] for name, score in ITEM_SCORES.items()}
    return Cell(inputs, len(samples), scores, psnr, keys=keys, groups=[one["group"] for one in samples], items=items)

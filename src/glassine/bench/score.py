"""Score any source of clips or mattes against any test set: implements `glassine score`.

`glassine.bench.score_request` lists the sources. Results are kept in records like those of the benchmark. Scores of
clips that are already in a record are not measured again.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.clip_folder import FolderSet
from glassine.bench.evaluate import Count, make_cell, pack, score_clip
from glassine.bench.evaluate_video import AnimationEvaluator, motion_items, on_white
from glassine.bench.evaluators import ClipScoring, Evaluators
from glassine.bench.intervals import Interval, gap_interval, group_weights, mean_draws
from glassine.bench.methods import AlphaMethod, Method
from glassine.bench.progress import ShowProgress, no_progress, parallel_map
from glassine.bench.protocols import CaptionedClip, CaptionedSet, VideoEvalSet, unique_samples
from glassine.bench.records import Cell, Record, fingerprint, read_record
from glassine.bench.score_request import CLIPS, METRICS, Request, source_of, test_set
from glassine.bench.specs import FLOORS
from glassine.bench.video_methods import REFERENCES, VideoSampler
from glassine.data.transforms import evaluation_conditions
from glassine.metrics.matting_scores import MattingScores
from glassine.utils.devices import processor
from glassine.utils.errors import UserError


class ClipEvaluator(AnimationEvaluator):
    """Evaluates generated clips, opaque or transparent, with the requested metrics.

    Args:
        eval_set: the test set.
        evaluators: with the families of the requested metrics.
        request: see `Request`.
        progress: see `VideoEvaluator`.
    """

    def __init__(
        self, eval_set: VideoEvalSet, evaluators: Evaluators, request: Request, progress: ShowProgress = no_progress
    ) -> None:
        super().__init__(eval_set, evaluators, progress)
        self.request = request

    def metric_names(self) -> Sequence[str]:
        """The requested metrics rather than names of scores, which depend on the clips."""
        return sorted(self.request.metrics)

    def inputs(self, record: Record, condition: str) -> str:
        """See `VideoEvaluator.inputs`; includes the backgrounds."""
        return fingerprint(super().inputs(record, condition), self.request.backgrounds)

    def scores(
        self, real: CaptionedSet, made: Tensor, sampler: VideoSampler, wanted: Sequence[CaptionedClip]
    ) -> ClipScoring:
        """Scores of clips `n f 3|4 h w`.

        Raises:
            UserError: the CLIP score is requested, but the clips have no captions.
        """
        captions, groups = [one.caption for one in wanted], [one.group or one.key for one in wanted]
        is_clear, metrics = made.shape[2] == 4, self.request.metrics
        true = torch.stack([one.rgba for one in real.clips]) if is_clear else real.stacked()
        backgrounds = self.request.backgrounds if is_clear else ("white",)
        if "clip" in metrics and not any(caption.strip() for caption in captions):
            raise UserError(
                "clips must have captions for the CLIP score, got none: add prompts.json or leave out the metric clip"
            )
        found = self.evaluators.score(true, made, captions, backgrounds, real.groups, groups, sampler.is_real)
        if sampler.rebuilds and {"psnr", "ssim", "alpha"} & set(metrics):
            found.items |= paired_items(real, made, wanted, is_clear)
        if "motion" in metrics:
            found.items |= motion_items(self.evaluators, sampler.at_rate(made, wanted))
        found.items = {name: values for name, values in found.items.items() if asked_for(name, metrics)}
        found.draws = {name: values for name, values in found.draws.items() if asked_for(name, metrics)}
        kept = {name: value for name, value in found.scores.items() if asked_for(name, metrics)}
        means = {name: float(torch.nanmean(values.double())) for name, values in found.items.items()}
        found.scores = means | kept
        return found


def paired_items(
    real: CaptionedSet, made: Tensor, wanted: Sequence[CaptionedClip], is_clear: bool
) -> dict[str, Tensor]:
    """Scores of generated clips against the test clips with the same keys, by `SCORE_NAMES`; NaN without a match.

    Composite PSNR and SSIM are on white. Scores of alpha are only computed for clips with alpha (`is_clear`).
    """
    by_key = {one.key: one for one in real.clips}
    found: dict[str, list[float]] = {}
    for row, one in enumerate(wanted):
        if (target := by_key.get(one.key)) is None:
            continue
        scores = MattingScores("white")
        clip, true = made[row, None], target.rgba[None]
        if is_clear:
            scores.update(clip[:, :, 3:], true[:, :, 3:], clip[:, :, :3], true[:, :, :3])
        else:
            opaque = torch.ones_like(true[:, :, 3:])
            scores.update(opaque, opaque, on_white(clip), on_white(true))
        for name, value in scores.per_clip().items():
            if is_clear or name.startswith("composite"):
                column = found.setdefault("psnr_mean" if name == "psnr" else name, [float("nan")] * len(wanted))
                column[row] = float(value)
    return {name: torch.tensor(values) for name, values in found.items()}


def asked_for(score: str, metrics: Sequence[str]) -> bool:
    """Whether a score belongs to one of the metrics; `psnr` and `ssim` include alpha and composites."""
    family = score.split("_")[0]
    named = {"dynamic": "motion", "composite": score.split("_")[-1]}.get(family, family)
    of_alpha = named not in METRICS
    return (named in metrics) or (of_alpha and "alpha" in metrics)


def score(
    request: Request, evaluators: Evaluators, folder: Path, progress: ShowProgress = no_progress
) -> tuple[Record, list[Record]]:
    """Measure a source, or reuse the scores in its record.

    Args:
        request: source, test set and metrics.
        evaluators: of clips, with the families of the requested metrics.
        folder: of the record.
        progress: see `VideoEvaluator`.

    Returns:
        The record; and the records of training clips and true clips, which are the floors of distances.

    Raises:
        UserError: the source or test set cannot be read, or a metric is unknown or not available for the source.
    """
    unknown = sorted(set(request.metrics) - set(METRICS))
    if unknown or not request.metrics:
        raise UserError(f"metrics must be some of {', '.join(METRICS)}, got {', '.join(unknown) or 'none'}")
    real = test_set(request)
    source = source_of(request, real)
    if isinstance(source, AlphaMethod):
        return score_matting(source, real, request, folder, progress), []
    eval_set = VideoEvalSet({CLIPS: real}, request.clips)
    evaluator = ClipEvaluator(eval_set, evaluators, request, progress)
    floors = [floor(evaluator, name, folder) for name in floor_names(request, real)]
    return evaluator.evaluate(*source, folder), floors


def floor_names(request: Request, real: CaptionedSet) -> list[str]:
    """Names of the floors, real clips that distances are compared with, that the test set has."""
    if not {"fvd", "kvd"} & set(request.metrics) or request.source == "true":
        return []
    return ["true"] if isinstance(real, FolderSet) else list(FLOORS)


def floor(evaluator: ClipEvaluator, name: str, folder: Path) -> Record:
    """The record of a floor, `train` or `true`; only distances are measured."""
    sampler = REFERENCES[name](evaluator.request.device)
    distances = tuple(one for one in evaluator.request.metrics if one in ("fvd", "kvd"))
    alone = ClipEvaluator(
        evaluator.eval_set, evaluator.evaluators, replace(evaluator.request, metrics=distances), evaluator.progress
    )
    return alone.evaluate(Method(name, name, digest=sampler.digest), sampler, folder / "floors")


def score_matting(
    method: AlphaMethod, real: CaptionedSet, request: Request, folder: Path, progress: ShowProgress
) -> Record:
    """Measure a matting method on opaque clips of a test set and save its record.

    Raises:
        UserError: no metric applies to mattes, the weights are missing, the size does not fit, or the condition is
            unknown.
    """
    if not {"psnr", "ssim", "alpha"} & set(request.metrics):
        raise UserError(f"metrics must be psnr, ssim or alpha for {method.title}, got {', '.join(request.metrics)}")
    if method.function is None:
        raise UserError(f"{method.title}: {method.missing}")
    if request.size % method.size_multiple:
        raise UserError(f"size must be a multiple of {method.size_multiple} for {method.title}, got {request.size}")
    conditions = {condition.name: condition for condition in evaluation_conditions()}
    if request.condition not in conditions:
        raise UserError(f"condition must be one of {', '.join(conditions)}, got {request.condition!r}")
    dataset = real.samples(transform=conditions[request.condition])
    with progress() as tell:
        count = Count(2 * len(dataset), tell)
        samples = parallel_map(lambda row: pack(dataset[row]), range(len(dataset)), partial(count.step, "clips"))
        samples = unique_samples(samples)
        results = parallel_map(partial(score_clip, method), samples, partial(count.step, method.title))
    inputs = fingerprint(method.name, method.digest, sorted(method.settings.items()), real.fingerprint())
    cell = make_cell(inputs, samples, results)
    cell.scores = {name: value for name, value in cell.scores.items() if asked_for(name, request.metrics)}
    cell.items = {name: value for name, value in cell.items.items() if asked_for(name, request.metrics)}
    record = method.new_record(VideoEvalSet({CLIPS: real}), real.name)
    record.stickers, record.conditions = cell.keys, {request.condition: cell}
    record.costs, record.costs_on = {"parameters": method.parameters}, processor(method.device)
    if (path := folder / record.file_name).is_file():
        old = read_record(path)
        if (old.setup, old.digest) == (record.setup, record.digest):
            record.conditions |= {name: one for name, one in old.conditions.items() if name != request.condition}
    record.save(folder)
    return record


def interval_of(cell: Cell, score: str) -> Interval:
    """A score with its 95% bootstrap interval over groups; the ends are NaN if only the mean is known."""
    value = cell.scores.get(score)
    if value is None:
        return Interval(*[float("nan")] * 3)
    if score in cell.draws:
        drawn = torch.tensor(cell.draws[score], dtype=torch.float64)
    elif items := list(cell.per_item(score).values()):
        values = torch.tensor([number for _, number in items], dtype=torch.float64)
        drawn = mean_draws(values, group_weights([group for group, _ in items]))
    else:
        return Interval(value, float("nan"), float("nan"))
    found = gap_interval(value, [drawn], [torch.zeros_like(drawn)])
    # the interval is centered on the value, so it could extend below 0, which a Fréchet distance cannot
    return found._replace(low=max(found.low, 0.0)) if score.startswith("fvd") else found


def lines(record: Record, floors: Sequence[Record] = ()) -> list[str]:
    """Lines for the terminal: each score with its interval, and distances with their floors."""
    (name, cell), *_ = record.conditions.items()
    said = [
        f"{record.title}: {cell.stickers} clips of {cell.num_groups} groups, split {record.split}, "
        f"{record.num_frames} frames of {record.size} x {record.size}" + (f", {name}" if name != CLIPS else "")
    ]
    for score, value in cell.scores.items():
        if value is None or score.endswith(("_n", "_n_real", "_n_fake")):
            continue
        _, low, high = interval_of(cell, score)
        ends = f" [{low:.4g}, {high:.4g}]" if low == low else ""
        counted = {end: cell.scores.get(f"{score}_n_{end}") for end in ("fake", "real")}
        pair = f"  {counted['fake']:.0f} against {counted['real']:.0f} clips" if counted["fake"] else ""
        beside = [f"{one.title} {known:.4g}" for one in floors if (known := floor_value(one, score)) is not None]
        said.append(f"  {score} {value:.4g}{ends}{pair}" + (f"  floor: {', '.join(beside)}" if beside else ""))
    return said


def floor_value(record: Record, score: str) -> float | None:
    """A score in the first cell of a floor's record; None if it was not measured."""
    return next((cell.scores.get(score) for cell in record.conditions.values()), None)

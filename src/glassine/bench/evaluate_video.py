"""Evaluate networks that generate clips: against held-out stickers on white, and what becomes of alpha.

Clips are generated for the captions of an evaluation set. `VideoEvaluator` scores them on white (VSD2M);
`AnimationEvaluator` scores transparent clips on white and black, their motion and their alpha (Layer-Animate).
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glassine.bench.evaluate import Evaluator
from glassine.bench.evaluators import BATCH, ClipScoring, Evaluators
from glassine.bench.methods import Method
from glassine.bench.progress import ShowProgress, no_progress
from glassine.bench.protocols import CaptionedClip, CaptionedSet, VideoEvalSet
from glassine.bench.records import Cell, Record, fingerprint, plain
from glassine.bench.run import Run
from glassine.bench.speed import Load
from glassine.bench.video_methods import VideoSampler, load_sampler, trained_method
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.metrics.image import background_color, composite_on
from glassine.metrics.matting_scores import MattingScores
from glassine.metrics.temporal import alpha_flicker, alpha_levels, alpha_motion, alpha_overlap
from glassine.pipelines.text_to_sticker import to_bytes
from glassine.utils.devices import processor
from glassine.utils.files import atomic_path

DURATION = 125  # milliseconds
MEASURED = (
    "clips for the captions of held-out stickers, one sticker a group, on white; motion at 8 frames a second; "
    "seconds: 25 steps of DDIM, one clip"
)
# a veil or a rim that one of them hides is seen on the other
BACKGROUNDS = ("white", "black")
ALPHA_METRICS = ("alpha_overlap", "alpha_levels", "alpha_motion", "alpha_flicker")


class VideoEvaluator(Evaluator):
    """Evaluates generated clips on white, of networks that are trained here and of references.

    The record of a run names what its network was trained by. A complete one needs neither training nor network: it is
    valid in a fresh clone, too, until the experiment, the weights that it starts from, the test stickers or the metrics
    change.

    Args:
        eval_set: captions, and the stickers that clips are compared with.
        evaluators: the metrics and their networks.
        progress: gives, as a context, a function that is called with clips done.
        clips_to: folder that gets the clips, in a folder for each network and condition; None keeps none.
    """

    eval_set: VideoEvalSet

    def __init__(
        self,
        eval_set: VideoEvalSet,
        evaluators: Evaluators,
        progress: ShowProgress = no_progress,
        clips_to: Path | None = None,
    ) -> None:
        self.eval_set, self.evaluators, self.progress, self.clips_to = eval_set, evaluators, progress, clips_to

    def metric_names(self) -> Sequence[str]:
        """Those of the evaluators."""
        return self.evaluators.metric_names(self.eval_set.num_frames)

    def inputs(self, record: Record, condition: str) -> str:
        """Of the network, the eval set and the evaluators' weights."""
        settings, clips = sorted(record.settings.items()), self.eval_set.fingerprint(condition)
        return fingerprint(record.digest, settings, clips, self.eval_set.least, self.evaluators.identity)

    def record(self, run: Run, checkpoint: Path, folder: Path) -> Record:
        """That of a run's network, with the scores of earlier calls if it was trained alike."""
        new = trained_method(run, checkpoint).new_record(self.eval_set, run.training_set, MEASURED)
        return self.open(new, folder, any_weights=True)

    def conditions_of(self, run: Run | None) -> Sequence[str]:
        """The sets that a run is tested on."""
        if run is None or run.trained_on is None:
            return self.eval_set.conditions
        return [name for name in run.trained_on.tested_on if name in self.eval_set.conditions]

    def is_complete(self, run: Run, checkpoint: Path, folder: Path) -> bool:
        """Whether all cells of the run's record are current."""
        return not self.missing(self.record(run, checkpoint, folder), self.conditions_of(run))

    def fill(self, run: Run, checkpoint: Path, folder: Path, steps: int) -> Record:
        """See `Evaluator.fill`."""
        sampler = load_sampler(str(checkpoint), run.spec.part, self.evaluators.device)
        record = self.record(run, checkpoint, folder)
        record.costs["steps"] = steps
        return self.measure(record, sampler, folder, run.name, self.conditions_of(run))

    def evaluate(self, method: Method, sampler: VideoSampler, folder: Path) -> Record:
        """The record of a method that is not trained here, filled."""
        record = self.open(method.new_record(self.eval_set), folder)
        return self.measure(record, sampler, folder, method.title, self.conditions_of(None))

    def measure(
        self, record: Record, sampler: VideoSampler, folder: Path, name: str, conditions: Sequence[str]
    ) -> Record:
        """Measure and save the missing cells of a record, which is changed.

        Args:
            record: of `sampler`.
            sampler: generates the clips.
            folder: of the records.
            name: shown beside the progress.
            conditions: of the eval set.
        """
        record.digest = sampler.digest  # of another training of the same spec; all cells are missing then
        record.costs["parameters"] = sampler.parameters
        for condition in self.missing(record, conditions):
            real = self.eval_set.sets[condition]
            wanted = self.eval_set.wanted(condition, sampler.seeded)
            if sampler.stand_in is not None:
                wanted = sampler.stand_in(real, self.eval_set.least)
            with self.progress() as tell:  # at most one bar at a time: training has its own
                made = sampler.clips(wanted, tell=partial(tell, name))
            if self.clips_to is not None:
                write_clips(made, wanted, self.clips_to / file_name(f"{name}-{condition}"))
            scoring = self.scores(real, made, sampler, wanted)
            record.conditions[condition] = self.cell(self.inputs(record, condition), wanted, scoring)
            record.costs_on = processor(self.evaluators.device)
            record.save(folder)
        return record

    def cell(self, inputs: str, wanted: Sequence[CaptionedClip], scoring: ClipScoring) -> Cell:
        """What is kept of the scores of made clips."""
        scores = {name: plain(value) for name, value in scoring.scores.items()}
        return Cell(
            inputs,
            len(wanted),
            scores,
            metrics=list(dict.fromkeys([*self.metric_names(), *scores])),
            keys=item_keys(wanted),
            groups=[one.group or one.key for one in wanted],
            items={name: [plain(value, 4) for value in values.tolist()] for name, values in scoring.items.items()},
            draws={
                name: [plain(value, 6) or 0.0 for value in values.tolist()] for name, values in scoring.draws.items()
            },
        )

    def scores(
        self, real: CaptionedSet, made: Tensor, sampler: VideoSampler, wanted: Sequence[CaptionedClip]
    ) -> ClipScoring:
        """Of clips `n f 3 h w` on white that `sampler` made, against a set; `wanted` is what each was made for."""
        captions, groups = [one.caption for one in wanted], [one.group or one.key for one in wanted]
        true = real.stacked()
        return self.evaluators.score(
            true, on_white(made), captions, ("white",), real.groups, groups, halves=sampler.is_real
        )

    def timed(self, run: Run, folder: Path) -> tuple[Record, Load]:
        """The record of a trained method, and a function that loads its network, if it is here."""

        def load() -> VideoSampler | None:
            if not run.checkpoint.is_file():  # a fresh clone has the record alone
                return None
            return load_sampler(str(run.checkpoint), run.spec.part, self.evaluators.device)

        return self.record(run, run.checkpoint, folder), load


class AnimationEvaluator(VideoEvaluator):
    """Evaluates transparent clips: as `VideoEvaluator` and on black, and their motion and alpha.

    `dynamic_degree_farneback_...`, `dynamic_degree_raft_...`
        See `glassine.metrics.dynamic_degree`; Farnebäck's flow needs no weights.
    `alpha_overlap`, `alpha_levels`
        Agreement of the other frames' alpha with that of the base image, or of the middle frame where a method has no
        base image. See `glassine.metrics.temporal`.
    `alpha_motion`, `alpha_flicker`
        See `glassine.metrics.temporal`.
    """

    def metric_names(self) -> Sequence[str]:
        """Those of the evaluators on both backgrounds, of motion and of alpha."""
        names = self.evaluators.metric_names(self.eval_set.num_frames, BACKGROUNDS)
        return [*names, *(name for flow in self.evaluators.flows for name in flow.names), *ALPHA_METRICS]

    def scores(
        self, real: CaptionedSet, made: Tensor, sampler: VideoSampler, wanted: Sequence[CaptionedClip]
    ) -> ClipScoring:
        """Of straight RGBA clips `n f 4 h w` in [0, 1]; of reconstructions also `MattingScores`."""
        true = torch.stack([one.rgba for one in real.clips])
        captions, groups = [one.caption for one in wanted], [one.group or one.key for one in wanted]
        found = self.evaluators.score(true, made, captions, BACKGROUNDS, real.groups, groups, sampler.is_real)
        if sampler.rebuilds:
            matting = MattingScores()
            matting.update(made[:, :, 3:], true[:, :, 3:])
            found.scores |= matting.compute()
        for values in (
            motion_items(self.evaluators, sampler.at_rate(made, wanted)),
            alpha_items(made[:, :, 3:], sampler.reference(made.shape[1])),
        ):
            found.items |= values
            found.scores |= {name: float(torch.nanmean(value)) for name, value in values.items()}
        return found


def motion_items(evaluators: Evaluators, clips: Tensor) -> dict[str, Tensor]:
    """Each clip's motion by the names of their means; all clips have the same rate, so the same thresholds hold."""
    found: dict[str, Tensor] = {}
    for flow in evaluators.flows:
        flow.reset()
        for part in clips.split(BATCH):
            flow.update(part.to(evaluators.device))
        found |= dict(zip(flow.names, flow.per_clip().double().cpu().T, strict=True))
    return found


def alpha_items(alpha: Tensor, reference: int) -> dict[str, Tensor]:
    """Scores `n` of clips `n f 1 h w`; frame number `reference` is the base image or represents it."""
    others = torch.cat([alpha[:, :reference], alpha[:, reference + 1 :]], dim=1)
    base = alpha[:, reference, None].expand_as(others)
    values = (alpha_overlap(others, base), alpha_levels(others, base), alpha_motion(alpha), alpha_flicker(alpha))
    return dict(zip(ALPHA_METRICS, values, strict=True))


def on_white(clips: Tensor) -> Tensor:
    """Clips `n f 3|4 h w` as `n f 3 h w`."""
    return composite_on(clips, background_color("white")) if clips.shape[2] == 4 else clips


def item_keys(wanted: Sequence[CaptionedClip]) -> list[str]:
    """The sticker's key; of further clips for the same sticker with their number."""
    seen: Counter[str] = Counter()
    keys = []
    for one in wanted:
        keys.append(f"{one.key}#{seen[one.key]}" if seen[one.key] else one.key)
        seen[one.key] += 1
    return keys


def write_clips(made: Tensor, wanted: Sequence[CaptionedClip], folder: Path) -> None:
    """Write `KEY.webp` of each clip and `prompts.json`, as `glassine study build` takes them.

    Args:
        made: clips `n f 3 h w`, or straight RGBA `n f 4 h w`, in [0, 1].
        wanted: what they were made for, n; several methods give clips of the same captions the same names.
        folder: of the method; is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = item_keys(wanted)
    for frames, key in zip(to_bytes(made), keys, strict=True):
        if frames.shape[-1] == 3:
            frames = np.pad(frames, [(0, 0)] * 3 + [(0, 1)], constant_values=255)
        write_sticker(Sticker(frames, (DURATION,) * len(frames)), folder / f"{file_name(key)}.webp")
    prompts = {
        file_name(key): one.caption.partition("\t")[2] or one.caption for key, one in zip(keys, wanted, strict=True)
    }
    with atomic_path(folder / "prompts.json") as path:
        path.write_text(json.dumps(prompts, ensure_ascii=False, indent=1), encoding="utf-8")


def file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name)

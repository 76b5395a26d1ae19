"""Evaluate the networks of the Animated Stickers chain: base, in-domain, teachers, student, few-step students.

Each row is a network from a folder of weights or a run. All networks animate the same images, the middle frames of
held-out stickers, with the stickers' captions. A network with distilled steps uses its own solver and number of steps;
the others use the given guided sampler.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.evaluate_video import VideoEvaluator, on_white
from glassine.bench.evaluators import BATCH, ClipScoring, Evaluators
from glassine.bench.loading import load_network
from glassine.bench.methods import Method
from glassine.bench.progress import ShowProgress, no_progress
from glassine.bench.protocols import CaptionedClip, CaptionedSet, VideoEvalSet
from glassine.bench.records import Record, plain
from glassine.bench.specs import FLOORS
from glassine.bench.speed import shortest_in_turns
from glassine.bench.video_methods import REFERENCE_TITLES, REFERENCES, VideoSampler, around_stills, reference_method
from glassine.metrics.looping import loop_gap
from glassine.metrics.temporal import alpha_flicker
from glassine.models.animation import Animation
from glassine.models.image_to_video import ImageToVideo
from glassine.nn.conditioning import motion_amount
from glassine.utils.devices import processor
from glassine.utils.errors import UserError

TITLES = {
    "base": "base",
    "in_domain": "in-domain",
    "student": "student",
    "one_teacher": "student of one teacher",
    "guidance": "student, guidance distilled",
    "steps_8": "8 steps",
    "steps_4": "4 steps",
}
TEACHER = "teacher_"  # followed by its name
CLIP_SCORES = ("image_agreement", "motion", "motion_over_seeds", "loop_gap", "alpha_flicker")
MEASURED = (
    "clips around the middle frames of held-out stickers, one sticker a group, by their captions; distances, agreement "
    "with text and still on white; seconds: the shortest of 3 single clips, weights loaded, {threads} threads; "
    "evaluations: of the UNet for one clip"
)


@dataclass(frozen=True)
class ChainRow:
    """A network of the table.

    Attributes:
        name: key of `TITLES`, or `teacher_NAME`.
        source: folder of weights, run folder or checkpoint.

    Raises:
        UserError: `name` is neither.
    """

    name: str
    source: str

    def __post_init__(self) -> None:
        """Raise UserError if `name` is no row of the table."""
        if self.name not in TITLES and re.fullmatch(TEACHER + r"[\w-]+", self.name) is None:
            raise UserError(f"row must be one of {', '.join(TITLES)} or {TEACHER}NAME, got {self.name!r}")

    @property
    def title(self) -> str:
        """The row's name in the table."""
        return TITLES.get(self.name) or f"teacher {self.name.removeprefix(TEACHER).replace('_', ' ')}"


def chain_sampler(source: str, guided: Animation, device: torch.device) -> tuple[VideoSampler, ImageToVideo, str]:
    """Load a network that animates the middle frame of each captioned clip.

    Args:
        source: folder of weights, run folder or checkpoint.
        guided: sampler for a network whose steps are not distilled.
        device: where it runs.

    Returns:
        The sampler, its network, and the name of the weights in records.

    Raises:
        UserError: `source` does not exist, or holds another network.
    """
    loaded = load_network(source, "generator")
    network = loaded.network
    if not isinstance(network, ImageToVideo):
        raise UserError(f"{source} must be an ImageToVideo, got a {type(network).__name__}")
    network.to(device)
    return around_stills(network, sampling_of(network, guided), loaded.digest), network, loaded.origin


def sampling_of(network: ImageToVideo, guided: Animation) -> Animation:
    """The sampler of a network.

    Its own if its steps are distilled; the steps and solver of `guided` if only its guidance is; else `guided`.
    """
    made_for = network.distilled
    if made_for is None:
        return guided
    if made_for.num_inference_steps is None:
        return Animation(num_inference_steps=guided.num_inference_steps, solver=guided.solver)
    return network.usual_sampling


class ChainEvaluator(VideoEvaluator):
    """Like `VideoEvaluator`, with these additional scores of each clip (`CLIP_SCORES`):

    `image_agreement`
        Mean cosine similarity of the frames and the still, by the image-text evaluator.
    `motion`, `motion_over_seeds`
        `glassine.nn.conditioning.motion_amount` x1000, and its standard deviation over the clips of one still.
    `loop_gap`, `alpha_flicker`
        See `glassine.metrics.looping` and `glassine.metrics.temporal`.
    """

    def metric_names(self) -> Sequence[str]:
        """Names of the evaluators' scores and `CLIP_SCORES`."""
        return [*super().metric_names(), *CLIP_SCORES]

    @torch.no_grad()
    def scores(
        self, real: CaptionedSet, made: Tensor, sampler: VideoSampler, wanted: Sequence[CaptionedClip]
    ) -> ClipScoring:
        """Scores of straight RGBA clips `n f 4 h w` in [0, 1]."""
        found = super().scores(real, made, sampler, wanted)
        motion = 1000 * motion_amount(made[:, :, :3], made[:, :, 3:])
        stills = torch.stack([one.rgba[made.shape[1] // 2, None] for one in wanted])  # n 1 4 h w
        values = {
            "image_agreement": self.agreement(made, stills),
            "motion": motion,
            "motion_over_seeds": spread_over_seeds(motion, [one.key for one in wanted]),
            "loop_gap": loop_gap(torch.cat([made[:, :, :3] * made[:, :, 3:], made[:, :, 3:]], dim=2)),
            "alpha_flicker": alpha_flicker(made[:, :, 3:]),
        }
        found.items |= values
        found.scores |= {name: float(torch.nanmean(value)) for name, value in values.items()}
        return found

    def agreement(self, made: Tensor, stills: Tensor) -> Tensor:
        """Mean cosine similarity, `n`, of the frames of clips `n f 4 h w` and their stills `n 1 4 h w`."""
        embed, found = self.evaluators.image_text.embed_pictures, []
        for clips, pictures in zip(made.split(BATCH), stills.split(BATCH), strict=True):
            frames, still = (on_white(part).to(self.evaluators.device).flatten(0, 1) for part in (clips, pictures))
            of_frames = embed(frames).unflatten(0, clips.shape[:2])  # n f d
            found.append((of_frames * embed(still)[:, None]).sum(-1).mean(1).cpu())
        return torch.cat(found)


def spread_over_seeds(values: Tensor, keys: Sequence[str]) -> Tensor:
    """Standard deviation, `n`, of the values that share each item's key; NaN for a key with a single value."""
    found = torch.full_like(values, float("nan"))
    for key in set(keys):
        places = [number for number, other in enumerate(keys) if other == key]
        if len(places) > 1:
            found[places] = values[places].std()
    return found


def evaluations(network: ImageToVideo, make: partial[Tensor]) -> int:
    """Number of clips, summed over its forward passes, that the UNet processes in one call of `make`."""
    counted = 0

    def count(_: object, inputs: tuple[Tensor, ...]) -> None:
        nonlocal counted
        counted += len(inputs[0])

    hook = network.unet.register_forward_pre_hook(count)
    try:
        make()
    finally:
        hook.remove()
    return counted


def evaluate_chain(
    rows: Sequence[ChainRow],
    tested: CaptionedSet,
    seeds: int,
    guided: Animation,
    evaluators: Evaluators,
    folder: Path,
    progress: ShowProgress = no_progress,
    clips_to: Path | None = None,
) -> list[Record]:
    """Fill the record of each row and of the floors. Existing cells are kept, so a stopped call resumes.

    Args:
        rows: the networks, with distinct names.
        tested: held-out stickers.
        seeds: clips made from each still, at least 2.
        guided: sampler for networks whose steps are not distilled.
        evaluators: with the families `distances` and `clip`.
        folder: of the records.
        progress: context manager that gives a function called with the number of clips done.
        clips_to: see `VideoEvaluator`.

    Returns:
        The records of the rows, then of the floors.

    Raises:
        UserError: there are no rows, a name occurs twice, `seeds` is below 2, or weights are missing or of another
            network.
    """
    names = [row.name for row in rows]
    if not names or len(set(names)) < len(names):
        raise UserError(f"rows must be of different names, got {', '.join(names) or 'none'}")
    if seeds < 2:
        raise UserError(f"seeds must be at least 2 to compute the spread of motion over seeds, got {seeds}")
    evaluator = ChainEvaluator(
        VideoEvalSet({tested.name: tested}, seeds * len(tested.clips)), evaluators, progress, clips_to
    )
    data = "procedural" if tested.name == "procedural" else Path(tested.root).name
    measured = MEASURED.format(threads=torch.get_num_threads())
    records = []
    for row in rows:
        sampler, network, origin = chain_sampler(row.source, guided, evaluators.device)
        method = Method(row.name, row.title, dict(sampler.settings), weights=origin, digest=sampler.digest)
        record = evaluator.open(method.new_record(evaluator.eval_set, data, measured), folder)
        evaluator.measure(record, sampler, folder, row.title, [tested.name])
        if "seconds_per_clip" not in record.costs or "evaluations" not in record.costs:
            one = partial(sampler.make, tested.clips[:1], [0], guided)
            record.costs["evaluations"] = evaluations(network, one)
            record.costs["seconds_per_clip"] = plain(shortest_in_turns([one], 3)[0], 3)
            record.costs_on = processor(evaluators.device)
            record.save(folder)
        records.append(record)
    for name in FLOORS:
        sampler = REFERENCES[name](evaluators.device)
        method = reference_method(name, sampler)
        record = evaluator.open(method.new_record(evaluator.eval_set, data, REFERENCE_TITLES[name]), folder)
        records.append(evaluator.measure(record, sampler, folder, method.title, [tested.name]))
    return records

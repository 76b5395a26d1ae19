"""Specs of the trainings for all tables: VSD2M's and Layer-Animate's methods at the tiny scale, ablations of ILDiff.

Each is a `Spec` of YAMLs below `experiments`, many of which are overlays of a few lines. To add an arm to an ablation,
add one line here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glassine.bench.protocols import SETS
from glassine.bench.run import Budget, Run, Spec, TrainingSet
from glassine.utils.errors import UserError

EXPERIMENTS = Path("experiments")
# argument by which VideoGPT's prior gets its VQ-VAE
VQVAE = "--model.init_args.prior.init_args.vqvae.init_args.weights"


def spec(name: str, title: str, *stages: str, part: str = "generator", seeds: int = 1, **more: str | bool) -> Spec:
    """A `Spec` whose stages are names of YAMLs below `experiments`, without suffix."""
    return Spec(name, title, tuple(EXPERIMENTS / f"{stage}.yaml" for stage in stages), part, seeds=seeds, **more)  # type: ignore[arg-type]


def by_name(*specs: Spec) -> dict[str, Spec]:
    """Specs by their names."""
    return {one.name: one for one in specs}


# the rows of VSD2M's table 4
METHODS = by_name(
    spec(
        "video_gpt",
        "VideoGPT",
        "video_gpt/tiny_vqvae",
        "video_gpt/tiny_prior",
        part="prior",
        seeds=3,
        handover=VQVAE,
        from_nothing=True,
    ),
    spec("make_a_video", "Make-A-Video", "vsd2m/tiny_make_a_video", seeds=3),
    spec("video_ldm", "VideoLDM", "vsd2m/tiny_video_ldm", seeds=3),
    spec("video_factory", "VideoFactory", "vsd2m/tiny_video_factory", seeds=3),
    spec("i2vgen", "I2VGen-XL", "vsd2m/tiny_i2vgen", seeds=3),
    spec("sti", "STI", "vsd2m/tiny_sti", seeds=3),
)
# the two methods that attend over regions, with and without positions in the attention
POSITIONS = by_name(
    METHODS["sti"],
    spec("sti_no_positions", "STI without positions", "vsd2m/tiny_sti_no_positions", seeds=3),
    METHODS["video_factory"],
    spec("video_factory_positions", "VideoFactory with positions", "vsd2m/tiny_video_factory_positions", seeds=3),
)
# why a row cannot be compared with the other rows of its table
NOT_COMPARABLE = {"video_gpt": "trained from nothing, at 64 px"}
START = "_start"  # suffix of the names of networks before training
FLOORS = ("train", "true")  # rows of real clips, which distances are compared with
# the rows of Layer-Animate's table I, then its ablation
STILL_MOVING = ("layer_animate/tiny_still_moving_motion", "layer_animate/tiny_still_moving")
ANIMATION = by_name(
    spec("motion_module", "Motion Module", "layer_animate/tiny_motion_module", seeds=3),
    spec("still_moving", "Still-Moving", *STILL_MOVING, seeds=3),
    spec("layer_animate", "Layer-Animate", "layer_animate/tiny_layer_animate", seeds=3),
    spec(
        "without_attention",
        "Layer-Animate without Inter-Frame Attention",
        "layer_animate/tiny_without_attention",
        seeds=3,
    ),
    spec("first_frame", "Layer-Animate, the first frame for the middle one", "layer_animate/tiny_first_frame", seeds=3),
)

# step 0 without and with a base image; that of Still-Moving is the same as the former
STARTS = ("motion_module", "layer_animate")

REAL = ("stickers", "second")  # test sets of networks that were trained on real stickers
TRAINING_SETS = {
    "stickers": TrainingSet("real stickers", ("stickers",), ("--data.train.init_args.procedural", "0"), REAL),
    "procedural": TrainingSet(
        "procedural stickers",
        ("procedural",),
        ("--data.train.init_args.root", "null", "--data.train.init_args.procedural", "1600", "--data.val", "null"),
        ("procedural",),
    ),
    "both": TrainingSet(
        "both", ("stickers", "procedural"), ("--data.train.init_args.procedural", "1600"), (*REAL, "procedural")
    ),
    "stills": TrainingSet("real stills", ("stills",), (), REAL),
    "all": TrainingSet("all three", ("stickers", "stills", "procedural"), (), (*REAL, "procedural")),
}
# training sets that are only used in table 5, which is about STI alone
ONLY_STI = ("stills", "all")
# training set of Layer-Animate's methods: the same stickers with alpha
TRANSPARENT = "transparent"
ALL_TRAINING_SETS = TRAINING_SETS | {TRANSPARENT: TrainingSet("transparent stickers", ("transparent_loops",), (), REAL)}


def run_on(one: Spec, training_set: str, seed: int, budget: Budget) -> Run:
    """A run of a spec on a training set of `ALL_TRAINING_SETS`."""
    return Run(one, seed, budget, training_set, ALL_TRAINING_SETS[training_set])


def start_of(one: Spec, title: str = "") -> Spec:
    """The spec of the networks before training; run it with a budget of 0 steps."""
    return replace(one, name=one.name + START, title=title or f"step 0 of {one.title}", stages=one.stages[-1:], seeds=1)


def start_run(one: Spec, training_set: str, budget: Budget) -> Run:
    """The run of a spec from `start_of`, tested on all test sets with the kind of clips of its training set."""
    trained_on = ALL_TRAINING_SETS[training_set]
    tested_on = trained_on.tested_on if training_set == TRANSPARENT else tuple(SETS)
    return Run(one, 0, replace(budget, steps=0), "", replace(trained_on, title="nothing", tested_on=tested_on))


def generation_runs(
    methods: Sequence[str], training_sets: Sequence[str], seeds: int | None, budget: Budget
) -> list[Run]:
    """All runs of VSD2M's tables, sorted by seed, so that a first table is complete early.

    The first run is step 0, which all methods share: the image network on every frame, since temporal layers are
    initialized to zero.

    Args:
        methods: keys of `METHODS` or `POSITIONS`; those only in the latter are only trained on real stickers.
        training_sets: keys of `TRAINING_SETS`.
        seeds: number of seeds of each method; None for the number in its spec.
        budget: of each run.
    """
    known = METHODS | POSITIONS
    runs = [
        run_on(known[method], training_set, seed, budget)
        for training_set in training_sets
        for method in methods
        for seed in range(known[method].seeds if seeds is None else seeds)
        if training_set == "stickers" or (method in METHODS and (training_set not in ONLY_STI or method == "sti"))
    ]
    start = start_of(METHODS["sti"], "step 0: the image network on every frame")
    first = [start_run(start, training_sets[0], budget)] if set(methods) - NOT_COMPARABLE.keys() else []
    return first + sorted(runs, key=lambda run: run.seed)


def animation_runs(methods: Sequence[str], seeds: int | None, budget: Budget) -> list[Run]:
    """All runs of Layer-Animate's tables, sorted by seed, after those of step 0; see `generation_runs`."""
    starts = [start_run(start_of(ANIMATION[name]), TRANSPARENT, budget) for name in STARTS if name in methods]
    runs = [
        run_on(ANIMATION[method], TRANSPARENT, seed, budget)
        for method in methods
        for seed in range(ANIMATION[method].seeds if seeds is None else seeds)
    ]
    return starts + sorted(runs, key=lambda run: run.seed)


@dataclass(frozen=True)
class Ablation:
    """Arms that each differ from a base in one setting, with the same training budget.

    Attributes:
        name: of the verb, of `results/ablate_NAME` and of `ablate_NAME.md`.
        method: name of the method in records.
        title: of the table.
        arms: in the order of the table.
        starts: networks before training (step 0), one for each group of arms with the same initial network.
    """

    name: str
    method: str
    title: str
    arms: tuple[Spec, ...]
    starts: tuple[Spec, ...] = ()


ILDIFF = EXPERIMENTS / "ildiff"
BASE = ILDIFF / "tiny_paper.yaml"
DEPTHS = (0, 3, 5, 8)
DEPTH = "--model.init_args.ildiff.init_args.adapter.init_args.depth"
# YAML below experiments/ildiff -> title of its row
VARIANTS = {
    "tiny_paper": "as in the paper (depth 5, frozen encoder, RGB weight 1)",
    "variants/no_adapter": "without the adapter: no layout, no time",
    "variants/no_layout": "without distilled layout: the colors of patches",
    "variants/no_time": "without time (depth 0)",
    "variants/depth10": "depth 10",
    "variants/explicit_masks": "explicit masks for implicit features",
    "variants/random_encoder": "encoder not distilled, tuned",
    "variants/tuned_encoder": "distilled encoder, tuned",
    "variants/alpha_only": "RGB weight 0",
    "variants/rgb03": "RGB weight 0.3",
    "variants/hint": "ours: with the hint",
    "variants/hint_no_adapter": "with the hint, without the adapter",
}
# share a step 0 of their own; the others share another, since adapters are zero-initialized on the same decoder
WITH_HINT = ("variants/hint", "variants/hint_no_adapter")
STEP_0_HINT = "step 0 with the hint"
STEP_0 = "step 0: nothing trained"
# variants that differ only in depth share the runs of the depth ablation
SHARED_DEPTHS = {"tiny_paper": 5, "variants/no_time": 0, "variants/depth10": 10}


def depth_arm(depth: int, title: str = "", base: Path = BASE) -> Spec:
    """The base with `depth` 3D convolutions.

    Raises:
        UserError: `depth` is negative.
    """
    if depth < 0:
        raise UserError(f"depth must be 0 or more, got {depth}")
    return Spec(f"depth{depth}", title or f"depth {depth}", (base,), "ildiff", (DEPTH, str(depth)))


def variant_arm(name: str, folder: Path = ILDIFF) -> Spec:
    """The spec of a key of `VARIANTS`, or of another YAML in the folder."""
    title = VARIANTS.get(name, name)
    if name in SHARED_DEPTHS:
        return depth_arm(SHARED_DEPTHS[name], title, folder / BASE.name)
    return Spec(name.replace("/", "-"), title, (folder / f"{name}.yaml",), "ildiff")


def depth_ablation(depths: Sequence[int] = DEPTHS, base: Path = BASE) -> Ablation:
    """The ablation of the ILDiff paper's table III."""
    arms = tuple(depth_arm(depth, base=base) for depth in depths)
    return Ablation("depth", "depth", "ILDiff by temporal depth", arms, (start_of(arms[0], STEP_0),))


def variants_ablation(names: Sequence[str] | None = None, folder: Path = ILDIFF) -> Ablation:
    """The ablation of ILDiff's layout, time, masks and loss weights; `names` are keys of `VARIANTS`, None for all."""
    chosen = tuple(names or VARIANTS)
    arms = tuple(variant_arm(name, folder) for name in chosen)
    starts = [start_of(depth_arm(0, base=folder / BASE.name), STEP_0)] if set(chosen) - set(WITH_HINT) else []
    if set(chosen) & set(WITH_HINT):
        starts.append(start_of(variant_arm(WITH_HINT[-1], folder), STEP_0_HINT))
    return Ablation("variants", "variant", "Variants of ILDiff", arms, tuple(starts))

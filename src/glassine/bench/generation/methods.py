"""VSD2M's six methods and Layer-Animate's five at the tiny scale: their experiments, and what they are trained on."""

from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = Path("experiments")
# arguments by which a later stage is told where the one before it left its network
INIT_FROM = "--model.init_args.init_from"
VQVAE = "--model.init_args.prior.init_args.vqvae.init_args.weights"


@dataclass(frozen=True)
class VideoMethod:
    """One row of VSD2M's table 4, or of Layer-Animate's table I.

    Attributes:
        title: the row, as the paper has it.
        stages: YAMLs, trained one after the other.
        part: argument of the last stage's task that holds what makes clips.
        seeds: how many of them are trained.
        told: argument by which a later stage is told of the one before it.
    """

    title: str
    stages: tuple[str, ...]
    part: str = "generator"
    seeds: int = 1
    told: str = INIT_FROM


METHODS = {
    "video_gpt": VideoMethod("VideoGPT", ("video_gpt/tiny_vqvae", "video_gpt/tiny_prior"), "prior", told=VQVAE),
    "make_a_video": VideoMethod("Make-A-Video", ("vsd2m/tiny_make_a_video",)),
    "video_ldm": VideoMethod("VideoLDM", ("vsd2m/tiny_video_ldm",), seeds=3),
    "video_factory": VideoMethod("VideoFactory", ("vsd2m/tiny_video_factory",)),
    "i2vgen": VideoMethod("I2VGen-XL", ("vsd2m/tiny_i2vgen",)),
    "sti": VideoMethod("STI", ("vsd2m/tiny_sti",), seeds=3),
}
STILL_MOVING = ("layer_animate/tiny_still_moving_motion", "layer_animate/tiny_still_moving")
ANIMATION = {
    "motion_module": VideoMethod("Motion Module", ("layer_animate/tiny_motion_module",), seeds=3),
    "still_moving": VideoMethod("Still-Moving", STILL_MOVING, seeds=3),
    "layer_animate": VideoMethod("Layer-Animate", ("layer_animate/tiny_layer_animate",), seeds=3),
    "without_attention": VideoMethod(
        "Layer-Animate without Inter-Frame Attention", ("layer_animate/tiny_without_attention",)
    ),
    "first_frame": VideoMethod(
        "Layer-Animate, the first frame for the middle one", ("layer_animate/tiny_first_frame",)
    ),
}
ALL_METHODS = METHODS | ANIMATION


@dataclass(frozen=True)
class TrainingSet:
    """What methods are trained on.

    Attributes:
        title: in tables.
        caches: names of the latent caches below `data/latents`.
        clips: arguments of `glassine fit` for a task that takes clips instead of latents.
        tested_on: test sets.
    """

    title: str
    caches: tuple[str, ...]
    clips: tuple[str, ...]
    tested_on: tuple[str, ...]


TRAINING_SETS = {
    "stickers": TrainingSet("real stickers", ("stickers",), ("--data.train.init_args.procedural", "0"), ("stickers",)),
    "procedural": TrainingSet(
        "procedural stickers",
        ("procedural",),
        ("--data.train.init_args.root", "null", "--data.train.init_args.procedural", "1600", "--data.val", "null"),
        ("procedural",),
    ),
    "both": TrainingSet(
        "both", ("stickers", "procedural"), ("--data.train.init_args.procedural", "1600"), ("stickers", "procedural")
    ),
    "stills": TrainingSet("real stills", ("stills",), (), ("stickers",)),
    "all": TrainingSet("all three", ("stickers", "stills", "procedural"), (), ("stickers", "procedural")),
}
# the question of table 5, which is asked of STI alone
ONLY_STI = ("stills", "all")
# what Layer-Animate's methods are trained on: the same stickers, with their alpha
TRANSPARENT = "transparent"
ALL_TRAINING_SETS = TRAINING_SETS | {
    TRANSPARENT: TrainingSet("transparent stickers", ("transparent_loops",), (), ("stickers",))
}

"""VSD2M's six methods at the tiny scale: their experiments, and what they are trained on."""

from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = Path("experiments")


@dataclass(frozen=True)
class VideoMethod:
    """One row of VSD2M's table 4.

    Attributes:
        title: the row, as the paper has it.
        stages: YAMLs, trained one after the other.
        part: argument of the last stage's task that holds what makes clips.
        seeds: how many of them are trained.
    """

    title: str
    stages: tuple[str, ...]
    part: str = "generator"
    seeds: int = 1


METHODS = {
    "video_gpt": VideoMethod("VideoGPT", ("video_gpt/tiny_vqvae", "video_gpt/tiny_prior"), "prior"),
    "make_a_video": VideoMethod("Make-A-Video", ("vsd2m/tiny_make_a_video",)),
    "video_ldm": VideoMethod("VideoLDM", ("vsd2m/tiny_video_ldm",), seeds=3),
    "video_factory": VideoMethod("VideoFactory", ("vsd2m/tiny_video_factory",)),
    "i2vgen": VideoMethod("I2VGen-XL", ("vsd2m/tiny_i2vgen",)),
    "sti": VideoMethod("STI", ("vsd2m/tiny_sti",), seeds=3),
}


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
    "stickers": TrainingSet("real stickers", ("stickers",), ("--data.procedural", "0"), ("stickers",)),
    "procedural": TrainingSet(
        "procedural stickers",
        ("procedural",),
        ("--data.root", "null", "--data.procedural", "1600"),
        ("procedural",),
    ),
    "both": TrainingSet("both", ("stickers", "procedural"), ("--data.procedural", "1600"), ("stickers", "procedural")),
    "stills": TrainingSet("real stills", ("stills",), (), ("stickers",)),
}

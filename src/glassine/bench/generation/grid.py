"""A picture of what a shipped network makes, seeds not chosen by hand: `python -m glassine.bench.generation.grid`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from glassine.bench.console import progress_bar
from glassine.bench.gallery import Cell, draw_gallery, write_gallery
from glassine.data.sticker import Sticker
from glassine.models.sampling import Progress
from glassine.pipelines.animate import TINY as ANIMATES
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pipelines.text_to_sticker import TINY, TextToStickerPipeline
from glassine.utils.errors import exit_code

SEEDS = tuple(range(8))
# captions of training stickers, new combinations of their words, and Chinese
PROMPTS = ("grinning face", "red heart", "rocket", "a waving panda", "blue car", "笑脸")
SHOWN = {"笑脸": "smiling face, in Chinese"}  # the picture's font has no Chinese letters
# prompt, seeds and `progress` to a sticker for each seed
Make = Callable[[str, Sequence[int], Progress], Sequence[Sticker]]
# how stickers are made, and what the picture of them is called
WAYS = {"opaque": "generated", "ildiff": "generated_ildiff", "latents": "generated_latents"}


def make_grid(
    make: Make, to: Path, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = SEEDS
) -> tuple[Path, Path]:
    """Write a picture and an animation: a row a prompt, a column a seed.

    Args:
        make: makes the stickers of a row.
        to: of both, without their suffixes.
        prompts: what they show.
        seeds: of each row.
    """
    stickers: list[Sticker] = []
    with progress_bar() as tell:
        for row, prompt in enumerate(prompts):
            told = partial(in_row, tell=partial(tell, "making"), row=row, rows=len(prompts))
            stickers += make(prompt, seeds, told)
    asked = [prompt for prompt in prompts for _ in seeds]
    cells = [Cell(sticker.frames, SHOWN.get(prompt, prompt)) for sticker, prompt in zip(stickers, asked, strict=True)]
    rows = [cells[start : start + len(seeds)] for start in range(0, len(cells), len(seeds))]
    frames = draw_gallery(rows, [f"seed {seed}" for seed in seeds])
    return write_gallery(frames, stickers[0].durations, to)


def in_row(done: int, of: int, tell: Callable[[int, int], None], row: int, rows: int) -> None:
    """Tell of the whole what is `done` `of` a row."""
    tell(row * of + done, rows * of)


def maker(way: str, weights: str | None, device: str) -> Make:
    """What makes stickers in one of `WAYS`, of the size and length that ship."""
    if way == "latents":
        animate = AnimatePipeline.from_pretrained(weights or ANIMATES, device=device)
        return lambda prompt, seeds, progress: animate(prompt, seed=seeds, progress=progress)
    cut_out = CutoutPipeline.from_pretrained(device=device) if way == "ildiff" else None
    generate = TextToStickerPipeline.from_pretrained(weights or TINY, cut_out, device=device)
    return lambda prompt, seeds, progress: generate(prompt, seed=seeds, progress=progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.generation.grid", description=__doc__)
    parser.add_argument("--way", choices=WAYS, default="opaque", help="opaque, cut out, or with alpha in the latents")
    parser.add_argument("--weights", help="instead of those that ship")
    parser.add_argument("--to", type=Path, default=Path("benchmarks"), help="folder of the pictures")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    args = parser.parse_args(arguments)

    def work() -> None:
        paths = make_grid(maker(args.way, args.weights, args.device), args.to / WAYS[args.way])
        print("wrote", " and ".join(str(path) for path in paths))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())

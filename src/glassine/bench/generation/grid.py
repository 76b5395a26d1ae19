"""A picture of what the shipped network makes, seeds not chosen by hand: `python -m glassine.bench.generation.grid`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glassine.bench.console import progress_bar
from glassine.bench.gallery import Cell, draw_gallery, write_gallery
from glassine.errors import exit_code
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pipelines.text_to_sticker import TINY, TextToStickerPipeline

SEEDS = tuple(range(8))
# captions of training stickers, new combinations of their words, and Chinese
PROMPTS = ("grinning face", "red heart", "rocket", "a waving panda", "blue car", "笑脸")
SHOWN = {"笑脸": "smiling face, in Chinese"}  # the picture's font has no Chinese letters


def make_grid(
    pipeline: TextToStickerPipeline, to: Path, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = SEEDS
) -> tuple[Path, Path]:
    """Write `generated.png` and `generated.webp`: a row a prompt, a column a seed.

    Args:
        pipeline: makes the stickers.
        to: folder of the pictures.
        prompts: what they show.
        seeds: of each row.
    """
    with progress_bar() as tell:
        asked = [prompt for prompt in prompts for _ in seeds]
        stickers = pipeline(asked, [*seeds] * len(prompts), progress=lambda done, of: tell("making", done, of))
    cells = [Cell(sticker.frames, SHOWN.get(prompt, prompt)) for sticker, prompt in zip(stickers, asked, strict=True)]
    rows = [cells[start : start + len(seeds)] for start in range(0, len(cells), len(seeds))]
    frames = draw_gallery(rows, [f"seed {seed}" for seed in seeds])
    return write_gallery(frames, stickers[0].durations, to / "generated")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser("python -m glassine.bench.generation.grid", description=__doc__)
    parser.add_argument("--weights", default=TINY, help="default: %(default)s")
    parser.add_argument("--to", type=Path, default=Path("benchmarks"), help="folder of the pictures")
    parser.add_argument("--transparent", action="store_true", help="cut the stickers out")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    args = parser.parse_args(arguments)

    def work() -> None:
        cut_out = CutoutPipeline.from_pretrained(device=args.device) if args.transparent else None
        pipeline = TextToStickerPipeline.from_pretrained(args.weights, cut_out, device=args.device)
        print("wrote", " and ".join(str(path) for path in make_grid(pipeline, args.to)))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())

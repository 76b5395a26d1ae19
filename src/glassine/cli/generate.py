"""`glassine generate`: stickers from text."""

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glassine.atomic import atomic_path
from glassine.data.codecs import check_suffix, write_sticker
from glassine.errors import UserError

DESCRIPTION = """\
Make animated stickers from text. OUT's suffix tells the format: .webp .gif .png .apng .webm .mov .zip, or a folder of
PNGs without a suffix. With --n there are several, OUT-0, OUT-1, ..., of the seeds SEED, SEED + 1, ... The same prompt,
seed and settings give the same sticker on every run. The shipped network is small: it knows the subjects of its
training captions (emoji: faces, animals, food, things), in English and Chinese, and combines them as well as it can."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="make animated stickers from text",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", help="what the sticker shows: 'a waving panda'")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")
    parser.add_argument("--n", type=int, default=1, help="how many stickers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first sticker (default: %(default)s)")
    parser.add_argument("--transparent", action="store_true", help="cut the stickers out of their background")
    parser.add_argument("--sheet", type=Path, metavar="SHEET.png", help="also draw all stickers in one picture")
    parser.add_argument("--negative", default="", metavar="PROMPT", help="what the sticker shall not show")
    parser.add_argument("--steps", type=int, default=25, help="of the solver (default: %(default)s)")
    parser.add_argument(
        "--solver", choices=("ddim", "dpm++"), default="ddim", help="dpm++ needs 8 to 15 steps (default: %(default)s)"
    )
    parser.add_argument(
        "--guidance", type=float, default=None, metavar="SCALE", help="how closely to follow the prompt (default: 7.5)"
    )
    parser.add_argument("--frames", type=int, default=8, help="of each sticker (default: %(default)s)")
    parser.add_argument("--fps", type=float, default=8.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs="+", default=[128], metavar="PIXELS", help="height and width")
    parser.add_argument("--domain", default="cartoon", help="cartoon or real, as in VSD2M; '' for none")
    parser.add_argument(
        "--weights",
        default="glassine:tiny-sti",
        metavar="NAME|FOLDER",
        help="weights that ship with glassine, or a folder from `glassine export weights` (default: %(default)s)",
    )
    parser.add_argument(
        "--cutout-weights", default="glassine:tiny-ildiff", metavar="NAME|FOLDER", help="those of --transparent"
    )
    parser.add_argument("--batch", type=int, default=1, help="stickers made at a time; more is faster on a GPU")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument("--quality", type=int, help="0 to 100 for WebP and WebM (default: lossless WebP, WebM at 75)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def run(args: argparse.Namespace) -> None:
    """Make the stickers and write them.

    Raises:
        UserError: a prompt, setting or path that cannot be used.
    """
    targets = plan(args.out, args.n, args.sheet)
    if not args.prompt.strip():
        raise UserError("an empty prompt came; say what the sticker shows, for instance 'a waving panda'")
    if len(args.size) > 2:
        raise UserError(f"size {' '.join(map(str, args.size))} came; give one number, or height and width")
    # imported late: torch takes seconds, which neither --help nor a mistyped path should cost
    from glassine.models.text_to_video import Sampling
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.film_strips import film_strips
    from glassine.pipelines.text_to_sticker import TextToStickerPipeline

    started = time.perf_counter()
    console = Console(stderr=True, quiet=args.quiet, highlight=False)
    cut_out = CutoutPipeline.from_pretrained(args.cutout_weights, device=args.device) if args.transparent else None
    default = Sampling()
    guidance = default.guidance_scale if args.guidance is None else args.guidance
    pipeline = TextToStickerPipeline.from_pretrained(
        args.weights,
        cut_out,
        (args.size[0], args.size[-1]),
        args.frames,
        args.fps,
        args.domain,
        Sampling(args.steps, guidance, args.solver),
        args.batch,
        args.device,
    )
    seeds = [args.seed + number for number in range(args.n)]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(args.prompt, total=args.n * args.steps)
        stickers = pipeline(
            [args.prompt] * args.n,
            seeds,
            args.negative,
            lambda done, of: progress.update(bar, completed=done, total=of),
        )
    for target, sticker in zip(targets, stickers, strict=True):
        write_sticker(sticker, target, quality=args.quality)
        shown = f"{target}: {sticker.num_frames} frames of {sticker.width}x{sticker.height}"
        console.print(shown, soft_wrap=True)
    if args.sheet is not None:
        with atomic_path(args.sheet) as path:
            film_strips(stickers, [f"{args.prompt}, seed {seed}" for seed in seeds]).save(path, "PNG")
        console.print(f"{args.sheet}: {len(stickers)} stickers", soft_wrap=True)
    console.print(f"{time.perf_counter() - started:.1f} s", soft_wrap=True)


def plan(out: Path, count: int, sheet: Path | None) -> list[Path]:
    """The files to write.

    Raises:
        UserError: a number of stickers or a path that cannot be used.
    """
    if not 1 <= count <= 1000:
        raise UserError(f"{count} stickers asked for; give --n 1 to 1000")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UserError(f"sheet {sheet} came; it is a .png file")
    check_suffix(out)
    for path in (out, *([sheet] if sheet is not None else [])):
        if not path.resolve().parent.is_dir():
            raise UserError(f"there is no folder {path.resolve().parent} to write to; make it first")
    targets = [out] if count == 1 else [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(count)]
    if sheet is not None and sheet.resolve() in {path.resolve() for path in targets}:
        raise UserError(f"{sheet} came as a sticker and as the sheet; name two files")
    return targets

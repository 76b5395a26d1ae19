"""What `glassine generate` and `glassine animate` share: settings, files to write, and the progress bar."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from glassine.data.codecs import check_suffix, write_sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

if TYPE_CHECKING:
    import numpy as np

    from glassine.data.sticker import Sticker
    from glassine.models.animation import Animation
    from glassine.models.sampling import SamplerConfig


CUTS_OUT = "glassine:tiny-ildiff"
Make = Callable[[Callable[[int, int], None]], "list[Sticker]"]
"""Makes the stickers; called with what tells the progress."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that both verbs have."""
    parser.add_argument("--n", type=int, default=1, help="how many stickers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first sticker (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="SHEET.png", help="also draw all stickers in one picture")
    parser.add_argument(
        "--negative", default="", metavar="PROMPT", help="what the sticker shall not show; counts with guidance"
    )
    parser.add_argument("--steps", type=int, default=25, help="of the solver (default: %(default)s)")
    parser.add_argument(
        "--solver", choices=("ddim", "dpm++"), default="ddim", help="dpm++ needs 8 to 15 steps (default: %(default)s)"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=None,
        metavar="SCALE",
        help="how closely to follow the prompt (default: what suits the network; as shipped 3 for a sticker or picture "
        "from text, 1, without guidance, for the motion of a picture)",
    )
    parser.add_argument(
        "--guidance-rescale",
        type=float,
        default=None,
        metavar="SHARE",
        help="how much contrast that guidance adds is taken back, 0 to 1 (default: 0.7)",
    )
    parser.add_argument(
        "--frames", type=int, help="of each sticker (default: as many as the network learned with, 8 or 16 as shipped)"
    )
    parser.add_argument("--fps", type=float, default=8.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--domain", default="cartoon", help="cartoon or real, as in VSD2M; '' for none")
    parser.add_argument("--batch", type=int, default=1, help="stickers made at a time; more is faster on a GPU")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument("--quality", type=int, help="0 to 100 for WebP and WebM (default: lossless WebP, WebM at 75)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def add_animation_arguments(parser: "argparse._ActionsContainer") -> None:
    """Add the arguments of networks that carry alpha in the latents."""
    parser.add_argument(
        "--image-guidance",
        type=float,
        default=1.0,
        metavar="SCALE",
        help="how closely to keep to the base image; 1 is without such guidance, and faster (default: %(default)s)",
    )
    parser.add_argument(
        "--motion-adapter",
        type=float,
        default=0.0,
        metavar="SCALE",
        help="of a network with Still-Moving's motion adapters: below 0 moves more, 1 stands still (default: 0)",
    )
    parser.add_argument(
        "--motion", type=int, metavar="0..9", help="how much moves, from little to much (default: as the network likes)"
    )
    parser.add_argument(
        "--motion-guidance",
        type=float,
        default=None,
        metavar="SCALE",
        help="how much --motion counts; 1 is without such guidance (default: 4)",
    )


def check(args: argparse.Namespace) -> list[Path]:
    """The files to write, if all else can be used, too.

    Raises:
        UserError: see `plan`; or an empty prompt, or a size of three numbers.
    """
    targets = plan(args.out, args.n, args.sheet)
    if not args.prompt.strip():
        raise UserError("an empty prompt came; say what the sticker shows, for instance 'a waving panda'")
    if args.motion_guidance is not None and args.motion is None:
        raise UserError("--motion-guidance came without --motion, of which it says how much it counts; give both")
    if len(args.size) > 2:
        raise UserError(f"size {' '.join(map(str, args.size))} came; give one number, or height and width")
    return targets


def sampling(args: argparse.Namespace) -> "SamplerConfig":
    """How `args` say that is sampled.

    Raises:
        UserError: numbers that are not allowed.
    """
    # imported late: torch takes seconds, which neither --help nor a mistyped path should cost
    from glassine.models.sampling import SamplerConfig
    from glassine.nn.diffusion import RESCALE

    rescale = RESCALE if args.guidance_rescale is None else args.guidance_rescale
    return SamplerConfig(args.steps, args.guidance, args.solver, rescale)


def animation(args: argparse.Namespace) -> "Animation":
    """The same around a base image."""
    from glassine.models.animation import MOTION_GUIDANCE, Animation

    return Animation(
        **vars(sampling(args)),
        image_guidance_scale=args.image_guidance,
        motion_guidance_scale=MOTION_GUIDANCE if args.motion_guidance is None else args.motion_guidance,
        motion_adapter_scale=args.motion_adapter,
    )


def animator(args: argparse.Namespace, source: str, still: "np.ndarray | None" = None) -> Make:
    """What makes stickers by the network in `source`: of a still `h w 4` uint8, or of one that it makes itself.

    Raises:
        UserError: no such weights, or settings that they cannot take.
    """
    # imported late: torch takes seconds, which neither --help nor a mistyped path should cost
    from glassine.pipelines.animate import AnimatePipeline

    size = (args.size[0], args.size[-1])
    how = (size, args.frames, args.fps, args.domain, animation(args), args.batch, args.device)
    pipeline = AnimatePipeline.from_pretrained(source, *how)
    seeds = range(args.seed, args.seed + args.n)
    return lambda progress: pipeline(args.prompt, seeds, still, args.negative, args.motion, progress)


def make_and_write(args: argparse.Namespace, targets: Sequence[Path], make: Make, console: Console) -> None:
    """Make the stickers under a progress bar, write them, and the sheet if there shall be one."""
    started = time.perf_counter()
    with progress_bar(console, args.prompt, transient=True, only_terminal=True) as update:
        stickers = make(update)
    for target, sticker in zip(targets, stickers, strict=True):
        write_sticker(sticker, target, quality=args.quality)
        shown = f"{target}: {sticker.num_frames} frames of {sticker.width}x{sticker.height}"
        console.print(shown, soft_wrap=True)
    if args.sheet is not None:
        from glassine.pipelines.preview import film_strips

        with atomic_path(args.sheet) as path:
            seeds = range(args.seed, args.seed + len(stickers))
            film_strips(stickers, [f"{args.prompt}, seed {seed}" for seed in seeds]).save(path, "PNG")
        console.print(f"{args.sheet}: {len(stickers)} sticker{'s' * (len(stickers) > 1)}", soft_wrap=True)
    console.print(f"made in {time.perf_counter() - started:.1f} s", soft_wrap=True)


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

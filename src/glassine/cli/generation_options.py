"""Options, output files and progress bar shared by `glassine generate` and `glassine animate`."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from glassine.data.codecs import check_suffix, write_sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

if TYPE_CHECKING:
    import numpy as np

    from glassine.data.sticker import Sticker

CUTS_OUT = "glassine:tiny-ildiff"
Make = Callable[[Callable[[int, int], None]], "list[Sticker]"]
"""Makes the stickers; called with a progress callback."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of both verbs."""
    parser.add_argument("--n", type=int, default=1, help="how many stickers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sticker (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="SHEET.png", help="also write a contact sheet of all stickers")
    parser.add_argument(
        "--negative", default="", metavar="PROMPT", help="what the sticker should not show; needs guidance"
    )
    parser.add_argument(
        "--steps",
        "--num-inference-steps",
        type=int,
        help="solver steps (default: 25; 12 for motion fields; or those that a distilled network is made for)",
    )
    parser.add_argument(
        "--solver",
        choices=("ddim", "dpm++"),
        help="dpm++ needs 8 to 15 steps (default: ddim; dpm++ for motion fields; or a distilled network's)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=None,
        metavar="SCALE",
        help="how closely to follow the prompt (default: set by the network; for the shipped ones 3 for stickers "
        "and images from text, and 1, no guidance, for animating an image)",
    )
    parser.add_argument(
        "--guidance-rescale",
        type=float,
        default=None,
        metavar="SHARE",
        help="guidance rescale: how much of the contrast added by guidance to remove, 0 to 1 (default: 0.7)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        help="frames per sticker (default: as in training, 8 or 16 for the shipped networks; motion fields take any "
        "number from 2 on)",
    )
    parser.add_argument("--fps", type=float, default=8.0, help="frames per second (default: %(default)s)")
    parser.add_argument("--domain", default="cartoon", help="cartoon or real, as in VSD2M; '' for none")
    parser.add_argument(
        "--style",
        default="auto",
        help="style that the network knows, such as 3D, flat or Noto; auto takes them in turn, '' names none",
    )
    parser.add_argument("--batch", type=int, default=1, help="stickers per batch; more is faster on a GPU")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument("--quality", type=int, help="0 to 100 for WebP and WebM (default: lossless WebP, WebM at 75)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def add_animation_arguments(parser: "argparse._ActionsContainer") -> None:
    """Add the arguments for networks with alpha in the latents."""
    parser.add_argument(
        "--image-guidance",
        type=float,
        default=1.0,
        metavar="SCALE",
        help="guidance scale for the base image; 1 is off, and faster (default: %(default)s)",
    )
    parser.add_argument(
        "--motion-adapter",
        type=float,
        default=0.0,
        metavar="SCALE",
        help="scale of Still-Moving's motion adapters, if any: below 0 more motion, 1 no motion (default: 0)",
    )
    parser.add_argument(
        "--motion",
        type=int,
        metavar="0..9",
        help="amount of motion (default: chosen by the network)",
    )
    parser.add_argument(
        "--motion-guidance",
        type=float,
        default=None,
        metavar="SCALE",
        help="guidance scale for --motion; 1 is off (default: 4)",
    )


def check(args: argparse.Namespace) -> list[Path]:
    """Check all arguments and return the files to write.

    Raises:
        UserError: see `plan`; or an empty prompt, or a size of three numbers.
    """
    targets = plan(args.out, args.n, args.sheet)
    if not args.prompt.strip():
        raise UserError("prompt must not be empty: describe the sticker, for instance 'a waving panda'")
    if args.motion_guidance is not None and args.motion is None:
        raise UserError("--motion-guidance needs --motion: give both or neither")
    if args.size is not None and len(args.size) > 2:
        raise UserError(f"--size must be one number, or height and width, got {' '.join(map(str, args.size))}")
    return targets


def call_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of the pipeline call that both verbs share."""
    # imported late: torch takes seconds, which --help and mistyped paths should not cost
    from glassine.nn.diffusion import RESCALE

    return {
        "num_frames": args.frames,
        **({} if args.size is None else {"height": args.size[0], "width": args.size[-1]}),
        **({} if args.steps is None else {"num_inference_steps": args.steps}),
        **({} if args.solver is None else {"solver": args.solver}),
        "guidance_scale": args.guidance,
        "seed": list(range(args.seed, args.seed + args.n)),
        "negative_prompt": args.negative,
        "guidance_rescale": RESCALE if args.guidance_rescale is None else args.guidance_rescale,
        "fps": args.fps,
        "domain": args.domain,
        "style": args.style,
        "batch_size": args.batch,
    }


def animator(
    args: argparse.Namespace, source: str, image: "np.ndarray | None" = None, further: dict[str, Any] | None = None
) -> Make:
    """Makes stickers with the network at `source`, from an image `h w 4` uint8 or from one it generates itself.

    Args:
        args: of the command line.
        source: name or folder of the weights.
        image: to be animated.
        further: more arguments of the pipeline.

    Raises:
        UserError: the weights do not exist.
    """
    from glassine.models.animation import MOTION_GUIDANCE
    from glassine.pipelines.animate import AnimatePipeline

    pipeline = AnimatePipeline.from_pretrained(source, args.device)
    settings = call_settings(args) | {
        "motion": args.motion,
        "image_guidance_scale": args.image_guidance,
        "motion_guidance_scale": MOTION_GUIDANCE if args.motion_guidance is None else args.motion_guidance,
        "motion_adapter_scale": args.motion_adapter,
        **(further or {}),
    }
    return lambda progress: pipeline(args.prompt, image, **settings, progress=progress)


def make_and_write(args: argparse.Namespace, targets: Sequence[Path], make: Make, console: Console) -> None:
    """Make the stickers with a progress bar, and write them and the optional sheet."""
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
        UserError: an invalid number of stickers or path.
    """
    if not 1 <= count <= 1000:
        raise UserError(f"--n must be in [1, 1000], got {count}")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet must be a .png file, got {sheet}")
    check_suffix(out)
    for path in (out, *([sheet] if sheet is not None else [])):
        if not path.resolve().parent.is_dir():
            raise UserError(f"folder {path.resolve().parent} does not exist; create it first")
    targets = [out] if count == 1 else [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(count)]
    if sheet is not None and sheet.resolve() in {path.resolve() for path in targets}:
        raise UserError(f"--sheet must not be one of the sticker files, got {sheet}")
    return targets

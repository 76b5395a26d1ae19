"""`glassine generate`: stickers from text."""

import argparse
from pathlib import Path

from rich.console import Console

from glassine.cli import generation_options
from glassine.utils.errors import UserError

OPAQUE, CARRIES_ALPHA, STILL = "glassine:sti", "glassine:layer-animate", "glassine:image"
MOVES = "glassine:motion-fields"
DESCRIPTION = """\
Generate animated stickers from text. OUT's suffix sets the format: .webp .gif .png .apng .webm .mov .zip, or a folder
of PNGs without a suffix. With --n, several stickers are written as OUT-0, OUT-1, ..., with seeds SEED, SEED + 1, ...
The same prompt, seed and settings always give the same sticker. The shipped networks are small: they know the subjects
of their training captions (emoji: faces, animals, food, things), in English and Chinese, and blend them for others."""
EPILOG = f"""\
There are two ways to get transparent stickers. --transparent generates a transparent image, with alpha in the latents
(Layer-Animate's first stage, {CARRIES_ALPHA}), and moves it as `glassine animate` does: by
{MOVES}, or with --method layer-animate by its second stage, which is what --weights of your own do.
--transparent --transparency ildiff generates opaque stickers and cuts them out (ILDiff, as in `glassine cutout`); so do
--still, --cutout-weights and --weights without --transparency.
--still makes single pictures with {STILL}, in three styles; `glassine animate` moves them."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="generate animated stickers from text",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompt", help="what the sticker shows: 'a waving panda'")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")
    generation_options.add_arguments(parser)
    parser.add_argument("--size", type=int, nargs="+", default=[128], metavar="PIXELS", help="height and width")
    parser.add_argument("--transparent", action="store_true", help="generate transparent stickers")
    parser.add_argument("--still", action="store_true", help="generate still stickers, of one frame")
    parser.add_argument(
        "--transparency",
        choices=("ildiff", "latents"),
        help="method, see below (default: latents, or ildiff with --still, --weights or --cutout-weights)",
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|FOLDER",
        help="weights that ship with glassine, or a folder from `glassine export weights` "
        f"(default: {OPAQUE}, or see below)",
    )
    parser.add_argument(
        "--cutout-weights",
        metavar="NAME|FOLDER",
        help=f"weights for --transparency ildiff (default: {generation_options.CUTS_OUT})",
    )
    latents = parser.add_argument_group("options for --transparency latents")
    latents.add_argument(
        "--method",
        choices=("motion-fields", "layer-animate"),
        help="what moves the image (default: motion-fields, or layer-animate with --weights)",
    )
    generation_options.add_animation_arguments(latents)


def run(args: argparse.Namespace) -> None:
    """Generate the stickers and write them.

    Raises:
        UserError: a prompt, setting or path is invalid.
    """
    targets = generation_options.check(args)
    if args.transparency is not None and not args.transparent:
        raise UserError(f"--transparency {args.transparency} needs --transparent: give both or neither")
    others = args.still or args.weights is not None or args.cutout_weights is not None
    latents = args.transparent and args.transparency != "ildiff" and (args.transparency == "latents" or not others)
    motion = args.motion is not None or args.motion_guidance is not None or args.motion_adapter
    if not latents and (motion or args.image_guidance != 1):
        raise UserError(
            "--motion, --motion-guidance, --motion-adapter and --image-guidance need --transparent "
            "--transparency latents"
        )
    if not latents and args.method is not None:
        raise UserError("--method needs --transparent --transparency latents")
    moved = latents and (args.method or ("layer-animate" if args.weights else "motion-fields")) == "motion-fields"
    if moved and (args.motion_guidance is not None or args.motion_adapter or args.image_guidance != 1):
        raise UserError("--motion-guidance, --motion-adapter and --image-guidance need --method layer-animate")
    if args.cutout_weights is not None and (latents or not args.transparent):
        raise UserError("--cutout-weights needs --transparent --transparency ildiff")
    if args.still and latents:
        raise UserError("--still stickers are cut out: leave --transparency latents out")
    if args.still and args.frames not in (None, 1):
        raise UserError(f"--frames must be 1 or left out with --still, got {args.frames}")
    console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
    if moved:
        make = moved_images(args)
    elif latents:
        make = generation_options.animator(args, args.weights or CARRIES_ALPHA)
    else:
        make = opaque(args)
    generation_options.make_and_write(args, targets, make, console)


def opaque(args: argparse.Namespace) -> generation_options.Make:
    """Opaque stickers, cut out if requested."""
    # imported late: torch takes seconds, which --help and mistyped paths should not cost
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.text_to_sticker import TextToStickerPipeline

    cut_out = None
    if args.transparent:
        cut_out = CutoutPipeline.from_pretrained(args.cutout_weights or generation_options.CUTS_OUT, device=args.device)
    source = args.weights or (STILL if args.still else OPAQUE)
    pipeline = TextToStickerPipeline.from_pretrained(source, cut_out, args.device)
    settings = generation_options.call_settings(args) | ({"num_frames": 1} if args.still else {})
    return lambda progress: pipeline(args.prompt, **settings, progress=progress)


def moved_images(args: argparse.Namespace) -> generation_options.Make:
    """Transparent images that are moved."""
    from glassine.pipelines.animate import AnimatePipeline
    from glassine.pipelines.motion import MotionPipeline, MovedStickerPipeline

    images = AnimatePipeline.from_pretrained(args.weights or CARRIES_ALPHA, args.device)
    pipeline = MovedStickerPipeline(images, MotionPipeline.from_pretrained(MOVES, args.device))
    settings = generation_options.call_settings(args)
    return lambda progress: pipeline(args.prompt, **settings, motion=args.motion, progress=progress)

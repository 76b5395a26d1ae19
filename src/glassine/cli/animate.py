"""`glassine animate`: a transparent still in, a transparent animated sticker out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from glassine.cli import generation_options
from glassine.utils.errors import UserError
from glassine.utils.files import keep_input

if TYPE_CHECKING:
    import numpy as np

METHODS = {
    "motion-fields": "glassine:motion-fields",
    "layer-animate": "glassine:layer-animate",
    "animated-stickers": "glassine:animated-stickers",
}
USUAL = "motion-fields"
KINDS = {"ImageDynamics": "motion-fields", "TransparentVideo": "layer-animate", "ImageToVideo": "animated-stickers"}
# options that motion fields cannot follow, with the value that means they were left out
FRAMES_ONLY = {
    "size": None,
    "image_guidance": 1.0,
    "motion_guidance": None,
    "motion_adapter": 0.0,
    "guidance_rescale": None,
    "style": "auto",
}
DESCRIPTION = """\
Animate your own transparent image: STILL becomes the middle frame, PROMPT describes the motion ('waves hello').
Reads every format that `glassine cutout` reads, at any size; of an animation, the middle frame is used. OUT's suffix
sets the format: .webp .gif .png .apng .webm .mov .zip, or a folder of PNGs without a suffix. The sticker has the size
of STILL. With --n, several stickers are written as OUT-0, OUT-1, ..., with seeds SEED, SEED + 1, ... The same image,
prompt, seed and settings always give the same sticker."""
EPILOG = """\
With the usual method, motion-fields, a network says how the image moves in a loop, and its own pixels are moved: they
stay as sharp as they are, but nothing new appears, such as an eye that closes. What fills its canvas is drawn a little
smaller, so that it has room. The other methods make new frames of --size, which are enlarged to the size of the image;
where a frame shows nothing but the image, moved, the image's own pixels are used. An image without transparency is
rejected unless --cut-out is given, which first cuts it out of its flat background, as `glassine cutout` does."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "animate",
        help="animate a transparent still",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("still", type=Path, metavar="STILL", help="image with transparency")
    parser.add_argument("prompt", help="the motion: 'waves hello'")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")
    generation_options.add_arguments(parser)
    generation_options.add_animation_arguments(parser)
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="height and width of the frames that a network makes (default: 128; not for motion-fields)",
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="how: see below; animated-stickers is an image-to-video network, distilled to few steps, which takes "
        f"--rate and --reference (default: that of --weights, else {USUAL})",
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|FOLDER",
        help="weights that ship with glassine, or a folder from `glassine export weights` (default: "
        f"{' or '.join(METHODS.values())}, by the method)",
    )
    parser.add_argument(
        "--reference",
        metavar="first|middle|N",
        help="frame that STILL becomes, with animated-stickers (default: the network's)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="FPS",
        help="frame rate at which a clip of training would have been sampled, with animated-stickers: a low one moves "
        "more from frame to frame (default: left open); --fps is how fast it plays",
    )
    parser.add_argument(
        "--cut-out", action="store_true", help="cut an image without transparency out of its flat background"
    )
    parser.add_argument(
        "--cutout-weights",
        metavar="NAME|FOLDER",
        help=f"weights for --cut-out (default: {generation_options.CUTS_OUT})",
    )


def run(args: argparse.Namespace) -> None:
    """Generate the stickers and write them.

    Raises:
        UserError: an image, prompt, setting or path is invalid.
    """
    targets = generation_options.check(args)
    if str(args.still) != "-":
        keep_input(args.still, *targets, args.sheet)
    if args.cutout_weights is not None and not args.cut_out:
        raise UserError("--cutout-weights needs --cut-out: give both or neither")
    source, method = checked_weights(args)
    further: dict[str, Any] = {"rate": args.rate}
    if args.reference is not None:
        number = args.reference.isdecimal()
        if not number and args.reference not in ("first", "middle"):
            raise UserError(f"--reference must be first, middle or a number, got {args.reference!r}")
        further["reference"] = int(args.reference) if number else args.reference
    if args.negative and args.guidance in (None, 1):
        raise UserError("--negative needs --guidance above 1, for instance 3")
    console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
    still = load_still(args, console)
    if method == "motion-fields":
        make = mover(args, source, still)
    else:
        args.size = args.size or [128]
        make = generation_options.animator(args, source, still, further)
    generation_options.make_and_write(args, targets, make, console)


def mover(args: argparse.Namespace, source: str, still: "np.ndarray") -> generation_options.Make:
    """Makes stickers that are the still, moved."""
    from glassine.pipelines.motion import MotionPipeline

    pipeline = MotionPipeline.from_pretrained(source, args.device)
    shared = ("num_frames", "num_inference_steps", "guidance_scale", "seed", "negative_prompt", "solver", "fps")
    settings = generation_options.call_settings(args)
    settings = {name: settings[name] for name in (*shared, "domain", "batch_size") if name in settings}
    return lambda progress: pipeline(args.prompt, still, **settings, motion=args.motion, progress=progress)


def checked_weights(args: argparse.Namespace) -> tuple[str, str | None]:
    """The weights for `--method`, or those given, and their method; UserError if an option is not for it."""
    from glassine.pretrained.weights import kind_of

    source: str = args.weights or METHODS[args.method or USUAL]
    method = KINDS.get(kind_of(source))
    if args.method is not None and method not in (None, args.method):
        raise UserError(f"--weights must be of the method {args.method}, got {source}, which are of {method}")
    for name in ("reference", "rate"):
        if getattr(args, name) is not None and method in ("layer-animate", "motion-fields"):
            raise UserError(f"--{name} needs --method animated-stickers: leave it out")
    if args.method is not None and method is None:
        raise UserError(f"--weights must be of the method {args.method}, got {source}, which animates no stills")
    if method == "motion-fields":
        for name, unset in FRAMES_ONLY.items():
            if getattr(args, name) != unset:
                raise UserError(
                    f"--{name.replace('_', '-')} is for --method layer-animate and animated-stickers, which make "
                    "frames: leave it out, or name one of them"
                )
    return source, method


def load_still(args: argparse.Namespace, console: Console) -> "np.ndarray":
    """The image to animate, `h w 4` uint8, cut out if requested and needed.

    Raises:
        UserError: the image cannot be read or animated.
    """
    from glassine.pipelines.stills import check_still, is_opaque, read_still

    name = args.still.name
    still, number, frames = read_still(args.still)
    if frames > 1:
        console.print(f"{name} has {frames} frames; the middle one, number {number}, is animated", soft_wrap=True)
    if args.cut_out and is_opaque(still):
        from glassine.data.sticker import Sticker
        from glassine.pipelines.cutout import CutoutPipeline

        cut_out = CutoutPipeline.from_pretrained(args.cutout_weights or generation_options.CUTS_OUT, device=args.device)
        still = cut_out(Sticker(still[None], (1000,))).frames[0]
        if is_opaque(still) or not still[..., 3].any():
            left = "all" if still[..., 3].any() else "nothing"
            raise UserError(
                f"{name} has no transparency, and cutting it out left {left} of it: there is no flat background around "
                "the sticker; give an image with an alpha channel"
            )
        console.print(f"{args.still.name} has no transparency, so it was cut out first", soft_wrap=True)
    elif args.cut_out:
        console.print(f"{name} is already transparent, so it was not cut out", soft_wrap=True)
    check_still(still, name)
    return still

"""`glassine teach`: clips of stills and prompts by several teachers, for people to choose from."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.utils.errors import UserError
from glassine.utils.progress import progress_bar

DESCRIPTION = """\
Make clips of a set of stills and prompts by every teacher, with every seed, into a folder with a manifest.json that
says what each is from: the teacher's weights and recipe, the seed, the still's group, split, source and licence. What
is there already is kept, so that the command can be interrupted and called again."""
EPILOG = """\
SET is a folder of shards, of whose animated stickers the middle frames are the stills, or a JSON list of prompts with
id, caption, still (a path) and group, optionally caption_zh, split, source and licence. --procedural draws stills
instead. A teacher is a checkpoint of `glassine fit`, whose config.yaml is its recipe, or a folder of `glassine export
weights` with a recipe.yaml."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "teach",
        help="make clips of stills and prompts by several teachers",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", type=Path, nargs="?", metavar="SET", help="shards, or a JSON list of prompts")
    parser.add_argument("--procedural", type=int, metavar="N", help="draw N stills instead")
    parser.add_argument(
        "--teacher", action="append", default=[], metavar="NAME=WEIGHTS", help="may be given several times"
    )
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where clips and manifest.json go")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="(default: %(default)s)")
    parser.add_argument(
        "--stills", action="store_true", help="of shards, take the still stickers, not the animated ones"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stills of SET, evenly spaced (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="(default: 0)")
    parser.add_argument("--steps", type=int, help="solver steps (default: the network's)")
    parser.add_argument("--solver", choices=("ddim", "dpm++"), help="(default: the network's)")
    parser.add_argument("--guidance", type=float, metavar="SCALE", help="by the text (default: the network's)")
    parser.add_argument("--image-guidance", type=float, default=1.0, metavar="SCALE", help="by the still (default: 1)")
    parser.add_argument("--motion", type=int, metavar="0..9", help="amount of motion (default: left open)")
    parser.add_argument("--rate", type=float, metavar="FPS", help="see `glassine animate` (default: left open)")
    parser.add_argument("--frames", type=int, default=8, help="of a clip (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs="+", default=[128], metavar="PIXELS", help="height and width")
    parser.add_argument("--fps", type=float, default=8.0, help="frames per second (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def run(args: argparse.Namespace) -> None:
    """Make the clips.

    Raises:
        UserError: arguments that do not fit together; see `glassine.review.teach.teach`.
    """
    if (args.set is None) == (args.procedural is None):
        raise UserError("either SET or --procedural must be given: shards, a JSON list, or a number of stills to draw")
    for name, value in (("procedural", args.procedural), ("limit", args.limit), ("frames", args.frames - 1)):
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least {2 if name == 'frames' else 1}, got {getattr(args, name)}")
    if len(args.size) > 2:
        raise UserError(f"--size must be one number, or height and width, got {' '.join(map(str, args.size))}")
    pairs = [given.partition("=") for given in args.teacher]
    if not pairs or not all(name and source for name, _, source in pairs):
        raise UserError(f"--teacher must be NAME=WEIGHTS, at least once, got {' '.join(args.teacher) or 'none'}")

    from glassine.review import prompts as sets
    from glassine.review.teach import TrainedTeacher, teach

    if args.procedural is not None:
        prompts = sets.prompts_of_procedural(args.procedural, args.split)
    elif args.set.suffix == ".json":
        prompts = sets.prompts_of_file(args.set)
    else:
        prompts = sets.prompts_of_shards(args.set, args.split, args.limit, args.stills)
    chosen = [prompt for prompt in prompts if prompt.split == args.split]
    sampling: dict[str, Any] = {
        "num_inference_steps": args.steps,
        "solver": args.solver,
        "guidance_scale": args.guidance,
        "image_guidance_scale": args.image_guidance,
        "motion": args.motion,
        "rate": args.rate,
    }
    console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
    with progress_bar(console, "clips", transient=True, only_terminal=True) as update:
        made = teach(
            chosen,
            [TrainedTeacher(name, source) for name, _, source in pairs],
            args.to,
            args.seeds,
            args.frames,
            (args.size[0], args.size[-1]),
            args.fps,
            sampling,
            args.device,
            update,
        )
    total = len(chosen) * len(pairs) * len(args.seeds)
    says = f"{args.to}: {total} clips of {len(chosen)} stills by {len(pairs)} teachers, {made} of them new"
    console.print(says, soft_wrap=True)

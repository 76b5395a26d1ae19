"""`glassine data cache-features`: a teacher's features of the training stickers, made once, for `glassine fit`."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from glassine.cli import caching
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError

TINY_SAM = "glassine:tiny-sam"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    caching.add_arguments(parser, views=2)
    parser.add_argument("--teacher", default=TINY_SAM, help="weights of a SAM of ours (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="Meta's sam_vit_*.pth instead, named by --model")
    parser.add_argument("--model", choices=("vit_b", "vit_l", "vit_h"), help="which SAM --checkpoint holds")
    parser.add_argument("--size", type=int, default=256, help="of the student's pictures in pixels, of both sides")
    parser.add_argument("--grid", type=int, help="reduce features to so many rows and columns (default: the teacher's)")


def run(args: argparse.Namespace, console: Console) -> None:
    """Write the cache, or what is missing of it."""
    from glassine.data.feature_cache import write_features

    if min(args.views, args.size, args.grid or 1, args.procedural + 1) < 1:
        raise UserError(
            f"views {args.views}, size {args.size}, grid {args.grid}, procedural {args.procedural} came; give at least "
            "1, 1, 1 and 0"
        )
    pictures = caching.chosen_stickers(args, num_frames=1, size=(args.size, args.size))
    teacher, identity = load_teacher(args)
    samples = [(view, row) for view in range(args.views) for row in range(len(pictures))]
    settings = {
        "stickers": pictures.fingerprint(),
        "split": args.split,
        "size": str(args.size),
        "views": str(args.views),
        "procedural": str(args.procedural),
    }
    with caching.progress_bar(console, f"writing {args.to}", len(samples)) as progress:
        made = write_features(pictures, samples, teacher, identity, settings, args.to, args.grid, progress=progress)
    caching.name_damage(pictures, console)
    console.print(f"{args.to}: {len(samples)} pictures, {made} files written now", highlight=False)


def load_teacher(args: argparse.Namespace) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    """What makes the features, and its identity."""
    from glassine.bench.loading import load_network
    from glassine.models.sam import SamTeacher
    from glassine.pretrained.sam import segment_anything_model

    if (args.checkpoint is None) != (args.model is None):
        raise UserError("--checkpoint and --model go together: give both, or --teacher")
    if args.checkpoint is not None:
        sam: torch.nn.Module = segment_anything_model(args.model, str(args.checkpoint))
    else:
        sam = load_network(args.teacher, "sam").network
    try:
        teacher = SamTeacher(sam)
    except TypeError as error:
        raise UserError(f"{args.teacher}: {error}") from error
    device = pick_device(args.device)
    teacher = teacher.to(device)
    return (lambda pictures: teacher(pictures.to(device))), teacher.identity

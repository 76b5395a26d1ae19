"""`glassine data cache-cuts`: pictures of stickers as users have them, with their closed-form alpha, for training."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.utils.errors import UserError
from glassine.utils.progress import progress_bar


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "cache-cuts",
        help="cache stickers on many backgrounds with their closed-form alpha, for training the alpha refiner",
    )
    parser.add_argument("shards", type=Path, metavar="SHARDS", nargs="*", help="shard folders")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="cache folder; an interrupted run resumes"
    )
    parser.add_argument("--split", default="train", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=4000, help="number of pictures (default: %(default)s)")
    parser.add_argument(
        "--procedural", type=float, default=0.2, help="share of rendered stickers, in [0, 1) (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of backgrounds and damages (default: %(default)s)")


def cache_cuts(args: argparse.Namespace, console: Console) -> None:
    """Write or complete the cache; stickers are drawn evenly from all folders.

    Raises:
        UserError: a number out of range, no stickers, or a different cache in the folder.
    """
    import cv2
    import numpy as np

    from glassine.cli.caches import name_damage
    from glassine.data.cut_cache import write_cuts
    from glassine.data.dataset import Stickers
    from glassine.data.transforms import ManyStyles
    from glassine.pipelines.refining import cut_planes

    if args.count < 1 or args.size < 16 or not 0 <= args.procedural < 1:
        raise UserError(
            "--count must be at least 1, --size at least 16 and --procedural in [0, 1), got "
            f"{args.count}, {args.size} and {args.procedural}"
        )
    stickers = Stickers(
        [str(folder) for folder in args.shards] or None,
        args.split,
        (args.size, args.size),
        1,
        ManyStyles(picture_share=0.35, clean=0.3, fade=False),
        stills=True,
        procedural=max(round(args.count * args.procedural), 0 if args.shards else args.count),
        training=True,
        seed=args.seed,
    ).setup()
    rng = np.random.default_rng(args.seed)
    whole, rest = divmod(args.count, len(stickers))
    rows = [row for _ in range(whole) for row in rng.permutation(len(stickers)).tolist()]
    rows += rng.permutation(len(stickers))[:rest].tolist()
    samples = [(number // len(stickers), row) for number, row in enumerate(rows)]
    settings = {
        "stickers": stickers.fingerprint(),
        "split": args.split,
        "size": str(args.size),
        "seed": str(args.seed),
        "procedural": str(args.procedural),
    }
    cv2.setNumThreads(1)  # pictures are small
    with progress_bar(console, f"writing {args.to}", len(samples)) as progress:
        made = write_cuts(stickers, samples, cut_planes, settings, args.to, progress=progress)
    name_damage(stickers, console)
    console.print(f"{args.to}: {len(samples)} pictures, {made} new files", highlight=False)

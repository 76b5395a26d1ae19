"""`glassine data cache-motion`: the motion of animated stickers, for training the network that moves stills."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from glassine.utils.errors import UserError
from glassine.utils.progress import progress_bar

FRAMES = 16


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "cache-motion", help="cache the motion of animated stickers, for training the network that moves stills"
    )
    parser.add_argument(
        "frames", metavar="FOLDER", nargs="+", help=f"caches of `glassine data cache-frames --frames {FRAMES}`"
    )
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="cache folder; an interrupted run resumes"
    )
    parser.add_argument(
        "--references", type=int, default=2, help="frames of a sticker that are its still in turn (default: 2)"
    )
    parser.add_argument("--limit", type=int, help="maximum number of stickers, evenly spaced (default: all)")


def cache_motion(args: argparse.Namespace, console: Console) -> None:
    """Write or complete the cache.

    Raises:
        UserError: a number out of range, no cached frames, or a different cache in the folder.
    """
    from glassine.data.frame_cache import CachedFrames
    from glassine.data.motion_cache import write_motion
    from glassine.data.views import FrameViews
    from glassine.nn.motion_fields import GRID, fit_motion

    if not 1 <= args.references <= FRAMES or (args.limit is not None and args.limit < 1):
        raise UserError(
            f"--references must be in [1, {FRAMES}] and --limit at least 1, got {args.references} and {args.limit}"
        )
    frames = CachedFrames(args.frames, "all", FRAMES, by_subject=False, limit=args.limit)
    if any(side % GRID for side in frames.size):
        height, width = frames.size
        raise UserError(f"cached frames must be of a --size that {GRID} divides, got {height} x {width}")
    fingerprint = FrameViews(frames, 1, None).fingerprint()
    with progress_bar(console, f"writing {args.to}", len(frames) * args.references) as progress:
        made = write_motion(frames, fingerprint, fit_motion, args.to, args.references, progress=progress)
    megabytes = sum(path.stat().st_size for path in args.to.glob("motion-*")) / 1e6
    shown = f"{args.to}: {len(frames)} stickers, {args.references} stills each, {megabytes:.0f} MB, {made} new files"
    console.print(shown, highlight=False, markup=False)

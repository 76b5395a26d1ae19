"""`glassine data cache-frames`: small color-padded pictures of stickers, made once, for `glassine fit`."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from glassine.cli import caching
from glassine.utils.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shards", type=Path, metavar="SHARDS", nargs="+", help="folders of shards")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="of the cache; a stopped run goes on")
    parser.add_argument("--frames", type=int, default=1, help="of each sticker, evenly spread (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="most stickers, evenly spread (default: all)")
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--animated-only", action="store_true", help="leave out stickers of one frame")
    frames.add_argument("--stills-only", action="store_true", help="take these alone")


def run(args: argparse.Namespace, console: Console) -> None:
    """Write the cache, or what is missing of it; damaged stickers are left out and named.

    Raises:
        UserError: a number out of range, no sticker, or another cache in the folder.
    """
    from glassine.data.clips import spread_rows
    from glassine.data.frame_cache import write_frames
    from glassine.data.shards import StickerShards

    if min(args.frames, args.size, args.limit or 1) < 1:
        raise UserError(
            f"--frames, --size and --limit must be at least 1, got {args.frames}, {args.size}, {args.limit}"
        )
    shards = StickerShards(args.shards)
    rows = spread_rows(shards.select(stills="only" if args.stills_only else not args.animated_only), args.limit)
    if not len(rows):
        raise UserError(f"{', '.join(map(str, args.shards))} has no such sticker; see `glassine data info`")
    with caching.progress_bar(console, escape(f"writing {args.to}"), len(rows)) as progress:
        size = (args.size, args.size)
        made, damaged = write_frames(shards, rows, args.frames, size, args.to, progress=progress)
    for name, reason in damaged.items():
        console.print(f"left out {name}: {reason}", style="yellow", highlight=False, markup=False)
    megabytes = sum(path.stat().st_size for path in args.to.glob("frames-*")) / 1e6
    shown = f"{args.to}: {len(rows)} stickers, {args.frames} frames each, {megabytes:.0f} MB, {made} files written now"
    console.print(shown, highlight=False, markup=False)

"""What `glassine data cache-features` and `cache-latents` share: which stickers, and the progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glassine.utils.errors import UserError

if TYPE_CHECKING:
    from glassine.data.dataset import StickerDataset, Stickers


def add_arguments(parser: argparse.ArgumentParser, views: int) -> None:
    """Add the arguments that both verbs have."""
    parser.add_argument("shards", type=Path, metavar="SHARDS", nargs="?", help="none: rendered stickers alone")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="of the cache; a stopped run goes on")
    parser.add_argument("--views", type=int, default=views, help=f"random views of each sticker (default: {views})")
    parser.add_argument("--limit", type=int, help="most stickers, evenly spread (default: all)")
    parser.add_argument("--split", default="train", help="default: %(default)s")
    parser.add_argument("--procedural", type=int, default=0, help="rendered stickers to add (default: %(default)s)")
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--animated-only", action="store_true", help="leave out stickers of one frame")
    frames.add_argument("--stills-only", action="store_true", help="take these alone")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or cuda:1")


def chosen_stickers(args: argparse.Namespace, num_frames: int, size: tuple[int, int]) -> Stickers:
    """The stickers that the arguments name, as training has them.

    Raises:
        UserError: none are named, or they cannot be read.
    """
    from glassine.data.dataset import Stickers

    if args.shards is None and not args.procedural:
        raise UserError(
            "SHARDS or --procedural must be given, got neither: name a folder of shards, or how many to render"
        )
    return Stickers(
        None if args.shards is None else str(args.shards),
        args.split,
        size,
        num_frames,
        stills="only" if args.stills_only else not args.animated_only,
        limit=args.limit,
        procedural=args.procedural,
        training=True,
    ).setup()


@contextmanager
def progress_bar(console: Console, says: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar, and what moves it: called with how many are done, and of how many."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(says, total=total)
        yield lambda done, _: progress.update(task, completed=done)


def name_damage(stickers: StickerDataset, console: Console) -> None:
    """Say which stickers were damaged."""
    if stickers.num_damaged:
        console.print(stickers.damage_line(), style="yellow", highlight=False, markup=False)

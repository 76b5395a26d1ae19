"""`glassine data`: fetch, build, index, describe and look at shards, and cache what networks make of them."""

import argparse
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from glassine.atomic import atomic_path
from glassine.cli import cache_features, cache_latents
from glassine.data.shards import (
    FRAME_CODECS,
    ShardFormat,
    StickerInfo,
    StickerShards,
    build_shards,
    contact_sheet,
    find_tars,
    index_path,
    rebuild_index,
)
from glassine.data.sources import StickerSource
from glassine.data.sources.fluent import PACKS, FluentStickers, default_cache, fetch
from glassine.data.sources.folder import FolderStickers
from glassine.data.split import SPLITS
from glassine.errors import UserError, printable


def add_parser(subparsers: Any) -> None:
    """Add the verb `data` to the command line's subparsers."""
    parser = subparsers.add_parser("data", help="fetch, build, index, describe and look at sticker shards")
    verbs = parser.add_subparsers(dest="data_verb", required=True, metavar="VERB")

    fetch_parser = verbs.add_parser("fetch", help="fetch a public data set and write it as shards")
    fetch_parser.add_argument("name", choices=["fluent"], help="fluent: Microsoft's animated Fluent emoji (MIT)")
    fetch_parser.add_argument(
        "--packs", type=int, nargs="+", default=list(PACKS), metavar="N", help="default: all four"
    )
    fetch_parser.add_argument("--to", type=Path, default=Path("data/fluent"), help="default: %(default)s")
    fetch_parser.add_argument("--cache", type=Path, default=None, help="where downloads are kept")
    fetch_parser.add_argument("--animated-only", action="store_true", help="leave out the still emoji")
    _add_format(fetch_parser, fps=8.0)

    build_parser = verbs.add_parser("build", help="write a folder of media files as shards")
    build_parser.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER")
    build_parser.add_argument("--to", type=Path, required=True, metavar="SHARDS")
    build_parser.add_argument("--table", type=Path, default=None, help="CSV or JSONL: file, description, domain, ...")
    _add_format(build_parser, fps=None)

    index_parser = verbs.add_parser("index", help="index the tar files of a folder, also those made elsewhere")
    index_parser.add_argument("shards", type=Path, metavar="SHARDS")
    info_parser = verbs.add_parser("info", help="what is in a shard folder")
    info_parser.add_argument("shards", type=Path, metavar="SHARDS")
    view_parser = verbs.add_parser("view", help="draw a contact sheet")
    view_parser.add_argument("shards", type=Path, metavar="SHARDS")
    view_parser.add_argument("picture", type=Path, metavar="OUT.png")
    view_parser.add_argument(
        "--count", type=int, default=24, help="stickers shown, evenly spread (default: %(default)s)"
    )
    view_parser.add_argument("--split", choices=SPLITS, default=None, help="only this split")
    view_parser.add_argument("--tile", type=int, default=104, help="side of a frame in pixels (default: %(default)s)")

    cache_parser = verbs.add_parser(
        "cache-features", help="write what a SAM makes of the training stickers, for `data.features` of a distillation"
    )
    cache_features.add_arguments(cache_parser)
    latents_parser = verbs.add_parser(
        "cache-latents", help="write a VAE's latents and text embeddings of stickers, for `data.latents` of a training"
    )
    cache_latents.add_arguments(latents_parser)


def _add_format(parser: argparse.ArgumentParser, fps: float | None) -> None:
    said = "all frames" if fps is None else f"{fps:g}"
    parser.add_argument(
        "--fps", type=float, default=fps, help=f"at most so many frames a second; 0: all (default: {said})"
    )
    parser.add_argument("--size", type=int, default=None, help="longer side at most so many pixels (default: as it is)")
    parser.add_argument("--codec", choices=list(FRAME_CODECS), default="jpeg+alpha", help="default: %(default)s")
    parser.add_argument("--quality", type=int, default=92, help="of lossy colours, 0 to 100 (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_parser` parsed.

    Raises:
        UserError: anything the user can put right.
    """
    console = Console()
    if args.data_verb == "fetch":
        cache = args.cache or default_cache()
        fetch(cache, args.packs, say=console.print)
        _build(FluentStickers(cache, args.packs, animated_only=args.animated_only), args, console)
    elif args.data_verb == "build":
        _build(FolderStickers(args.source, args.table), args, console)
    elif args.data_verb == "index":
        _index(args.shards, console)
    elif args.data_verb == "info":
        _info(_open(args.shards, console), console)
    elif args.data_verb == "cache-features":
        cache_features.run(args, console)
    elif args.data_verb == "cache-latents":
        cache_latents.run(args, console)
    else:
        _view(args, console)


def _build(source: StickerSource, args: argparse.Namespace, console: Console) -> None:
    how = ShardFormat(codec=args.codec, quality=args.quality, fps=args.fps or None, size=args.size)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"writing {args.to}", total=len(source))
        report = build_shards(source, args.to, how, args.workers, advance=lambda: progress.advance(task))
    there = f", {report.skipped} were there already" if report.skipped else ""
    console.print(f"{report.written} stickers written to {args.to}{there}")
    _name_damaged(report.damaged, console)


def _index(folder: Path, console: Console) -> None:
    for tar in find_tars(folder):
        index = rebuild_index(tar)
        index.save(index_path(tar))
        console.print(f"{tar}: {len(index.samples)} stickers", highlight=False)
        _name_damaged(index.damaged, console)


def _open(folder: Path, console: Console) -> StickerShards:
    with warnings.catch_warnings(action="ignore"):  # the same names, in full, follow here
        shards = StickerShards(folder)
    _name_damaged(shards.damaged, console)
    return shards


def _name_damaged(damaged: dict[str, str], console: Console) -> None:
    if damaged:
        console.print(f"{len(damaged)} damaged, left out:", style="yellow")
    for name, reason in damaged.items():
        console.print(printable(f"  {name}: {reason}"), style="yellow", highlight=False, markup=False)


def _info(shards: StickerShards, console: Console) -> None:
    table = Table(title=f"{len(shards)} stickers in {shards.num_shards} shards, {shards.num_bytes / 1e6:.0f} MB")
    for column in ("split", "stickers", "groups", "animated", "frames", "length", "sizes"):
        table.add_column(column, justify="left" if column in ("split", "sizes") else "right", no_wrap=True)
    readable, damaged = _infos(shards)
    for split in (*SPLITS, None):
        infos = [readable[row] for row in shards.select(split).tolist() if row in readable]
        lengths = [sum(info.durations) / 1000 for info in infos if info.num_frames > 1]
        table.add_row(
            split or "all",
            str(len(infos)),
            str(len({info.group for info in infos})),
            str(len(lengths)),
            str(sum(info.num_frames for info in infos)),
            f"{np.median(lengths):.2f} s" if lengths else "-",
            _most(Counter(f"{info.width}x{info.height}" for info in infos)),
            end_section=split == SPLITS[-1],
        )
    console.print(table)
    domains = Counter(info.domain for info in readable.values())
    console.print(f"domains: {_most(domains, 8)}; length: median of the animated ones", highlight=False)
    _name_damaged(damaged, console)


def _infos(shards: StickerShards) -> tuple[dict[int, StickerInfo], dict[str, str]]:
    """The metadata by row, and by name why others have none."""
    infos, damaged = dict[int, StickerInfo](), dict[str, str]()
    for row in range(len(shards)):
        try:
            infos[row] = shards.metadata(row)
        except ValueError as error:
            damaged[shards.name(row)] = str(error)
    return infos, damaged


def _most(counts: Counter[str], shown: int = 2) -> str:
    names = [name for name, _ in counts.most_common(shown)]
    return ", ".join(names) + (f" +{len(counts) - shown}" if len(counts) > shown else "")


def _view(args: argparse.Namespace, console: Console) -> None:
    if args.count < 1 or not 16 <= args.tile <= 1024:
        raise UserError(f"count {args.count} and tile {args.tile} came; show at least 1 sticker, tiles of 16 to 1024")
    if args.picture.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise UserError(f"{args.picture} came; the contact sheet is a .png, .jpg or .webp file")
    shards = _open(args.shards, console)
    rows = shards.select(args.split)
    if not len(rows):
        raise UserError(f"{args.shards} has no sticker in split {args.split!r}; see `glassine data info`")
    chosen = rows[np.linspace(0, len(rows) - 1, min(args.count, len(rows))).round().astype(int)]
    sheet = contact_sheet(shards, chosen, tile=args.tile)
    with atomic_path(args.picture) as temporary:
        sheet.save(temporary)
    console.print(f"{args.picture}: {len(chosen)} of {len(rows)} stickers", highlight=False)

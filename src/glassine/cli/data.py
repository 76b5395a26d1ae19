"""`glassine data`: fetch, build, index, describe and view shards, and cache network outputs."""

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from glassine.cli import caches, cut_cache, groups, motion_cache
from glassine.cli.data_info import name_damaged, show_info
from glassine.data.shards import (
    FRAME_CODECS,
    ShardFormat,
    StickerShards,
    build_shards,
    contact_sheet,
    find_tars,
    index_path,
    rebuild_index,
)
from glassine.data.sources import StickerSource
from glassine.data.sources.emoji_art import default_cache
from glassine.data.sources.fluent import PACKS
from glassine.data.sources.folder import FolderStickers
from glassine.data.sources.world import COLLECTIONS, FPS, ICONS, SIZE, SOURCES, Fetching
from glassine.data.sticker import SPLITS
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

_MOST_NAMED = 20
_GIVEN = [name for name, source in SOURCES.items() if source.given]
_LINES, _ICON_LINES = (
    "\n".join(f"  {name:<19}  {source.about}" for name, source in sources.items()) for sources in COLLECTIONS.values()
)
_SOURCES = f"""sources:
{_LINES}
  world                all of these that can be reached, one folder each; what cannot is named, and the rest is
                       written. The exit code is 0 where at least one source is there.
other styles, on which the cut-out is trained, too:
{_ICON_LINES}
  icons                all of these, likewise
Drawings (SVG, Lottie) need the extras: pip install 'glassine[svg,lottie]'. They are drawn with 256 px, or --size."""


def add_parser(subparsers: Any) -> None:
    """Add the verb `data` to the command line's subparsers."""
    parser = subparsers.add_parser("data", help="fetch, build, index, describe and view sticker shards")
    verbs = parser.add_subparsers(dest="data_verb", required=True, metavar="VERB")

    fetch_parser = verbs.add_parser(
        "fetch",
        help="fetch public stickers and write them as shards",
        description="Fetch public stickers and write them as shards. Files that were fetched or written before are "
        "kept, so an interrupted run resumes.",
        epilog=_SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fetch_parser.add_argument("name", choices=[*SOURCES, *ICONS, *COLLECTIONS], metavar="SOURCE", help="see below")
    fetch_parser.add_argument("--to", type=Path, default=None, help="default: data/SOURCE")
    fetch_parser.add_argument("--cache", type=Path, default=None, help="where downloads are kept")
    fetch_parser.add_argument(
        "--packs", type=int, nargs="+", default=list(PACKS), metavar="N", help="packs of fluent (default: all four)"
    )
    fetch_parser.add_argument("--animated-only", action="store_true", help="leave out the still emoji of fluent")
    fetch_parser.add_argument(
        "--from",
        dest="given",
        type=Path,
        default=None,
        metavar="FILE_OR_FOLDER",
        help=f"the files of {', '.join(_GIVEN)}, as a folder, tar or zip, in place of the server",
    )
    _add_format(fetch_parser, "30; 8 for fluent")

    build_parser = verbs.add_parser("build", help="write a folder of media files as shards")
    build_parser.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER")
    build_parser.add_argument("--to", type=Path, required=True, metavar="SHARDS")
    build_parser.add_argument("--table", type=Path, default=None, help="CSV or JSONL: file, description, domain, ...")
    build_parser.add_argument("--listed", action="store_true", help="only the files that the table names")
    _add_format(build_parser, "all frames")

    index_parser = verbs.add_parser("index", help="index the tar files of a folder, including third-party ones")
    index_parser.add_argument("shards", type=Path, metavar="SHARDS")
    info_parser = verbs.add_parser("info", help="describe a shard folder")
    info_parser.add_argument("shards", type=Path, metavar="SHARDS")
    info_parser.add_argument(
        "--compare",
        type=int,
        default=40_000,
        metavar="N",
        help="report how similar the splits are if there are at most N stickers (default: %(default)s)",
    )
    groups.add_parsers(verbs)
    report_parser = verbs.add_parser("report", help="write tables, figures and samples of a data set as a page")
    report_parser.add_argument("dataset", type=Path, metavar="DATASET")
    report_parser.add_argument("--to", type=Path, default=None, help="default: DATASET/report")
    view_parser = verbs.add_parser("view", help="draw a contact sheet")
    view_parser.add_argument("shards", type=Path, metavar="SHARDS")
    view_parser.add_argument("picture", type=Path, metavar="OUT.png")
    view_parser.add_argument(
        "--count", type=int, default=24, help="stickers to show, evenly spaced (default: %(default)s)"
    )
    view_parser.add_argument("--split", choices=SPLITS, default=None, help="only this split")
    view_parser.add_argument("--tile", type=int, default=104, help="side of a frame in pixels (default: %(default)s)")

    cache_parser = verbs.add_parser(
        "cache-features", help="cache SAM features of the training stickers, for `CachedFeatures` in distillation"
    )
    caches.add_feature_arguments(cache_parser)
    frames_parser = verbs.add_parser("cache-frames", help="cache small frames of stickers, for training VAEs")
    caches.add_frame_arguments(frames_parser)
    cut_cache.add_parser(verbs)
    motion_cache.add_parser(verbs)
    latents_parser = verbs.add_parser(
        "cache-latents", help="cache VAE latents and text embeddings of stickers, for `CachedLatents` in training"
    )
    caches.add_latent_arguments(latents_parser)


def _add_format(parser: argparse.ArgumentParser, said: str) -> None:
    parser.add_argument("--fps", type=float, default=None, help=f"maximum frames per second; 0: all (default: {said})")
    parser.add_argument("--size", type=int, default=None, help="maximum longer side in pixels (default: unchanged)")
    parser.add_argument(
        "--codec",
        choices=list(FRAME_CODECS),
        default=None,
        help="default: jpeg+alpha; webp-lossless for icons, which it stores exactly in half the space",
    )
    parser.add_argument(
        "--quality", type=int, default=92, help="quality of lossy colors, 0 to 100 (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")


def run(args: argparse.Namespace) -> None:
    """Run the command parsed by :func:`add_parser`.

    Raises:
        UserError: anything the user can fix.
    """
    console = Console(markup=False, emoji=False)
    if args.data_verb == "fetch":
        _fetch(args, console)
    elif args.data_verb == "build":
        _build(
            FolderStickers(args.source, args.table, size=args.size, fps=args.fps or None, listed=args.listed),
            args.to,
            args.fps,
            args,
            console,
        )
    elif args.data_verb == "index":
        _index(args.shards, console)
    elif args.data_verb == "info":
        show_info(_open(args.shards, console), console, args.compare)
    elif args.data_verb == "groups":
        groups.make_table(args, console)
    elif args.data_verb == "regroup":
        groups.regroup(args, console)
    elif args.data_verb == "report":
        from glassine.curation.report_page import write_report

        page = write_report(args.dataset, args.to)
        console.print(f"{page}", highlight=False)
    elif args.data_verb == "cache-features":
        caches.cache_features(args, console)
    elif args.data_verb == "cache-frames":
        caches.cache_frames(args, console)
    elif args.data_verb == "cache-cuts":
        cut_cache.cache_cuts(args, console)
    elif args.data_verb == "cache-motion":
        motion_cache.cache_motion(args, console)
    elif args.data_verb == "cache-latents":
        caches.cache_latents(args, console)
    else:
        _view(args, console)


def _fetch(args: argparse.Namespace, console: Console) -> None:
    """Fetch one source, or all: then unreachable sources are named and the others are still written."""
    together = COLLECTIONS.get(args.name)
    names = [args.name] if together is None else list(together)
    to = args.to or Path("data") / args.name
    if args.given is not None and args.name not in (*_GIVEN, "world"):
        raise UserError(f"--from is for {', '.join(_GIVEN)} and world, got it with {args.name}; leave it out")
    fps = (8.0 if args.name == "fluent" else FPS) if args.fps is None else args.fps
    how = Fetching(
        cache=args.cache or default_cache(),
        say=lambda line: console.print(line, highlight=False, markup=False),
        given=args.given,
        packs=tuple(args.packs),
        animated_only=args.animated_only,
        partial=together is not None,
    )
    missing = dict[str, str]()
    for name in names:
        try:
            known = (SOURCES | ICONS)[name]
            source = known.open(how, args.size or SIZE, fps or None)
            _build(source, to if together is None else to / name, fps, args, console, known.codec)
        except UserError as error:
            if len(missing) + 1 == len(names):
                raise
            missing[name] = str(error)
            console.print(f"{name} is skipped: {error}", style="yellow", highlight=False, markup=False)
    if together is not None:
        console.print(f"{len(names) - len(missing)} of {len(names)} sources are in {to}", highlight=False)
        for name, reason in missing.items():
            console.print(f"  missing: {name}: {reason}", style="yellow", highlight=False, markup=False)


def _build(
    source: StickerSource,
    to: Path,
    fps: float | None,
    args: argparse.Namespace,
    console: Console,
    codec: str = "jpeg+alpha",
) -> None:
    how = ShardFormat(codec=args.codec or codec, quality=args.quality, fps=fps or None, size=args.size)
    with progress_bar(console, f"writing {to}", len(source)) as advance:
        report = build_shards(source, to, how, args.workers, advance=advance)
    there = f", {report.skipped} already existed" if report.skipped else ""
    console.print(f"{report.written} stickers written to {to}{there}")
    name_damaged(report.damaged, console)
    _name_some(report.left_out, "are not fully rendered", console)
    _name_some(report.notes, "have adjusted frame times", console)
    _name_some(report.wordless, "have a description without letters, treated as missing", console)


def _name_some(found: dict[str, str], what: str, console: Console) -> None:
    if found:
        console.print(f"{len(found)} {what}:", style="yellow", highlight=False)
    for name, detail in list(found.items())[:_MOST_NAMED]:
        console.print(f"  {name}: {detail}", style="yellow", highlight=False, markup=False)
    if len(found) > _MOST_NAMED:
        console.print(f"  and {len(found) - _MOST_NAMED} more", style="yellow", highlight=False)


def _index(folder: Path, console: Console) -> None:
    for tar in find_tars(folder):
        index = rebuild_index(tar)
        index.save(index_path(tar))
        console.print(f"{tar}: {len(index.samples)} stickers", highlight=False)
        name_damaged(index.damaged, console)


def _open(folder: Path, console: Console) -> StickerShards:
    with warnings.catch_warnings(action="ignore"):  # all names are printed below
        shards = StickerShards(folder)
    name_damaged(shards.damaged, console)
    return shards


def _view(args: argparse.Namespace, console: Console) -> None:
    if args.count < 1 or not 16 <= args.tile <= 1024:
        raise UserError(f"count must be at least 1 and tile in [16, 1024], got {args.count} and {args.tile}")
    if args.picture.suffix.lower() not in (".png", ".jpg", ".webp"):
        raise UserError(f"the contact sheet must be a .png, .jpg or .webp file, got {args.picture}")
    shards = _open(args.shards, console)
    rows = shards.select(args.split)
    if not len(rows):
        raise UserError(f"{args.shards} has no sticker in split {args.split!r}; see `glassine data info`")
    chosen = rows[np.linspace(0, len(rows) - 1, min(args.count, len(rows))).round().astype(int)]
    sheet = contact_sheet(shards, chosen, tile=args.tile)
    with atomic_path(args.picture) as temporary:
        sheet.save(temporary)
    console.print(f"{args.picture}: {len(chosen)} of {len(rows)} stickers", highlight=False)

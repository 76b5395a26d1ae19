"""`glassine pack`: stickers in, packs ready to upload out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glassine.utils.colors import named_color
from glassine.utils.errors import UserError, printable

if TYPE_CHECKING:
    from glassine.pipelines.outline import Surround
    from glassine.pipelines.pack.manifests import Labels
    from glassine.pipelines.pack.writing import PackSettings

DESCRIPTION = """\
Fit stickers to the limits of chat platforms and write a ready-to-upload folder for each, with covers, manifest,
contact sheet and a report of what was done. Reads the same formats as `glassine cutout`; Lottie and TGS are rasterized.
Nothing is uploaded: docs/packs.md explains how to do that."""
EPILOG = """\
Lossless steps come first: cropping to the visible area, merging repeated frames, palettes. Then frames, quality and
size are reduced in the order of --order, in three rounds, until the file is small enough. The speed never changes
unless you ask for it."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "pack",
        help="make sticker packs, ready to upload",
        usage="glassine pack STICKER... --for PLATFORM... --to FOLDER [options]\n       glassine pack --check FOLDER",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stickers", type=Path, nargs="*", metavar="STICKER", help="files or folders of files, in order")
    parser.add_argument("--for", dest="platforms", nargs="+", metavar="PLATFORM", help="see --list")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="new folder for the output")
    parser.add_argument("--name", default="Stickers", help="pack name (default: %(default)s)")
    parser.add_argument("--author", default="glassine", help="pack author (default: %(default)s)")
    parser.add_argument("--emoji", type=Path, metavar="MAP.csv", help="lines of file,emoji or file,emoji,text")
    parser.add_argument("--cover", metavar="STICKER", help="cover sticker of the pack (default: the first)")
    parser.add_argument(
        "--order",
        default="frames,quality,size",
        help="what to reduce first when a file is too large; anything not listed is kept (default: %(default)s)",
    )
    parser.add_argument(
        "--too-long",
        choices=["refuse", "trim", "speed-up"],
        default="refuse",
        help="what to do with stickers that are too long for a platform (default: %(default)s)",
    )
    parser.add_argument(
        "--mixed",
        choices=["refuse", "still"],
        default="refuse",
        help="for platforms without animated stickers, or that do not mix them with stills: report an error, or use "
        "one frame of each sticker (default: %(default)s)",
    )
    parser.add_argument(
        "--no-crop", action="store_true", help="keep each sticker's canvas, so that all have the same scale"
    )
    add_surround_arguments(parser, "pixels of a 512-pixel canvas")
    parser.add_argument(
        "--matte", metavar="COLOR", help="GIF: color that soft edges are composited on before they become opaque"
    )
    parser.add_argument(
        "--alpha-threshold",
        type=int,
        metavar="1..255",
        help="GIF: lowest alpha that is kept (128; with --matte 24)",
    )
    parser.add_argument("--zip", action="store_true", help="write a zip per platform instead of a folder")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="only check existing packs")
    parser.add_argument("--list", action="store_true", help="show the platforms and their limits")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def add_surround_arguments(parser: argparse.ArgumentParser, unit: str) -> None:
    """Add the border and shadow arguments; `unit` is the unit of their widths."""
    parser.add_argument("--outline", type=float, default=0.0, metavar="WIDTH", help=f"die-cut border, in {unit}")
    parser.add_argument(
        "--outline-color", default="white", metavar="COLOR", help="color of the border (default: %(default)s)"
    )
    parser.add_argument(
        "--shadow", type=float, default=0.0, metavar="0..1", help="opacity of a drop shadow (default: none)"
    )


def surround(args: argparse.Namespace) -> "Surround":
    """The border and shadow requested by `args`.

    Raises:
        UserError: numbers out of range, or an invalid color.
    """
    from glassine.pipelines.outline import Surround

    return Surround(args.outline, color(args.outline_color, "outline color"), args.shadow)


def color(text: str, what: str) -> tuple[int, int, int]:
    """Red, green, blue of a CSS name or '#rrggbb'.

    Raises:
        UserError: it is neither.
    """
    if (found := named_color(text)) is not None:
        return found
    raise UserError(f"{what} must be a CSS color name or '#rrggbb', got {text!r}")


def run(args: argparse.Namespace) -> None:
    """Make or check packs.

    Raises:
        UserError: conflicting arguments, or stickers that do not fit; whatever can be written is written.
    """
    if args.list:
        print(listed())
        return
    if args.check is not None:
        if args.stickers or args.platforms or args.to:
            raise UserError("--check cannot be combined with stickers, --for or --to: give only the folder to check")
        check(args.check, args.quiet)
        return
    if not args.stickers or not args.platforms or args.to is None:
        raise UserError("stickers, --for PLATFORM... and --to FOLDER must all be given (or --check FOLDER, or --list)")
    make(args)


def make(args: argparse.Namespace) -> None:
    """Make the packs, check them, and print one line each."""
    from glassine.pipelines.pack.check import check_packs
    from glassine.pipelines.pack.writing import Item, PackError, make_packs

    paths = sticker_files(args.stickers)
    if len(paths) > 1000:
        raise UserError(f"a pack must have at most 1000 stickers, got {len(paths)}")
    labels = labels_of(paths, args.emoji)
    console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    settings = pack_settings(args, paths)
    items = [Item(path, label) for path, label in zip(paths, labels, strict=True)]
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("reading", total=None)

            def tell(done: int, total: int, what: str) -> None:
                progress.update(bar, completed=done, total=total, description=what)

            report = make_packs(items, args.platforms, args.to, settings, tell)
    except PackError as error:
        for problem in error.problems:
            print(f"glassine: {printable(problem)}", file=sys.stderr)
        raise UserError(f"{len(error.problems)} limits are not met, see above; nothing was written") from error
    for key, problems in report["failed"].items():
        for problem in problems:
            print(f"glassine: {key}: {printable(problem)}", file=sys.stderr)
    wrong = [f"{found.platform}: {problem}" for found in check_packs(args.to) for problem in found.problems]
    for problem in wrong:
        print(f"glassine: {printable(problem)}", file=sys.stderr)
    for key, pack in report["platforms"].items():
        largest = max(row["bytes"] for row in pack["files"])
        what = f"{pack['stickers']} {pack['kind']} stickers, the largest {largest / 1000:.0f} KB"
        console.print(f"{args.to / key}: {what}", soft_wrap=True)
    if wrong:
        raise UserError(f"{len(wrong)} limits are not met in {args.to}, see above: please report this")
    if report["failed"]:
        raise UserError(f"{', '.join(report['failed'])} failed, see above; the others are in {args.to}")


def pack_settings(args: argparse.Namespace, paths: list[Path]) -> "PackSettings":
    """The settings in `args`.

    Raises:
        UserError: a value out of range, or a cover that is not one of the stickers.
    """
    from glassine.pipelines.pack.canvas import Placing
    from glassine.pipelines.pack.encoders import OneBit
    from glassine.pipelines.pack.fitting import FitSettings
    from glassine.pipelines.pack.manifests import PackName
    from glassine.pipelines.pack.writing import PackSettings

    cover = 0
    if args.cover is not None:
        found = [number for number, path in enumerate(paths) if args.cover in (path.name, path.stem, str(path))]
        if not found:
            raise UserError(f"cover must be one of the stickers, got {args.cover!r}")
        cover = found[0]
    matte = None if args.matte is None else color(args.matte, "matte")
    fit = FitSettings(
        Placing(not args.no_crop, surround(args)),
        OneBit(matte, args.alpha_threshold),
        tuple(part.strip() for part in args.order.split(",") if part.strip()),
        args.too_long,
    )
    return PackSettings(fit, PackName(args.name, args.author), args.mixed, cover, args.zip)


def sticker_files(given: list[Path]) -> list[Path]:
    """The files; those in folders are sorted by name.

    Raises:
        UserError: a folder without files.
    """
    paths: list[Path] = []
    for path in given:
        if not path.is_dir():
            paths.append(path)
            continue
        inside = sorted(part for part in path.iterdir() if part.is_file() and not part.name.startswith("."))
        if not inside:
            raise UserError(f"folder {path} must hold stickers, got none")
        paths += inside
    return paths


def labels_of(paths: list[Path], table: Path | None) -> "list[Labels]":
    """Each sticker's labels from the table.

    Raises:
        UserError: a table that cannot be read, or a line that matches no sticker.
    """
    from glassine.pipelines.pack.manifests import Labels, read_labels

    known = {} if table is None else read_labels(table)
    unknown = known.keys() - {path.name for path in paths} - {path.stem for path in paths}
    if unknown:
        raise UserError(f"{table}: every line must name one of the stickers, got {printable(sorted(unknown)[0])!r}")
    return [known.get(path.name) or known.get(path.stem) or Labels() for path in paths]


def check(folder: Path, quiet: bool) -> None:
    """Check packs and print the problems.

    Raises:
        UserError: there are any.
    """
    from glassine.pipelines.pack.check import check_packs

    found = check_packs(folder)
    for pack in found:
        for problem in pack.problems:
            print(f"glassine: {pack.place}: {printable(problem)}", file=sys.stderr)
        if not quiet and not pack.problems:
            print(f"{pack.place}: {pack.stickers} {pack.kind} stickers, within all limits")
    wrong = sum(len(pack.problems) for pack in found)
    if wrong:
        raise UserError(f"{wrong} problems in {folder}, see above")


def listed() -> str:
    """The platforms, one per line."""
    from glassine.pipelines.pack.limits import platforms

    lines = []
    for key, platform in platforms().items():
        for kind, limits in platform.kinds.items():
            size = f"{limits.canvas[0]}x{limits.canvas[1]}"
            length = f", at most {limits.max_ms / 1000:g} s" if limits.max_ms else ""
            lines.append(f"{key:15} {kind:9} {limits.format:5} {size:8} {limits.bytes / 1000:g} KB{length}")
    return "\n".join(lines)

"""`glassine pack`: stickers in, packs ready to upload out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from glassine.utils.errors import UserError, printable

if TYPE_CHECKING:
    from glassine.pipelines.outline import Surround
    from glassine.pipelines.pack.manifests import Labels
    from glassine.pipelines.pack.writing import PackSettings

DESCRIPTION = """\
Fit stickers to the limits of chat platforms and write for each a folder that is ready to upload, with covers, manifest
and contact sheet, and a report of what was done. Reads what `glassine cutout` reads; Lottie and TGS are drawn.
Nothing is uploaded: docs/packs.md says how you do that."""
EPILOG = """\
What loses nothing comes first: the crop to what is seen, repeated frames merged, palettes. Then frames, quality and
size are lowered in the order of --order, in three rounds, until the file is small enough. The speed never changes
unasked."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "pack",
        help="make sticker packs that are ready to upload",
        usage="glassine pack STICKER... --for PLATFORM... --to FOLDER [options]\n       glassine pack --check FOLDER",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stickers", type=Path, nargs="*", metavar="STICKER", help="files or folders of files, in order")
    parser.add_argument("--for", dest="platforms", nargs="+", metavar="PLATFORM", help="see --list")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="new folder for all of it")
    parser.add_argument("--name", default="Stickers", help="of the pack (default: %(default)s)")
    parser.add_argument("--author", default="glassine", help="of the pack (default: %(default)s)")
    parser.add_argument("--emoji", type=Path, metavar="MAP.csv", help="lines of file,emoji or file,emoji,text")
    parser.add_argument("--cover", metavar="STICKER", help="the sticker that stands for the pack (default: the first)")
    parser.add_argument(
        "--order",
        default="frames,quality,size",
        help="what is lowered first where bytes are short; what is left out is kept (default: %(default)s)",
    )
    parser.add_argument(
        "--too-long",
        choices=["refuse", "trim", "speed-up"],
        default="refuse",
        help="a sticker that lasts longer than a platform takes (default: %(default)s)",
    )
    parser.add_argument(
        "--mixed",
        choices=["refuse", "still"],
        default="refuse",
        help="where a platform takes nothing animated, or not beside still ones: say so, or use each sticker's first "
        "frame (default: %(default)s)",
    )
    parser.add_argument("--no-crop", action="store_true", help="keep each sticker's own canvas: all in one scale")
    add_surround_arguments(parser, "pixels of a canvas of 512")
    parser.add_argument(
        "--matte", metavar="COLOR", help="GIF: color that soft edges are laid on before they become opaque"
    )
    parser.add_argument(
        "--alpha-threshold",
        type=int,
        metavar="1..255",
        help="GIF: alpha from which a pixel stays (128; with --matte 24)",
    )
    parser.add_argument("--zip", action="store_true", help="a zip for each platform instead of a folder")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="only check packs that were written before")
    parser.add_argument("--list", action="store_true", help="show the platforms and their limits")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def add_surround_arguments(parser: argparse.ArgumentParser, unit: str) -> None:
    """Add what draws a border and a shadow under stickers; `unit` says what its numbers are counted in."""
    parser.add_argument("--outline", type=float, default=0.0, metavar="WIDTH", help=f"die-cut border, in {unit}")
    parser.add_argument(
        "--outline-color", default="white", metavar="COLOR", help="of the border (default: %(default)s)"
    )
    parser.add_argument(
        "--shadow", type=float, default=0.0, metavar="0..1", help="drop shadow, its opacity (default: none)"
    )


def surround(args: argparse.Namespace) -> "Surround":
    """The border and shadow that `args` ask for.

    Raises:
        UserError: numbers out of range, or no color.
    """
    from glassine.pipelines.outline import Surround

    return Surround(args.outline, color(args.outline_color, "outline color"), args.shadow)


def color(text: str, what: str) -> tuple[int, int, int]:
    """Red, green, blue of a CSS name or '#rrggbb'.

    Raises:
        UserError: it is none.
    """
    from PIL import ImageColor

    for name in (text, f"#{text}"):
        try:
            return ImageColor.getcolor(name, "RGB")  # type: ignore[return-value]
        except ValueError:
            continue
    raise UserError(f"{what} must be a CSS color name or '#rrggbb', got {text!r}")


def run(args: argparse.Namespace) -> None:
    """Make or check packs.

    Raises:
        UserError: arguments, files or limits that do not go together; what could be written is written.
    """
    if args.list:
        print(listed())
        return
    if args.check is not None:
        if args.stickers or args.platforms or args.to:
            raise UserError("--check must come alone with the folder to check, got stickers, --for or --to too")
        check(args.check, args.quiet)
        return
    if not args.stickers or not args.platforms or args.to is None:
        raise UserError("stickers, --for PLATFORM... and --to FOLDER must all be given (or --check FOLDER, or --list)")
    make(args)


def make(args: argparse.Namespace) -> None:
    """Make the packs, check them, and print a line for each."""
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
        raise UserError(f"{', '.join(report['failed'])} left out, see above; the others are in {args.to}")


def pack_settings(args: argparse.Namespace, paths: list[Path]) -> "PackSettings":
    """The settings in `args`.

    Raises:
        UserError: a value out of range, or a cover that is no sticker.
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
    """The files, those of folders in order of their names.

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
    """What the table says of each sticker.

    Raises:
        UserError: a table that cannot be read, or a line about no sticker.
    """
    from glassine.pipelines.pack.manifests import Labels, read_labels

    known = {} if table is None else read_labels(table)
    unknown = known.keys() - {path.name for path in paths} - {path.stem for path in paths}
    if unknown:
        raise UserError(f"{table}: every line must be about one of the stickers, got {printable(sorted(unknown)[0])!r}")
    return [known.get(path.name) or known.get(path.stem) or Labels() for path in paths]


def check(folder: Path, quiet: bool) -> None:
    """Check packs and print what is wrong.

    Raises:
        UserError: anything is.
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
        raise UserError(f"{wrong} limits are not met in {folder}, see above")


def listed() -> str:
    """The platforms, a line each."""
    from glassine.pipelines.pack.limits import platforms

    lines = []
    for key, platform in platforms().items():
        for kind, limits in platform.kinds.items():
            size = f"{limits.canvas[0]}x{limits.canvas[1]}"
            length = f", at most {limits.max_ms / 1000:g} s" if limits.max_ms else ""
            lines.append(f"{key:15} {kind:9} {limits.format:5} {size:8} {limits.bytes / 1000:g} KB{length}")
    return "\n".join(lines)

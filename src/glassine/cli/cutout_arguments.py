"""The arguments of `glassine cutout`, and what is checked before anything is read."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glassine.cli.pack import add_surround_arguments
from glassine.data.codecs import is_open_already
from glassine.data.codecs.io import SUFFIXES, WRITABLE
from glassine.utils.errors import UserError
from glassine.utils.files import keep_input

if TYPE_CHECKING:
    from glassine.pipelines.unknown_background import Subject

DESCRIPTION = f"""\
Make an opaque sticker transparent. The background may be one color, a gradient, two colors, a painted checkerboard, or
a still picture behind moving ones; it may flash and fade, with a frame line or bars around it. Reads GIF, WebP, PNG,
APNG, AVIF, HEIC, JPEG, WebM, MKV, MOV, MP4, Lottie, SVG, and folders or zips of PNGs, of any size and length; writes
what OUT's suffix says: {WRITABLE}. `-` is
standard input or output. Durations and loop count are kept. Colors are the input's own, brought to sRGB where a profile
says that they are something else."""
EPILOG = """\
An input that is transparent already is kept as it is. With --force its frames are laid on the background and cut out;
the result is nowhere more visible than the input was. Where little of the border fits any background, or nothing or
everything stands out from it, a warning says so; --report writes what was found and how sure it is."""


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "cutout",
        help="make an opaque sticker transparent",
        usage="glassine cutout [options] IN OUT\n       glassine cutout [options] IN [IN ...] --to FOLDER",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="input and output, or inputs with --to")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="write each result there, under the input's name")
    parser.add_argument("--suffix", default=".webp", help="output format with --to (default: %(default)s)")
    parser.add_argument(
        "--format",
        choices=[suffix.removeprefix(".") for suffix in SUFFIXES if suffix],
        help="output format when OUT is - or another pipe (default: webp)",
    )
    parser.add_argument(
        "--background",
        default="auto",
        metavar="COLOR",
        help="auto (found on the border of the frames), white, gray, any CSS color name, or '#rrggbb', with or "
        "without the hash (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        choices=["auto", "closed-form", "network"],
        default="auto",
        help="closed-form needs no network; network is ILDiff on a flat background; auto takes the better one "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--opacity",
        choices=["auto", "opaque", "translucent"],
        default="auto",
        help="opaque: everything but edges is opaque; translucent: as see-through as the picture allows, for glass, "
        "smoke and glows (default: %(default)s, which is opaque in closed form)",
    )
    parser.add_argument(
        "--subject",
        metavar="X,Y|L,T,R,B",
        help="a pixel of the sticker, or the box around it, for backgrounds that are photographs or clutter",
    )
    parser.add_argument(
        "--prior",
        metavar="FILE|FOLDER|NAME",
        help="a network that finds the sticker on photographs or clutter: BiRefNet, IS-Net or U2-Net (.onnx), or SAM "
        "or SAM 2 (Meta's .pth or .pt), which need --subject; glassine:tiny-sam ships",
    )
    parser.add_argument("--force", action="store_true", help="cut out a sticker that is transparent already")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write what was found and how sure it is")
    parser.add_argument("--preview", type=Path, metavar="STRIP.png", help="also draw a few frames, before and after")
    parser.add_argument(
        "--weights",
        default="glassine:tiny-ildiff",
        metavar="NAME|FOLDER",
        help="weights that ship with glassine, or a folder from `glassine export weights` (default: %(default)s)",
    )
    parser.add_argument(
        "--decoder-input",
        choices=["reconstruction", "input"],
        help="input of the transparency decoder: the VAE's reconstruction, as in the papers, or the input itself "
        "(default: what the weights were trained with)",
    )
    parser.add_argument(
        "--tta",
        choices=["none", "hflip", "full"],
        default="none",
        help="test-time augmentation: 1 pass, the mean of 2, or the median of 8 (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        default=256,
        metavar="PIXELS",
        help="longer side of the network's input; edges are then sharpened at full size (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument(
        "--chunk", type=int, default=32, metavar="FRAMES", help="frames per forward pass; fewer: less memory, more time"
    )
    parser.add_argument("--quality", type=int, help="0 to 100 for WebP, AVIF and WebM (default: lossless WebP, 90, 75)")
    parser.add_argument(
        "--whole-canvas",
        action="store_true",
        help="WebP and APNG: store full frames, for programs that composite partial frames incorrectly",
    )
    parser.add_argument(
        "--alpha-threshold",
        type=int,
        default=128,
        metavar="1..255",
        help="GIF: pixels with at least this alpha become opaque, all others transparent (default: %(default)s)",
    )
    parser.add_argument(
        "--alpha-mode",
        choices=["straight", "premultiplied"],
        default="straight",
        help="how the input stores colors under its own alpha; some editors export premultiplied MOV "
        "(default: %(default)s)",
    )
    add_surround_arguments(parser, "pixels; the canvas grows to fit")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def plan(
    paths: list[Path], folder: Path | None, suffix: str, preview: Path | None, kind: str | None = None
) -> list[tuple[Path, Path]]:
    """Pairs of input and output.

    Raises:
        UserError: the paths do not define inputs and outputs.
    """
    if preview is not None and preview.suffix.lower() != ".png":
        raise UserError(f"--preview must be a .png file, got {preview}")
    if folder is None:
        if len(paths) != 2:
            got = ", ".join(map(str, paths))
            raise UserError(f"paths must be IN and OUT, or inputs with --to FOLDER, got {got}")
        if str(paths[0]) != "-":
            keep_input(paths[0], paths[1], preview)
        if preview is not None and preview.resolve() == paths[1].resolve():
            raise UserError(f"--preview must not be the output file, got {preview}")
        if kind is not None and not is_open_already(paths[1]):
            raise UserError(
                f"--format is for pipes, got {kind} for {paths[1]}, whose suffix is the format: leave --format out"
            )
        return [(paths[0], paths[1])]
    if preview is not None:
        raise UserError("--preview needs a single input, got --to: leave one of them out")
    if kind is not None:
        raise UserError(f"--format is for pipes and cannot be combined with --to: give --suffix {kind}")
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist; create it first")
    ending = f".{suffix.removeprefix('.')}" if suffix else ""
    stems = ["stdin" if str(path) == "-" else path.stem for path in paths]
    jobs = [(path, folder / f"{stem}{ending}") for path, stem in zip(paths, stems, strict=True)]
    inputs = {path.resolve() for path in paths}
    over = [target for _, target in jobs if target.resolve() in inputs]
    if over:
        raise UserError(f"{over[0]} is an input and would be overwritten; choose another --to or --suffix")
    twice = [target for number, (_, target) in enumerate(jobs) if target in [other for _, other in jobs[:number]]]
    if twice:
        raise UserError(f"two inputs would both be written to {twice[0]}; rename one, or use separate folders")
    return jobs


def parse_subject(text: str | None, width: int, height: int) -> "Subject | None":
    """A point or a box in pixels of a picture of that size.

    Raises:
        UserError: it is neither, or outside the picture.
    """
    from glassine.pipelines.unknown_background import Subject

    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4):
        raise UserError(f"--subject must be X,Y or LEFT,TOP,RIGHT,BOTTOM in pixels, got {text!r}")
    x, y = (number / side for number, side in zip(numbers[:2], (width, height), strict=True))
    right, bottom = (numbers[2] / width, numbers[3] / height) if len(numbers) == 4 else (None, None)
    inside = 0 <= x < 1 and 0 <= y < 1
    if right is not None and bottom is not None:
        inside = inside and x < right <= 1 and y < bottom <= 1
    if not inside:
        raise UserError(f"--subject must lie within the picture of {width} x {height} pixels, got {text!r}")
    return Subject(x, y, right, bottom)


def check_report(report: Path | None, others: list[Path], preview: Path | None) -> None:
    """See that the report has a file of its own.

    Raises:
        UserError: it would be written over another file of this run.
    """
    if report is None:
        return
    if report.suffix.lower() != ".json":
        raise UserError(f"--report must be a .json file, got {report}")
    taken = [path for path in [*others, *([preview] if preview is not None else [])] if str(path) != "-"]
    if report.resolve() in {path.resolve() for path in taken}:
        raise UserError(f"--report must be another file than the inputs and results, got {report}")

"""`glassine cutout`: an opaque sticker in, a transparent one out."""

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from glassine.cli.pack import add_surround_arguments, surround
from glassine.data.codecs import (
    StickerReader,
    StickerWriter,
    create_sticker,
    is_open_already,
    open_sticker,
    output_path,
    shown_name,
)
from glassine.data.codecs.io import SUFFIXES, WRITABLE
from glassine.utils.devices import give_back_freed_memory
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, keep_input
from glassine.utils.progress import progress_bar

if TYPE_CHECKING:
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.preview import PreviewStrip
    from glassine.pipelines.subject_priors import SubjectPrior
    from glassine.pipelines.unknown_background import Subject

Frame = NDArray[np.uint8]
_HUGE_PIXELS = 2**22
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


def run(args: argparse.Namespace) -> None:
    """Cut out one file, or several into a folder.

    Raises:
        UserError: an invalid path, setting or file. With `--to`, the remaining files are still processed.
    """
    jobs = plan(args.paths, args.to, args.suffix, args.preview, args.format)
    if args.prior is not None and args.method == "network":
        raise UserError(
            "--prior is for backgrounds that fit no model, and --method network for flat ones: leave one out"
        )
    if args.prior is not None and args.background != "auto":
        raise UserError("--prior is for backgrounds that fit no model, --background names one: leave one out")
    check_report(args.report, [path for job in jobs for path in job], args.preview)
    tool = Cutter(args)
    if args.to is None:
        tool.cut(*jobs[0])
        return
    failed = 0
    for source, target in jobs:
        try:
            tool.cut(source, target)
        except UserError as error:
            failed += 1
            print(f"glassine: {error}", file=sys.stderr)
    if failed:
        raise UserError(f"{failed} of {len(jobs)} files could not be cut out, see above; the others are in {args.to}")


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


class Cutter:
    """Cuts out files one after the other; the weights are loaded once a first file turns out to be readable."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._console = Console(stderr=True, quiet=args.quiet, highlight=False, markup=False, emoji=False)
        self._pipeline: CutoutPipeline | None = None
        self._prior: SubjectPrior | None = None
        self._surround = surround(args)
        self._reports: list[dict[str, object]] = []

    def cut(self, source: Path, target: Path) -> None:
        """Write `target` and the optional preview; on an error, neither."""
        started = time.perf_counter()
        name = shown_name(source)
        with ExitStack() as stack:
            reader = stack.enter_context(open_sticker(source, alpha_mode=self._args.alpha_mode))
            if reader.width * reader.height > _HUGE_PIXELS:
                give_back_freed_memory()
            for note in reader.notes:
                self._console.print(f"{name}: {note}", soft_wrap=True)
            # the preview's block is the outer one, so that the preview is published only after the result
            preview = stack.enter_context(atomic_path(self._args.preview)) if self._args.preview else None
            file = stack.enter_context(output_path(target, self._args.format or "webp"))
            room = 2 * self._surround.room
            size = reader.width + room, reader.height + room
            how = {
                "quality": self._args.quality,
                "alpha_threshold": self._args.alpha_threshold,
                "whole_canvas": self._args.whole_canvas,
            }
            writer = stack.enter_context(create_sticker(file, *size, reader.loop, **how))
            self._write(reader, name, writer, preview)
        for note in writer.notes:
            self._console.print(f"{target}: {note}", soft_wrap=True)
        self._tell(name, target)
        frames = f"{writer.num_frames} frames" if writer.num_frames != 1 else "1 frame"
        seconds = time.perf_counter() - started
        self._console.print(f"{target}: {frames} of {size[0]}x{size[1]} in {seconds:.1f} s", soft_wrap=True)

    def _tell(self, name: str, target: Path) -> None:
        """Say what the user should look at, and write the report so far."""
        assert self._pipeline is not None
        report = self._pipeline.report
        for warning in report.warnings:
            # not the console's: a warning is said with --quiet, too
            print(f"glassine: {name}: {warning}", file=sys.stderr)
        if self._args.report is not None:
            self._reports.append({"input": name, "output": str(target), **report.as_json()})
            with atomic_path(self._args.report) as file:
                file.write_text(json.dumps({"files": self._reports}, indent=2) + "\n", encoding="utf-8")

    def _write(self, reader: StickerReader, name: str, writer: StickerWriter, preview: Path | None) -> None:
        # imported late: torch takes seconds, which --help and mistyped file names should not cost
        from glassine.pipelines.backgrounds import parse_background
        from glassine.pipelines.outline import surrounded
        from glassine.pipelines.preview import PreviewStrip

        settings = {
            "background": parse_background(self._args.background),
            "resolution": self._args.resolution,
            "chunk": self._args.chunk,
            "pixel_source": self._args.decoder_input,
            "tta": self._args.tta,
            "method": self._args.method,
            "opacity": self._args.opacity,
            "force": self._args.force,
            "subject": parse_subject(self._args.subject, reader.width, reader.height),
            "prior": self._load_prior(),
        }
        pipeline = self._load()
        strip = PreviewStrip() if preview is not None else None
        waiting: deque[Frame] = deque()  # thumbnails of frames still in the pipeline
        with progress_bar(self._console, name, reader.num_frames, transient=True, only_terminal=True) as advance:
            for frame, duration in pipeline.stream(self._watched(reader, strip, waiting), **settings):
                result = surrounded(frame, self._surround)
                writer.append(result, duration)
                if strip is not None:  # result with the input's alpha applied
                    room = self._surround.room
                    strip.add(waiting.popleft(), result[room : room + len(frame), room : room + frame.shape[1]])
                del frame, result  # frees them while the next one is computed
                advance()
        if preview is not None and strip is not None and writer.num_frames:
            strip.picture().save(preview)

    def _watched(
        self, reader: StickerReader, strip: "PreviewStrip | None", waiting: deque[Frame]
    ) -> Iterator[tuple[Frame, int]]:
        def watch(pair: tuple[Frame, int]) -> tuple[Frame, int]:
            if strip is not None:
                waiting.append(strip.thumbnail(pair[0]))
            return pair

        return map(watch, reader)  # a loop would keep a frame alive until the next one arrives

    def _load_prior(self) -> "SubjectPrior | None":
        if self._prior is None and self._args.prior is not None:
            from glassine.pipelines.subject_priors import load_prior

            self._prior = load_prior(self._args.prior, self._args.device)
        return self._prior

    def _load(self) -> "CutoutPipeline":
        from glassine.pipelines.cutout import CutoutPipeline

        if self._pipeline is None:
            self._pipeline = CutoutPipeline.from_pretrained(self._args.weights, self._args.device)
        return self._pipeline

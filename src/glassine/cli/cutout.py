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

from glassine.cli.cutout_arguments import add_parser, check_report, parse_subject, plan
from glassine.cli.pack import surround
from glassine.data.codecs import (
    StickerReader,
    StickerWriter,
    create_sticker,
    open_sticker,
    output_path,
    shown_name,
)
from glassine.utils.devices import give_back_freed_memory
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path
from glassine.utils.progress import progress_bar

if TYPE_CHECKING:
    from glassine.pipelines.cutout import CutoutPipeline
    from glassine.pipelines.preview import PreviewStrip
    from glassine.pipelines.subject_priors import SubjectPrior

__all__ = ["add_parser", "run"]

Frame = NDArray[np.uint8]
_HUGE_PIXELS = 2**22


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

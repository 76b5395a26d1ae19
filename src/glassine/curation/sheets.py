"""One picture a reason: what was left out, so that a person sees at once whether a threshold is right."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.curation.blocks import Row, read_rows
from glassine.curation.crawl import Opened
from glassine.curation.ingest import read_again
from glassine.curation.prints import moments
from glassine.data.alpha import composite_frames
from glassine.data.shards import resize_frames
from glassine.utils.colors import checkerboard
from glassine.utils.errors import UserError, printable
from glassine.utils.files import atomic_path

_TILE, _COLUMNS, _MOST = 112, 8, 24
_PAPER, _INK = (250, 250, 249), (28, 28, 30)


def write_sheets(dataset: Path, crawl: Path, unpack: Path) -> list[Path]:
    """Draw `sheets/REASON.png` for each reason in `rejected.jsonl`: stickers over their file names and scores.

    Args:
        dataset: where to.
        crawl: where the files are.
        unpack: where compressed tars were unpacked to.
    """
    by_reason: dict[str, list[Row]] = {}
    for row in read_rows(dataset / "rejected.jsonl"):
        part = by_reason.setdefault(row["reason"], [])
        if len(part) < _MOST and row["reason"] not in ("gone", "crashed"):
            part.append(row)
    folder = dataset / "sheets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths, opened = [], Opened(crawl, unpack)
    for reason, rows in sorted(by_reason.items()):
        if rows:
            path = folder / f"{reason.replace(' ', '_')}.png"
            with atomic_path(path) as temporary:
                rejection_sheet(rows, reason, opened).save(temporary)
            paths.append(path)
    return paths


def rejection_sheet(rows: list[Row], reason: str, opened: Opened) -> Image.Image:
    """The middle frame of each sticker on a checkerboard, with its name and score."""
    lines = -(-len(rows) // _COLUMNS)
    step = _TILE + 40
    sheet = Image.new("RGB", (_COLUMNS * (_TILE + 10) + 10, lines * step + 10), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    board = checkerboard(_TILE, _TILE)
    for number, row in enumerate(rows):
        left, top = 10 + number % _COLUMNS * (_TILE + 10), 10 + number // _COLUMNS * step
        try:
            sticker = read_again(opened, row, _TILE)
            place = moments(sticker.durations)[0]
            shown = composite_frames(resize_frames(sticker.frames[[place]], _TILE, _TILE, keep_shape=True)[0], board)
            sheet.paste(Image.fromarray(np.ascontiguousarray(shown)), (left, top))
        except (UserError, OSError) as error:
            draw.text((left, top), printable(str(error))[:18], _INK, font)
        said = row.get("ocr") or f"{row['scores'][reason]:.3g}"
        draw.text((left, top + _TILE + 2), printable(str(row["at"]))[-18:], _INK, font)
        draw.text((left, top + _TILE + 16), said[:18], _INK, font)
    return sheet

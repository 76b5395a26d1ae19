"""Report of a pack: differences of each file to its source, tables, and a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.data.alpha import composite_frames
from glassine.data.codecs import decode_bytes
from glassine.data.shards import resize_frames
from glassine.data.sticker import Sticker
from glassine.pipelines.outline import premultiplied


def as_markdown(report: dict[str, Any]) -> str:
    """`report.json` as Markdown: one table per platform."""
    lines = [
        f"# {report['name']}",
        "",
        f"By {report['author']}. Made by glassine {report['glassine']}. Reduced to save bytes: "
        f"{', '.join(report['order']) or 'nothing'}, in this order, in three rounds.",
        "",
        "PSNR is measured at the written size, over black and over white. *In time* includes dropped frames. "
        "Alpha is the mean error in 1/255.",
    ]
    for key, pack in report["platforms"].items():
        lines += ["", f"## {pack['title']} (`{key}`): {pack['stickers']} {pack['kind']} stickers", ""]
        lines += ["| file | from | KB of | pixels | frames | s | PSNR | in time | alpha | done |", "|---" * 10 + "|"]
        for row in pack["files"]:
            lines.append(
                f"| {row['file']} | {_cell(row['from'])} | {row['bytes'] / 1000:.1f} of {row['most_bytes'] / 1000:g} "
                f"| {row['width']}x{row['height']} | {row['frames']} | {row['ms'] / 1000:g} | {_db(row['psnr'])} "
                f"| {_db(row['psnr_in_time'])} | {255 * row['alpha_error']:.2f} | {_cell('; '.join(row['done']))} |"
            )
        where = "; ".join(map(_source, pack["limits_from"].values()))
        lines += ["", f"Limits from: {where}"]
    for key, problems in report["failed"].items():
        lines += ["", f"## `{key}`: left out", "", *(f"- {_cell(problem)}" for problem in problems)]
    return "\n".join(lines) + "\n"


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"


def _source(source: dict[str, str]) -> str:
    doubt = "" if source["confirmed"] == "True" else "; not confirmed on the platform's own page"
    return f"{source['where']} ({source['kind']}, {source['read']}{doubt})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


LIGHT, DARK = (239, 234, 226), (17, 27, 33)
_INK = {LIGHT: (60, 60, 60), DARK: (190, 195, 200)}
_GAP, _LABEL = 6, 14


def contact_sheet(files: Sequence[tuple[str, bytes]], tile: int = 96, columns: int = 4) -> Image.Image:
    """Draw a contact sheet of a written pack.

    Args:
        files: name and content of each sticker.
        tile: side of a tile in pixels; larger stickers are scaled down.
        columns: stickers per row. Each shows its first frame and one from the middle.

    Returns:
        An RGB image: the pack on light, and below it on dark.
    """
    columns = min(columns, len(files))
    rows = -(-len(files) // columns)
    cell = 2 * tile + 3 * _GAP
    width, height = columns * cell + _GAP, rows * (tile + _LABEL + _GAP) + _GAP
    sheet = Image.new("RGB", (width, 2 * height))
    font = ImageFont.load_default(10)
    for number, color in enumerate((LIGHT, DARK)):
        sheet.paste(color, (0, number * height, width, (number + 1) * height))
    draw = ImageDraw.Draw(sheet)
    for number, (name, data) in enumerate(files):
        sticker = decode_bytes(data, name)
        chosen = sticker.frames[[0, sticker.num_frames // 2]]
        scale = min(1.0, tile / max(sticker.height, sticker.width))
        size = (max(1, round(sticker.height * scale)), max(1, round(sticker.width * scale)))
        small = resize_frames(chosen, *size)
        left, top = _GAP + number % columns * cell, _GAP + number // columns * (tile + _LABEL + _GAP)
        for half, color in enumerate((LIGHT, DARK)):
            for place, frame in enumerate(small):
                x = left + place * (tile + _GAP) + (tile - size[1]) // 2
                y = top + half * height + (tile - size[0]) // 2
                sheet.paste(Image.fromarray(np.asarray(composite_frames(frame, color))), (x, y))
            text = f"{name}  {len(data) / 1000:.0f} KB"
            draw.text((left, top + half * height + tile), text[:32], _INK[color], font)
    return sheet


@dataclass(frozen=True)
class Fidelity:
    """Errors of a written file against its source on the same canvas.

    Attributes:
        psnr: PSNR of the written frames over black and white, in dB; None if there is no error.
        psnr_in_time: the same over the source's time, so that dropped frames count.
        alpha_error: mean absolute alpha difference of the written frames, in [0, 1].
    """

    psnr: float | None
    psnr_in_time: float | None
    alpha_error: float


def fidelity(data: bytes, source: Sticker) -> Fidelity:
    """Decode `data` and compare it with `source`, which has the same frame size and duration."""
    written = decode_bytes(data)
    starts = np.cumsum((0, *written.durations[:-1])) + 0.5  # ms
    ends = np.cumsum(source.durations)
    meant = np.searchsorted(ends, starts, side="right").clip(max=source.num_frames - 1)
    pairs = list(zip(range(written.num_frames), meant.tolist(), strict=True))
    seen = {pair: _errors(written.frames[pair[0]], source.frames[pair[1]]) for pair in pairs}
    middles = ends - np.array(source.durations) / 2
    shown = np.searchsorted(np.cumsum(written.durations), middles, side="right").clip(max=written.num_frames - 1)
    in_time = 0.0
    for number, (frame, duration) in enumerate(zip(shown.tolist(), source.durations, strict=True)):
        pair = (frame, number)
        errors = seen[pair] if pair in seen else _errors(written.frames[frame], source.frames[number])
        in_time += errors[0] * duration / source.duration_ms
    mean = float(np.mean([errors[0] for errors in seen.values()]))
    return Fidelity(decibels(mean), decibels(in_time), float(np.mean([errors[1] for errors in seen.values()])))


def decibels(squared_error: float) -> float | None:
    """PSNR of values in [0, 1]; None if there is no error."""
    return round(-10 * math.log10(squared_error), 2) if squared_error > 0 else None


def _errors(written: np.ndarray, meant: np.ndarray) -> tuple[float, float]:
    """Mean squared error over black and over white, and mean absolute error of alpha, of two frames `h w 4` uint8."""
    if np.array_equal(written, meant):
        return 0.0, 0.0
    gap = premultiplied(written) - premultiplied(meant)  # h w 4
    alpha = gap[..., 3:]
    over_black, over_white = gap[..., :3], gap[..., :3] - alpha
    return float((np.mean(over_black**2) + np.mean(over_white**2)) / 2), float(np.abs(alpha).mean())

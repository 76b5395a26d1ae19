"""A sheet of cut-outs to look at: input and result on the backgrounds of chats, many styles and conditions."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glassine.bench.gallery import laid_over, premultiplied
from glassine.bench.style_cases import CONDITIONS, Case, show
from glassine.bench.styles import psnr
from glassine.pipelines.cutout import CutoutPipeline
from glassine.utils.files import atomic_path

TILE, GAP, CAPTION, ACROSS = 128, 6, 18, 3  # pixels; stickers in a row
PAPER, INK = (250, 250, 248), (28, 28, 30)
LIGHT, DARK, BLUE, BEIGE = (255, 255, 255), (23, 33, 43), (142, 182, 217), (229, 221, 213)


def chat_backgrounds(side: int = TILE) -> list[NDArray[np.uint8]]:
    """White, dark, blue and a beige pattern: `side side 3` each."""
    pictures = [np.full((side, side, 3), color, np.uint8) for color in (LIGHT, DARK, BLUE, BEIGE)]
    pattern = Image.fromarray(pictures[3])
    draw = ImageDraw.Draw(pattern)
    step = 26
    for row in range(-1, side // step + 1):
        for column in range(-1, side // step + 1):
            x, y = column * step + (row % 2) * step // 2, row * step
            shape = (row * 3 + column) % 3
            box = (x + 4, y + 4, x + 16, y + 16)
            color = (214, 205, 196)
            if shape == 0:
                draw.ellipse(box, outline=color, width=2)
            elif shape == 1:
                draw.rectangle(box, outline=color, width=2)
            else:
                draw.line((box[0], box[3], (box[0] + box[2]) // 2, box[1], box[2], box[3]), fill=color, width=2)
    pictures[3] = np.asarray(pattern)
    return pictures


def draw_styles(
    cases: Sequence[Case],
    path: Path,
    conditions: Sequence[str] | None = None,
    pipeline: CutoutPipeline | None = None,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write a PNG: for each case the input, and the cut-out's first frame on four chat backgrounds.

    Args:
        cases: stickers; each gets one condition, in turn.
        path: of the PNG.
        conditions: of `style_cases.CONDITIONS`; None for all.
        pipeline: cuts out; None for the shipped weights.
        advance: called after each case.
    """
    names = list(CONDITIONS if conditions is None else conditions)
    pipeline = pipeline or CutoutPipeline.from_pretrained(device="cpu")
    behind = chat_backgrounds()
    width = (1 + len(behind)) * (TILE + GAP) + GAP
    rows = -(-len(cases) // ACROSS)
    page = Image.new("RGB", (ACROSS * (width + GAP), rows * (TILE + CAPTION + 2 * GAP)), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for number, case in enumerate(cases):
        name = names[number % len(names)]
        opaque = show(case, name)
        result = np.stack([frame for frame, _ in pipeline.stream((frame, 40) for frame in opaque)])
        left, top = (number % ACROSS) * (width + GAP) + GAP, number // ACROSS * (TILE + CAPTION + 2 * GAP) + GAP
        tiles = [_small(opaque[0])[..., :3], *(laid_over(_small(result[0]), picture) for picture in behind)]
        for column, tile in enumerate(tiles):
            page.paste(Image.fromarray(tile), (left + column * (TILE + GAP), top))
        quality = psnr(result[..., 3], case.frames[..., 3])
        said = f"{case.style}, {CONDITIONS[name]}: {quality:.0f} dB, {pipeline.report.method}"
        draw.text((left, top + TILE + 2), said, INK, font)
        advance()
    with atomic_path(path) as file:
        page.save(file, "PNG")


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`h w 4` as a premultiplied tile."""
    return np.asarray(cv2.resize(premultiplied(frame), (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)

"""One picture that shows what is in a shard folder."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.checkerboard import checkerboard
from glassine.data.alpha import composite_frames
from glassine.data.frame_sampling import sample_frames

from .info import StickerInfo
from .reader import StickerShards
from .resample import resize_frames

_PAPER, _INK, _FAINT = (250, 250, 249), (28, 28, 30), (122, 122, 128)
_GAP, _MARGIN = 6, 28
_Font = ImageFont.FreeTypeFont


def contact_sheet(
    shards: StickerShards, rows: np.ndarray, tile: int = 104, frames: int = 4, columns: int = 3
) -> Image.Image:
    """Draw stickers on a checkerboard: some frames of each, evenly spaced in time, over its description and key.

    Args:
        shards: where they are.
        rows: which ones, in this order; damaged ones are drawn as empty cells that say so.
        tile: side of one frame in pixels.
        frames: frames a sticker.
        columns: stickers side by side.

    Returns:
        An RGB image.
    """
    columns = max(1, min(columns, len(rows)))
    large, small = _font(max(11, tile // 7)), _font(max(10, tile // 9))
    cell_width = frames * tile + (frames - 1) * _GAP
    text_height = round((large.size + small.size) * 1.55)
    step_x, step_y = cell_width + _MARGIN, tile + text_height + _MARGIN // 2
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, lines * step_y + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    board = checkerboard(tile, tile)
    for number, row in enumerate(rows.tolist()):
        left, top = _MARGIN + number % columns * step_x, _MARGIN + number // columns * step_y
        durations = shards.durations(row)
        try:
            info = shards.metadata(row)
            pictures = shards.read(row, sample_frames(durations, frames)[0] if len(durations) > 1 else [0])
        except ValueError as error:
            draw.text((left, top), _fitted(f"{shards.key(row)}: damaged ({error})", large, cell_width), _INK, large)
            continue
        for place, picture in enumerate(resize_frames(pictures, tile, tile, keep_shape=True)):
            shown = composite_frames(picture, board)
            sheet.paste(Image.fromarray(shown), (left + place * (tile + _GAP), top))
        _write(draw, info, (left, top + tile + 3), (large, small), cell_width)
    return sheet


def _write(
    draw: ImageDraw.ImageDraw, info: StickerInfo, at: tuple[int, int], fonts: tuple[_Font, _Font], width: int
) -> None:
    large, small = fonts
    length = f"{info.num_frames} frames, {info.fps:.3g}/s" if info.num_frames > 1 else "still"
    facts = f"{info.key}  ·  {info.domain}  ·  {info.split}  ·  {length}  ·  {info.width}x{info.height}"
    draw.text(at, _fitted(info.description or info.key, large, width), _INK, large)
    draw.text((at[0], at[1] + round(large.size * 1.35)), _fitted(facts, small, width), _FAINT, small)


def _font(size: int) -> _Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, _Font)  # Pillow without FreeType would give a bitmap font; its wheels all have it
    return font


def _fitted(text: str, font: _Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

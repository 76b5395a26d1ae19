"""A picture of a pack as it stands in a chat: every sticker on a light and on a dark background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.data.alpha import composite_frames
from glassine.data.codecs import decode_bytes
from glassine.data.shards import resize_frames

LIGHT, DARK = (239, 234, 226), (17, 27, 33)
_INK = {LIGHT: (60, 60, 60), DARK: (190, 195, 200)}
_GAP, _LABEL = 6, 14


def contact_sheet(files: Sequence[tuple[str, bytes]], tile: int = 96, columns: int = 4) -> Image.Image:
    """Draw a pack as written.

    Args:
        files: name and content of each sticker.
        tile: side of a picture in pixels; larger stickers are shrunk.
        columns: stickers side by side. Each shows its first frame and one from the middle.

    Returns:
        An RGB picture: the pack on light, and below it on dark.
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

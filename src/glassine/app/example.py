"""A sticker to try the page with."""

import io
from functools import cache

import numpy as np
from PIL import Image

SEED, NUMBER, FRAMES, SIZE, COLOR, MILLISECONDS = 11, 27, 12, 256, (255, 214, 10), 80


@cache
def draw_example() -> bytes:
    """An opaque GIF on a flat background, out of the procedural renderer."""
    from glassine.data.sources.procedural import ProceduralStickers

    frames = ProceduralStickers(SEED, SIZE, FRAMES, NUMBER + 1)[NUMBER].frames  # f h w 4
    alpha = frames[..., 3:].astype(np.float32) / 255
    flat = (frames[..., :3] * alpha + np.asarray(COLOR, np.float32) * (1 - alpha)).round().astype(np.uint8)
    data = io.BytesIO()
    first, *rest = map(Image.fromarray, flat)
    first.save(data, "GIF", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0)
    return data.getvalue()

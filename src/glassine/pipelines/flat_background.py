"""The one colour that a picture stands on: given by name, or found on the picture's border."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from PIL import ImageColor

from glassine.errors import UserError
from glassine.nn.background import estimate_background

Colour = tuple[int, int, int]
MIDDLE_GRAY: Colour = (128, 128, 128)
NEAR = 16  # of 255: border pixels this close to the estimate are background


def parse_background(text: str) -> Colour | None:
    """A colour from `auto` (None), a CSS name, `#rrggbb` or `#rgb`; the hash may be left out, since shells eat it.

    Raises:
        UserError: none of these.
    """
    name = text.strip().lower()
    if name == "auto":
        return None
    for spelling in (name, f"#{name}"):
        try:
            return ImageColor.getrgb(spelling)[:3]
        except ValueError:
            continue
    raise UserError(f"background {text!r} came; give auto, a colour name such as white or gray, or '#rrggbb'")


def find_background(frames: Sequence[NDArray[np.uint8]]) -> Colour:
    """The colour that most of the border has, over all `frames` (each `h w 4` uint8).

    Border pixels that are not opaque do not vote. When hardly a quarter of the border is opaque, the picture is cut
    out already and any background will do: mid gray.
    """
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

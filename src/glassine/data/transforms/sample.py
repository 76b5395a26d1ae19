"""From a sticker and a background to the tensors that training and scoring see."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..alpha import composite, pad_colour
from .base import Bytes, Degradation, Floats

# LayerDiffuse's 1.2 costs three times as much and differs by about 0.01 where nothing is visible
_PADDING_FACTOR = 2.0
# Below this alpha 8-bit files hold hardly any colour (often black), and the colour around it is the better truth
_COLOUR_COUNTS = 4 / 255


class ClipSample(TypedDict):
    """An opaque clip and its truth; pixels float32 in [0, 1], `f` frames."""

    clip: Tensor  # f 3 h w, what a user brings: on the background, damaged
    foreground: Tensor  # f 3 h w, straight colours, bled into where alpha is (nearly) 0
    alpha: Tensor  # f 1 h w
    background: Tensor  # 3; the mean colour of a background that is a picture
    condition: str  # what was done, as in "own_colour+jpeg"


def sticker_floats(frames: Bytes) -> Floats:
    """Return `f h w 4` uint8 frames as floats in [0, 1]; raises ValueError for any other kind of array."""
    if frames.ndim != 4 or frames.shape[-1] != 4 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; a transform takes uint8 of shape f h w 4")
    return frames.astype(np.float32) / np.float32(255)


def make_sample(
    frames: Floats, background: Floats, degradations: Sequence[Degradation], rng: np.random.Generator, condition: str
) -> ClipSample:
    """Composite, damage, and set the truth beside it.

    Without degradations the clip equals `foreground * alpha + background * (1 - alpha)` rounded to 8 bits.

    Args:
        frames: Straight RGBA `f h w 4` in [0, 1].
        background: `3` or `f h w 3` in [0, 1].
        degradations: All of these are applied, in this order.
        rng: Their randomness.
        condition: Name of what was done.
    """
    truth = rearrange(torch.from_numpy(frames), "f h w c -> f c h w")
    colour, alpha = truth[:, :3].contiguous(), truth[:, 3:].contiguous()  # f 3 h w, f 1 h w
    padded = pad_colour(colour, alpha, factor=_PADDING_FACTOR)
    foreground = torch.where(alpha >= _COLOUR_COUNTS, colour, padded)
    behind = torch.from_numpy(background)
    flat = behind
    if behind.ndim > 1:
        behind, flat = rearrange(behind, "f h w c -> f c h w"), behind.mean((0, 1, 2))
    return ClipSample(
        clip=_damaged(composite(foreground, alpha, behind), degradations, rng),
        foreground=foreground,
        alpha=alpha,
        background=flat,
        condition=condition,
    )


def _damaged(opaque: Tensor, degradations: Sequence[Degradation], rng: np.random.Generator) -> Tensor:
    # Files have 8 bits
    clip = rearrange((opaque * 255 + 0.5).to(torch.uint8), "f c h w -> f h w c").contiguous().numpy()
    for degradation in degradations:
        clip = degradation(clip, rng)
    return rearrange(torch.from_numpy(np.array(clip)), "f h w c -> f c h w").contiguous().float() / 255

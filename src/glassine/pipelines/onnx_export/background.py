"""The flat background's colour in operations that ONNX has; the same as `flat_background.find_background` finds."""

import torch
from einops import rearrange
from torch import Tensor

from glassine.pipelines.flat_background import NEAR

CELLS = 16  # of the histogram, a channel
TOLERANCE = 0.06  # the default of `estimate_background`


def background_of(clip: Tensor) -> Tensor:
    """The colour that most of the border of a `clip` (`1 f 3 h w` in [0, 1]) has, in whole 255ths: `1 3` in [0, 1].

    See `flat_background.find_background`, whose result it is for an opaque clip of 8-bit colours.
    """
    border = torch.cat([clip[..., 0, :], clip[..., -1, :], clip[..., :, 0], clip[..., :, -1]], dim=-1)  # 1 f 3 n
    pixels = rearrange((border * 255).round(), "1 f c n -> (f n) c")
    # there a row of pixels has a border of its own: all of them twice, its two ends once more
    mode = _mode(torch.cat([pixels, pixels, pixels[:1], pixels[-1:]]) / 255) * 255  # 3
    near = (pixels - mode).abs().amax(dim=1) <= NEAR  # n
    middle = _median(torch.where(near[:, None], pixels, torch.inf), near.sum())
    return rearrange(torch.where(near.any(), middle, mode).round() / 255, "c -> 1 c")


def _mode(pixels: Tensor) -> Tensor:
    """`nn.background.estimate_background` of pixels `n 3`: `3`."""
    levels = (pixels * (CELLS - 0.001)).long().clamp(0, CELLS - 1)
    cell = (levels[:, 0] * CELLS + levels[:, 1]) * CELLS + levels[:, 2]  # n
    votes = torch.zeros(CELLS**3).scatter_add(0, cell, torch.ones_like(cell, dtype=torch.float32))
    centre = _mean(pixels, cell == votes.argmax())
    near = (pixels - centre).abs().amax(dim=1) < TOLERANCE
    return torch.where(near.any(), _mean(pixels, near), centre)


def _mean(pixels: Tensor, chosen: Tensor) -> Tensor:
    weights = chosen.float()[:, None]  # n 1
    return (pixels * weights).sum(dim=0) / weights.sum()


def _median(pixels: Tensor, count: Tensor) -> Tensor:
    """Of each channel's `count` least values: `n 3` to `3`; of an even number the mean of the two in the middle."""
    ordered = pixels.sort(dim=0).values
    both = torch.stack([(count - 1).clamp(min=0) // 2, count // 2])
    return ordered.index_select(0, both).mean(dim=0)

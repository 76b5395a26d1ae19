"""Evidence about a flat background without learning: its color, distance to it, enclosed regions, and damage.

Not in the papers. Which color is the background, and whether a patch of that color lies outside of the sticker or is
enclosed by its outline (an eye, a tooth), is hard to learn for a small network but can be computed. `DamageStatistics`
measure compression artifacts as a few numbers per frame.
"""

import math

import cv2
import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = (0.008, 0.012, 0.02, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.35, 0.5)


def estimate_background(clip: Tensor, tolerance: float = 0.06) -> Tensor:
    """The color that most of the border has: `b f 3 h w` in [0, 1] to `b 3`.

    The mode, not the mean or the median, since a sticker may touch the border: the fullest cell of a coarse color
    histogram over the border pixels of all frames, then the mean of the pixels within `tolerance` of that cell's.
    """
    border = torch.cat([clip[..., 0, :], clip[..., -1, :], clip[..., 0], clip[..., -1]], dim=-1)  # b f 3 n
    border = rearrange(border, "b f c n -> b (f n) c")
    colors = []
    for pixels in border:  # n 3
        red, green, blue = (pixels * 15.999).long().clamp(0, 15).unbind(1)
        cell = (red * 16 + green) * 16 + blue  # by hand: CUDA has no matrix product of integers
        fullest = torch.bincount(cell, minlength=4096).argmax()
        center = pixels[cell == fullest].mean(0)
        near = (pixels - center).abs().amax(1) < tolerance
        colors.append(pixels[near].mean(0) if near.any() else center)
    return torch.stack(colors)


def border_barrier(distance: Tensor, levels: tuple[float, ...] = LEVELS) -> Tensor:
    """Smallest tolerance at which a flood fill from the border reaches each pixel: `b h w` to `b h w`.

    The smallest of `levels` at which the pixel is reached from outside the picture over pixels whose `distance` is
    at most that level, in whole 255ths, 1 where none reaches it: a flood fill at every tolerance at once. Not
    differentiable.
    """
    maps = (distance.detach().float().cpu().clamp(0, 1) * 255).byte().numpy()  # b h w
    limits = [int(level * 255) for level in levels]
    barriers = np.full(maps.shape, 1.0, np.float32)
    for image, barrier in zip(maps, barriers, strict=True):
        for level, limit in zip(reversed(levels), reversed(limits), strict=True):
            padded = np.pad((image > limit).astype(np.uint8), 1)  # a ring of background joins all border pixels
            cv2.floodFill(padded, None, (0, 0), 2)
            barrier[padded[1:-1, 1:-1] == 2] = level
    return torch.from_numpy(barriers).to(distance)


def spread_small(distance: Tensor, unit: float = 0.01) -> Tensor:
    """Map [0, 1] to [0, 1] by logarithm, linear below `unit`: 0.01 and 0.1 lie nearly as far apart as 0.1 and 1.

    Compression leaves differences of a hundredth, and a sticker on its own color differs by little more: a network
    hardly uses them without this.
    """
    return torch.log1p(distance / unit) / math.log1p(1 / unit)


class BackgroundEvidence(nn.Module):
    """Five channels: signed difference to the background (3), its largest absolute value, and `border_barrier`.

    The last two are stretched by `spread_small`.
    """

    channels = 5

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """`clip` (`b f 3 h w` in [0, 1]) and its `background` (`b 3`, estimated if None) to `b f 5 h w`."""
        if background is None:
            background = estimate_background(clip)
        difference = clip - repeat(background, "b c -> b 1 c 1 1")  # b f 3 h w
        distance = difference.abs().amax(2, keepdim=True)  # b f 1 h w
        flat = rearrange(distance, "b f 1 h w -> (b f) h w")
        barrier = rearrange(border_barrier(flat), "(b f) h w -> b f 1 h w", f=clip.shape[1])
        return torch.cat([difference, spread_small(distance), spread_small(barrier)], dim=2)


NEAR = 0.04  # of the background: where a clean file is smooth
UNIT = 1 / 255


class DamageStatistics(nn.Module):
    """Shares of pixels that are rougher than each of four levels, near the background's color and anywhere.

    Roughness is the absolute second mixed difference, which is zero on ramps in either direction, so soft edges and
    gradients leave it small; the ringing of JPEG and the dots of a dithered palette do not. A convolutional network
    finds this hard to see: the amounts are 1/255 to 6/255, and its normalization removes the overall level.
    """

    levels = (0.7 * UNIT, 1.5 * UNIT, 3 * UNIT, 6 * UNIT)
    channels = 2 * len(levels)
    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 4
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def forward(self, clip: Tensor, background: Tensor) -> Tensor:
        """`clip` (`b f 3 h w` in [0, 1]) on `background` (`b 3`) to shares `b f 8` in [0, 1]."""
        difference = clip - background[:, None, :, None, None]  # b f 3 h w
        near = (difference.abs().amax(2) < NEAR)[..., 1:-1, 1:-1]  # b f h-2 w-2
        rough = F.conv2d(rearrange(difference, "b f c h w -> (b f c) 1 h w"), self.kernel).abs()
        rough = rearrange(rough, "(b f c) 1 h w -> b f c h w", f=clip.shape[1], c=clip.shape[2]).amax(2)
        beyond = torch.stack([rough > level for level in self.levels], dim=2)  # b f l h w
        return torch.cat([x.float().mean((-2, -1)) for x in (beyond & near[:, :, None], beyond)], dim=2)

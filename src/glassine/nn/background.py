"""Evidence about a flat background without learning: its color, distances to it, enclosed regions, and compression.

Not in the papers. The background color, and whether a patch of this color is outside of the sticker or enclosed by its
outline (an eye, a tooth), are hard to learn for a small network but easy to compute. `DamageStatistics` measures
compression artifacts by a few numbers per frame.
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
    """The most frequent color of the border: `b f 3 h w` in [0, 1] to `b 3`.

    The mode is used, not mean or median, since a sticker may touch the border. It is the mean of the border pixels of
    all frames within `tolerance` (of any channel) of the mean of the fullest cell in a coarse color histogram.
    """
    border = torch.cat([clip[..., 0, :], clip[..., -1, :], clip[..., 0], clip[..., -1]], dim=-1)  # b f 3 n
    border = rearrange(border, "b f c n -> b (f n) c")
    colors = []
    for pixels in border:  # n 3
        red, green, blue = (pixels * 15.999).long().clamp(0, 15).unbind(1)
        cell = (red * 16 + green) * 16 + blue  # not a matrix product: CUDA has none for integers
        fullest = torch.bincount(cell, minlength=4096).argmax()
        center = pixels[cell == fullest].mean(0)
        near = (pixels - center).abs().amax(1) < tolerance
        colors.append(pixels[near].mean(0) if near.any() else center)
    return torch.stack(colors)


def border_barrier(distance: Tensor, levels: tuple[float, ...] = LEVELS) -> Tensor:
    """Smallest tolerance at which a flood fill from the border reaches each pixel: `b h w` to `b h w`.

    The tolerance is one of `levels`, or 1 where no fill reaches the pixel. A fill passes pixels whose `distance`,
    quantized to 8 bits, is at most the tolerance. Not differentiable.
    """
    maps = (distance.detach().float().cpu().clamp(0, 1) * 255).byte().numpy()  # b h w
    limits = [int(level * 255) for level in levels]
    barriers = np.full(maps.shape, 1.0, np.float32)
    for image, barrier in zip(maps, barriers, strict=True):
        for level, limit in zip(reversed(levels), reversed(limits), strict=True):
            padded = np.pad((image > limit).astype(np.uint8), 1)  # a ring of background connects all border pixels
            cv2.floodFill(padded, None, (0, 0), 2)
            barrier[padded[1:-1, 1:-1] == 2] = level
    return torch.from_numpy(barriers).to(distance)


def spread_small(distance: Tensor, unit: float = 0.01) -> Tensor:
    """Map [0, 1] to [0, 1] by a logarithm that is linear below `unit`: 0.01 to 0.1 gets nearly the range of 0.1 to 1.

    Differences by compression are about 0.01, and those of a sticker on its own color hardly larger. Without this
    mapping, a network makes little use of them.
    """
    return torch.log1p(distance / unit) / math.log1p(1 / unit)


class BackgroundEvidence(nn.Module):
    """Five channels: signed difference from the background (3), its maximum absolute value, and `border_barrier`.

    The last two are mapped by `spread_small`.
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


NEAR = 0.04  # maximum distance from the background of pixels that are smooth in a clean file
UNIT = 1 / 255


class DamageStatistics(nn.Module):
    """Shares of pixels whose roughness exceeds each of four levels, near the background color and overall.

    Roughness is the absolute value of a mixed second difference. It is zero on linear ramps, so it is small for soft
    edges and gradients, and large for JPEG's ringing and for dithering. A convolutional network hardly detects it: the
    values are 1/255 to 6/255, and normalization layers remove the overall level.
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

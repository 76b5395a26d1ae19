"""Alpha arithmetic, always explicit about straight and premultiplied colors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # torch takes seconds and a lot of memory, which file readers do not need
    from torch import Tensor


def composite(rgb: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Put straight colors on an opaque background: `rgb * alpha + background * (1 - alpha)`.

    Args:
        rgb: `... 3 h w` float in [0, 1], straight.
        alpha: `... 1 h w` float in [0, 1].
        background: `... 3 h w`, or one flat color `3`, or flat colors `... 3` for the same leading shape, float in
            [0, 1].

    Returns:
        `... 3 h w` float in [0, 1].
    """
    if background.ndim < 3 or background.shape == rgb.shape[:-2]:
        background = background[..., None, None]  # ... 3 1 1
    return rgb * alpha + background * (1 - alpha)


def composite_frames(frames: np.ndarray, background: tuple[int, int, int] | np.ndarray) -> np.ndarray:
    """Put sticker frames on a flat color or an image.

    Args:
        frames: `... h w 4` uint8, straight RGBA.
        background: red, green, blue in 0..255, or an image `h w 1|3`.

    Returns:
        `... h w 3` uint8, each value rounded to the nearest.
    """
    alpha = frames[..., 3:].astype(np.uint16)
    mixed = frames[..., :3] * alpha + np.asarray(background, np.uint16) * (255 - alpha)  # at most 65025
    return ((mixed + 127) // 255).astype(np.uint8)


def premultiply(rgba: np.ndarray) -> np.ndarray:
    """Straight to premultiplied: colors times alpha, rounded. `... 4` uint8 in and out.

    This loses precision where alpha is small, so it is only used for programs that expect premultiplied pixels.
    """
    color = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    return np.concatenate([color.astype(np.uint8), rgba[..., 3:]], axis=-1)


def unpremultiply(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied to straight: colors divided by alpha, rounded and clipped. `... 4` uint8 in and out.

    Pixels with alpha 0 have no color and become black.
    """
    alpha = rgba[..., 3:].astype(np.uint16)
    color = (rgba[..., :3].astype(np.uint32) * 255 + alpha // 2) // np.maximum(alpha, 1)
    color = np.where(alpha > 0, np.minimum(color, 255), 0)
    return np.concatenate([color.astype(np.uint8), rgba[..., 3:]], axis=-1)


def pad_color(rgb: Tensor, alpha: Tensor, factor: float = 1.2, keep_visible: bool = False) -> Tensor:
    """Fill invisible pixels with surrounding colors (LayerDiffuse's color bleed, arXiv 2402.17113).

    A pyramid of premultiplied color and alpha is averaged down by `factor` per level until one side is one pixel; then,
    starting from the mean color, each level is composited over the upsampled result of the level below.

    Args:
        rgb: `... 3 h w` float in [0, 1], straight.
        alpha: `... 1 h w` float in [0, 1].
        factor: downsampling factor per level, above 1. 1.2 is the published value. 2.0 is several times faster;
            filled-in colors then differ by 0.003 to 0.02 on average and by up to 0.1, opaque ones not at all.
        keep_visible: False, as published, gives `rgb * alpha + fill * (1 - alpha)`, so a half-transparent pixel gets
            half of its color from its surroundings; True keeps the color of every pixel with alpha above 0.

    Returns:
        `... 3 h w` float in [0, 1]; all zero for frames without visible pixels.
    """
    import torch
    import torch.nn.functional as F

    *lead, _, height, width = rgb.shape
    straight = rgb.reshape(-1, 3, height, width)  # n 3 h w
    opacity = alpha.expand(*lead, 1, height, width).reshape(-1, 1, height, width)  # n 1 h w
    levels = [torch.cat([straight * opacity, opacity], dim=1)]  # n 4 h w, premultiplied
    while min(levels[-1].shape[-2:]) > 1:
        sizes = [max(1, int(side / factor)) for side in levels[-1].shape[-2:]]
        levels.append(_area_shrink(levels[-1], sizes[0], sizes[1]))
    total = levels[0].sum(dim=(-2, -1), keepdim=True)  # n 4 1 1
    fill = (total[:, :3] / total[:, 3:].clamp(min=1e-8)).expand(-1, -1, *levels[-1].shape[-2:])
    for level in reversed(levels):
        if fill.shape[-2:] != level.shape[-2:]:
            fill = F.interpolate(fill, size=level.shape[-2:], mode="bilinear", align_corners=False)
        fill = torch.addcmul(level[:, :3] + fill, fill, level[:, 3:], value=-1)
    if keep_visible:
        fill = torch.where(opacity > 0, straight, fill)
    return fill.clamp(0, 1).reshape(rgb.shape)


@cache
def _area_weights(old: int, new: int) -> Tensor:
    """`new old` matrix that averages a line of `old` pixels over `new` equal spans, exactly."""
    import torch

    edges = np.arange(new + 1)[:, None] * (old / new)  # new+1 1
    cells = np.arange(old)  # old
    overlap = np.minimum(cells + 1, edges[1:]) - np.maximum(cells, edges[:-1])  # new old
    return torch.from_numpy(overlap.clip(0) * (new / old)).float()


def _area_shrink(image: Tensor, height: int, width: int) -> Tensor:
    """Mean over fractional pixel areas (OpenCV's INTER_AREA): `n c h w` to `n c height width`."""
    import torch.nn.functional as F

    if image.shape[-2:] == (2 * height, 2 * width):
        return F.avg_pool2d(image, 2)  # the same mean, many times faster
    image = image @ _area_weights(image.shape[-1], width).to(image).T  # n c h width
    return _area_weights(image.shape[-2], height).to(image) @ image  # n c height width

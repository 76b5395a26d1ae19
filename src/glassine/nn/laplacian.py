"""Errors of alpha, weighed pixel by pixel: absolute ones, and those of Laplacian pyramids."""

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error over the pixels that `weight` counts; 0 where it counts none. All three are `n 1 h w`."""
    return weighted_mean((prediction - target).abs(), weight)


def laplacian_l1(prediction: Tensor, target: Tensor, weight: Tensor, levels: int = 5) -> Tensor:
    """Sum over the levels of the Laplacian pyramid of 2^level times the mean absolute error there.

    The loss of context-aware matting (arXiv 1909.09725); a level's weight is every second pixel of the weight above, as
    in Matting Anything's code.

    Args:
        prediction: `n 1 h w`.
        target: the same shape.
        weight: the same shape, at least 0.
        levels: of the pyramid.

    Raises:
        ValueError: the picture is too small for so many levels.
    """
    loss = prediction.new_zeros(())
    with torch.autocast(prediction.device.type, enabled=False):  # its convolutions subtract what is nearly equal
        # The pyramid is linear: one of the difference is the difference of two
        for level, band in enumerate(laplacian_pyramid((prediction - target).float(), levels)):
            loss = loss + 2**level * weighted_mean(band.abs(), weight)
            weight = weight[..., ::2, ::2]
    return loss


def laplacian_pyramid(picture: Tensor, levels: int = 5) -> list[Tensor]:
    """What each halving of `n 1 h w` loses, finest first: level i is `n 1 h/2^i w/2^i`, sizes rounded up.

    Raises:
        ValueError: the picture is too small for so many levels.
    """
    smallest = 2**levels + 1
    if min(picture.shape[-2:]) < smallest:
        height, width = picture.shape[-2:]
        raise ValueError(f"a picture of {height} x {width} came; {levels} levels need {smallest} pixels a side")
    bands = []
    for _ in range(levels):
        smaller = blur(picture)[..., ::2, ::2]
        bands.append(picture - doubled(smaller)[..., : picture.shape[-2], : picture.shape[-1]])
        picture = smaller
    return bands


def doubled(picture: Tensor) -> Tensor:
    """`n 1 h w` at twice its size: zeros between the pixels, then blurred."""
    sparse = picture.new_zeros(*picture.shape[:2], 2 * picture.shape[2], 2 * picture.shape[3])
    sparse[..., ::2, ::2] = picture
    return 4 * blur(sparse)  # three of four are zeros


def blur(picture: Tensor) -> Tensor:
    """`n 1 h w` by the binomial filter 1 4 6 4 1, the borders mirrored."""
    kernel = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(picture, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of the values that `weight` counts, 0 where it counts none."""
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(values.dtype).eps)

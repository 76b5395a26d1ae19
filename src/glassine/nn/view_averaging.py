"""Test-time augmentation: the average of a network's results for flipped and rotated images (arXiv 2402.17113)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

TestTimeAugmentation = Literal["none", "hflip", "full"]


def average_views(decode: Callable[..., Tensor], inputs: Sequence[Tensor], tta: TestTimeAugmentation) -> Tensor:
    """LayerDiffuse's test-time augmentation of `decode(*inputs)`: `b 4 h w`, clipped to [0, 1].

    Args:
        decode: maps the inputs to RGBA `b 4 h w`.
        inputs: `b c h w` each, transformed together.
        tta: `full`: the median over four rotations with and without a flip, which for eight values is the lower of the
            two middle ones, as in the released code. `hflip` (ours): the mean over the image and its mirror image.
            `none`: a single pass.
    """
    views = {"none": [(False, 0)], "hflip": [(False, 0), (True, 0)]}.get(
        tta, [(flip, turns) for flip in (False, True) for turns in range(4)]
    )
    results = []
    for flip, turns in views:
        seen = (torch.rot90(x.flip(3) if flip else x, turns, (2, 3)) for x in inputs)
        rgba = torch.rot90(decode(*seen).clamp(0, 1), -turns, (2, 3))
        results.append(rgba.flip(3) if flip else rgba)
    if tta == "none":
        return results[0]
    if tta == "hflip":  # the median of two is the lower value, which is biased
        return torch.stack(results).mean(dim=0)
    return torch.stack(results).median(dim=0).values

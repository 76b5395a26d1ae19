"""Decoding a picture several times, turned and mirrored, and averaging (LayerDiffuse's released code)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

TestTimeAugmentation = Literal["none", "hflip", "full"]


def average_views(decode: Callable[..., Tensor], inputs: Sequence[Tensor], tta: TestTimeAugmentation) -> Tensor:
    """LayerDiffuse's test-time augmentation: `decode(*inputs)`, `b 4 h w`, clipped to [0, 1].

    `full` takes four rotations, with and without a flip, each clipped, then the median, which for an even count is the
    lower of the two middle values; `hflip` is the mean of two of the eight (ours); `none` one.
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
    if tta == "hflip":  # the lower of two would always be too low
        return torch.stack(results).mean(dim=0)
    return torch.stack(results).median(dim=0).values

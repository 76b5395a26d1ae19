"""The simplest method there is: whatever differs from the background is the sticker."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from .outside import background_distance, clip_pixels


class Threshold(nn.Module):
    """Alpha is 1 where any channel differs from the background by more than a tolerance, else 0.

    Args:
        tolerance: In parts of the full range.
    """

    def __init__(self, tolerance: float = 0.02) -> None:
        super().__init__()
        self.tolerance = tolerance

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        frames, colours = clip_pixels(clip, background)
        alpha = np.stack(
            [background_distance(frame, colour) > self.tolerance for frame, colour in zip(frames, colours, strict=True)]
        )
        return rearrange(torch.from_numpy(alpha).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

"""How much a picture was damaged by compression, as a few numbers a frame. Not in the papers."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

NEAR = 0.04  # of the background: where a clean file is smooth
UNIT = 1 / 255


class DamageStatistics(nn.Module):
    """Shares of pixels that are rougher than each of four levels, near the background's colour and anywhere.

    Roughness is the absolute second mixed difference, which is zero on ramps in either direction, so soft edges and
    gradients leave it small; the ringing of JPEG and the dots of a dithered palette do not. A convolutional network
    finds this hard to see: the amounts are 1/255 to 6/255, and its normalisation takes the overall level away.
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

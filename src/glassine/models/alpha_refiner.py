"""A network that corrects closed-form alpha: a plain U-Net with an alpha of its own and a gate between the two."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.vae import PlainBlock
from glassine.nn.diffusion import zero_module

CHANNELS = 11
CLOSED_GATE = 3.0  # the gate's logit at the start, below 0
MOST_NOISE = 16.0  # in 255ths; noisier files look the same to the network


def refiner_inputs(picture: Tensor, behind: Tensor, closed: Tensor, opened: Tensor, noise: Tensor) -> Tensor:
    """What the network sees, `b 11 h w`.

    Args:
        picture: the opaque picture, `b 3 h w` in [0, 1].
        behind: the estimated background, `b 3 h w` in [0, 1].
        closed: closed-form alpha with every closed area as it was decided, `b 1 h w` in [0, 1].
        opened: the same with every closed area clear, `b 1 h w`.
        noise: how far background is from `behind`, in 255ths, `b`.
    """
    difference = picture - behind
    level = (noise / MOST_NOISE).clamp(0, 1)[:, None, None, None].expand_as(closed)
    # small differences matter most: they tell a sticker in nearly the background's color from noise
    small = (difference.abs().amax(1, keepdim=True) * 255 / (4 + 4 * level * MOST_NOISE)).clamp(0, 1)
    return torch.cat([picture * 2 - 1, difference, small, closed, opened, level, torch.ones_like(closed)], dim=1)


class AlphaRefiner(nn.Module):
    """U-Net of plain residual blocks from a picture and its closed-form alpha to a corrected alpha.

    The result is `closed + g * (own - closed)` with the network's own alpha and a gate g in [0, 1], nearly closed at
    the start: where the closed form is right, as on undamaged flat backgrounds, the network leaves it as it is.

    Args:
        block_out_channels: width at each scale, finest first, a stride of 2 between them.
        layers_per_block: residual blocks a scale, on each way.
        patch_size: pixel-unshuffle at the entrance and pixel-shuffle at the exit.

    Height and width must be multiples of `size_multiple`.
    """

    def __init__(
        self,
        block_out_channels: Sequence[int] = (32, 64, 96, 128, 160),
        layers_per_block: int = 2,
        patch_size: int = 2,
    ) -> None:
        super().__init__()
        widths = list(block_out_channels)
        self.patch_size = patch_size
        self.size_multiple = patch_size * 2 ** (len(widths) - 1)

        def blocks(width: int) -> nn.Sequential:
            return nn.Sequential(*(PlainBlock(width) for _ in range(layers_per_block)))

        self.conv_in = nn.Conv2d(CHANNELS * patch_size**2, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(blocks(width) for width in widths)
        self.downsamplers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.upsamplers = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.joins = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.up_blocks = nn.ModuleList(blocks(width) for width in widths[:-1])
        self.conv_out = zero_module(nn.Conv2d(widths[0], 2 * patch_size**2, 3, padding=1))

    def forward(self, inputs: Tensor, closed: Tensor) -> Tensor:
        """Alpha `b 1 h w` in [0, 1].

        Args:
            inputs: of `refiner_inputs`, `b 11 h w`.
            closed: closed-form alpha, `b 1 h w` in [0, 1], as in the inputs.
        """
        logits, gate = self.propose(inputs)
        return closed + gate * (torch.sigmoid(logits) - closed)

    def propose(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the network's own alpha, and the gate in [0, 1], both `b 1 h w` float32."""
        x = self.conv_in(F.pixel_unshuffle(inputs, self.patch_size))
        skips = []
        for scale, block in enumerate(self.down_blocks):
            x = block(x)
            if scale < len(self.downsamplers):
                skips.append(x)
                x = self.downsamplers[scale](x)
        for scale in range(len(skips) - 1, -1, -1):
            x = F.pixel_shuffle(self.upsamplers[scale](x), 2)
            x = self.up_blocks[scale](self.joins[scale](torch.cat([x, skips[scale]], dim=1)))
        logits, gate = F.pixel_shuffle(self.conv_out(F.relu(x)), self.patch_size).float().split(1, dim=1)
        return logits, torch.sigmoid(gate - CLOSED_GATE)

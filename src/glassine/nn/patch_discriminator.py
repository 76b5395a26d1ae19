"""A PatchGAN discriminator on RGBA pictures (LayerDiffuse, section 3.1; pix2pix, arXiv 1611.07004, section 3.2.2)."""

from itertools import pairwise

from torch import Tensor, nn


class PatchDiscriminator(nn.Sequential):
    """Five 4x4 convolutions that judge overlapping patches: `b c h w` to logits `b 1 h' w'`.

    Args:
        in_channels: 4 for RGBA.
        width: channels after the first convolution; doubled up to eight times.
    """

    def __init__(self, in_channels: int = 4, width: int = 64) -> None:
        widths = [width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (narrow, wide) in enumerate(pairwise(widths)):
            last = i == len(widths) - 2
            layers += [
                nn.Conv2d(narrow, wide, 4, stride=1 if last else 2, padding=1, bias=False),
                nn.InstanceNorm2d(wide, affine=True),  # batches are too small for batch statistics
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def hinge_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's own loss: real patches above 1, fake ones below -1."""
        return (1 - self(real)).relu().mean() + (1 + self(fake.detach())).relu().mean()

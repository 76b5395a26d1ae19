"""Small 8x VAEs with the diffusers interface, for the tiny scale; full-size networks use `AutoencoderKL`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.nn.diffusion import checkpoint_layer, zero_module


class EncoderDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """diffusers' VAE interface; subclasses create `encoder` (images to mean and log-variance) and `decoder`."""

    _supports_gradient_checkpointing = True
    gradient_checkpointing = False
    encoder: nn.Module
    decoder: nn.Module

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        """Called by diffusers' `enable_gradient_checkpointing`; checkpoints each residual block separately."""
        checkpoint_blocks(self, enable)
        self.gradient_checkpointing = enable

    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        """Posterior over latents of images `b 3 h w` in [-1, 1]; `latent_dist.mean` is `b c h/8 w/8`."""
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(self.encoder(x)))

    def decode(self, z: Tensor) -> DecoderOutput:
        """Images `b 3 h w` in [-1, 1], unclipped, from unscaled latents `b c h/8 w/8`."""
        return DecoderOutput(sample=self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction `b 3 h w` from the mean of the posterior."""
        return self.decode(self.encode(x).latent_dist.mean).sample


class SmallVAE(EncoderDecoder):
    """Convolutional KL-VAE with pixel-unshuffle stems, so that no convolution runs at full resolution.

    Args:
        latent_channels: channels of the latents, 4 as in Stable Diffusion.
        width: channels at latent resolution in the encoder; the decoder has twice as many.
        decoder_width: channels of the decoder's last stage, at a quarter of the image size.
        blocks: residual blocks per stage.
        scaling_factor: factor by which a diffusion model multiplies the latents: 1 / their standard deviation.
        latents_mean: mean per channel, which a diffusion model subtracts first; None for 0.
        latents_std: standard deviation per channel, by which it then divides; None for 1.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 4,
        width: int = 64,
        decoder_width: int = 48,
        blocks: int = 2,
        scaling_factor: float = 1.0,
        latents_mean: tuple[float, ...] | None = None,
        latents_std: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(8),  # b 192 h/8 w/8
            nn.Conv2d(192, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, 2 * latent_channels, 3, padding=1),  # mean and log-variance
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, 2 * width, 3, padding=1),
            *(ResidualBlock(2 * width) for _ in range(blocks)),
            nn.Conv2d(2 * width, 4 * decoder_width, 3, padding=1),
            nn.PixelShuffle(2),  # b d h/4 w/4
            *(ResidualBlock(decoder_width) for _ in range(blocks)),
            nn.GroupNorm(8, decoder_width),
            nn.SiLU(),
            nn.Conv2d(decoder_width, 48, 3, padding=1),
            nn.PixelShuffle(4),  # b 3 h w
        )


class MultiScaleVAE(EncoderDecoder):
    """Convolutional KL-VAE with several scales and no normalization; `glassine:vae` is one.

    Stickers consist of flat areas and thin lines. `SmallVAE` unshuffles by 8 in one step, so it has to encode line
    positions in channels, and its GroupNorm removes the absolute level of flat areas. Here the first scale has half the
    resolution of the image, and levels are preserved. The last convolution of each residual branch is zero-initialized.

    Args:
        latent_channels: channels of the latents.
        encoder_widths: channels at each scale of the encoder, finest first, with a stride of 2 between scales.
        decoder_widths: the same for the decoder.
        blocks: residual blocks per scale.
        patch_size: pixel-unshuffle before the first convolution; `patch_size * 2 ** (scales - 1)` must be 8.
        scaling_factor: factor by which a diffusion model multiplies the latents.
        latents_mean: mean per channel, which a diffusion model subtracts first; None for 0.
        latents_std: standard deviation per channel, by which it then divides; None for 1.

    Raises:
        ValueError: the total stride is not 8.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 8,
        encoder_widths: Sequence[int] = (48, 96, 160),
        decoder_widths: Sequence[int] = (48, 96, 160),
        blocks: int = 2,
        patch_size: int = 2,
        scaling_factor: float = 1.0,
        latents_mean: tuple[float, ...] | None = None,
        latents_std: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        for name, widths in (("encoder_widths", encoder_widths), ("decoder_widths", decoder_widths)):
            if patch_size * 2 ** (len(widths) - 1) != 8:
                raise ValueError(f"patch_size * 2 ** (scales - 1) must be 8, got {patch_size} and {name} {widths}")
        down: list[nn.Module] = [
            nn.PixelUnshuffle(patch_size),
            nn.Conv2d(3 * patch_size**2, encoder_widths[0], 3, padding=1),
            *(PlainBlock(encoder_widths[0]) for _ in range(blocks)),
        ]
        for narrow, wide in pairwise(encoder_widths):
            down += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), *(PlainBlock(wide) for _ in range(blocks))]
        down += [nn.ReLU(), nn.Conv2d(encoder_widths[-1], 2 * latent_channels, 3, padding=1)]  # mean and log-variance
        self.encoder = nn.Sequential(*down)
        widths = list(reversed(decoder_widths))
        up: list[nn.Module] = [nn.Conv2d(latent_channels, widths[0], 3, padding=1)]
        for wide, narrow in pairwise(widths):
            up += [*(PlainBlock(wide) for _ in range(blocks)), nn.Conv2d(wide, 4 * narrow, 3, padding=1)]
            up.append(nn.PixelShuffle(2))
        up += [*(PlainBlock(widths[-1]) for _ in range(blocks)), nn.ReLU()]
        up += [nn.Conv2d(widths[-1], 3 * patch_size**2, 3, padding=1), nn.PixelShuffle(patch_size)]
        self.decoder = nn.Sequential(*up)


class RoundTrip(nn.Module):
    """A VAE's reconstruction of images from the mean of the posterior, for `VaeRoundTrip`.

    Args:
        vae: any VAE with the diffusers interface.
    """

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, clip: Tensor) -> Tensor:
        """Images `f 3 h w` in [0, 1] to their reconstruction, of the same shape and range."""
        latents = self.vae.encode(clip * 2 - 1).latent_dist.mean  # type: ignore[operator]
        return (self.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)  # type: ignore[operator]


class ResidualBlock(nn.Module):
    """Residual block: GroupNorm, SiLU and 3x3 convolution, twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`b d h w` to the same."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))


class PlainBlock(nn.Module):
    """Residual block without normalization: ReLU and 3x3 convolution, twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        zero_module(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        """`b d h w` to the same."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def checkpoint_blocks(network: nn.Module, enable: bool) -> None:
    """Enable or disable gradient checkpointing of each `ResidualBlock` and `PlainBlock` in `network`."""
    for layer in network.modules():
        if isinstance(layer, ResidualBlock | PlainBlock):
            checkpoint_layer(layer, enable)

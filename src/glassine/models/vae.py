"""A small 8x VAE with the diffusers interface, for the tiny scale; the paper scale uses `AutoencoderKL`."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F


class SmallVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutional KL-VAE behind pixel-unshuffle stems, so that no convolution runs at full resolution.

    Args:
        latent_channels: channels of the latents, 4 as in Stable Diffusion.
        width: channels on the latent grid, in the encoder and the decoder.
        decoder_width: channels of the decoder's last stage, at a quarter of the resolution.
        blocks: residual blocks a stage.
        scaling_factor: what a diffusion model multiplies the latents by; 1 / their standard deviation.
        latents_mean: one a channel, what it takes away first; None for nothing.
        latents_std: one a channel, what it divides by then; None for 1.
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

    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        """Posterior over latents of pictures `b 3 h w` in [-1, 1]; `latent_dist.mean` is `b 4 h/8 w/8`."""
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(self.encoder(x)))

    def decode(self, z: Tensor) -> DecoderOutput:
        """Pictures `b 3 h w` in [-1, 1] (unclipped) from unscaled latents `b 4 h/8 w/8`."""
        return DecoderOutput(sample=self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction through the posterior's mean."""
        return self.decode(self.encode(x).latent_dist.mean).sample


class RoundTrip(nn.Module):
    """What a VAE keeps of pictures: encode to the posterior's mean and decode, for `VaeRoundTrip`.

    Args:
        vae: any VAE with the diffusers interface.
    """

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, clip: Tensor) -> Tensor:
        """`f 3 h w` in [0, 1] to the same."""
        latents = self.vae.encode(clip * 2 - 1).latent_dist.mean  # type: ignore[operator]
        return (self.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)  # type: ignore[operator]


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU and a 3x3 convolution, twice, around an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`b d h w` to the same."""
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden)))

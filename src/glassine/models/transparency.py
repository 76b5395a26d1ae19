"""LayerDiffuse's latent transparency: alpha encoded into the latents of a frozen VAE (arXiv 2402.17113).

`TransparencyEncoder` adjusts the VAE's latents, `TransparencyDecoder` predicts alpha and color from them, and
`TransparencyVAE` combines both with the VAE. Decoding can average over flipped and rotated views, as in the released
code. Layer names and sizes are the official ones, so the SD 1.5 weights load by name (1,181,764 and 104,104,804
parameters); the tiny networks use the same classes with smaller arguments. Images are `b c h w` in [0, 1]; latents are
`b 4 h/8 w/8`, not multiplied by the VAE's `scaling_factor`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.vae import PlainBlock, checkpoint_blocks
from glassine.nn.diffusion import zero_module
from glassine.nn.view_averaging import TestTimeAugmentation, average_views

LATENT_STRIDE = 8


class TransparencyEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Latent offset that carries the alpha channel (section 3.1): `b 4 h w`, alpha first, to `b 4 h/8 w/8`.

    Args:
        latent_channels: channels of the VAE's latents.
        block_out_channels: channels at each scale, with a stride of 2 between scales; officially (32, 64, 128, 256).
        patch_size: pixel-unshuffle before the first convolution, which makes small networks faster; officially 1.

    The last convolution is zero-initialized, so that an untrained encoder does not change the VAE's latents.

    Raises:
        ValueError: the total stride is not 8.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 4,
        block_out_channels: Sequence[int] = (32, 64, 128, 256),
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        if patch_size * 2 ** (len(block_out_channels) - 1) != LATENT_STRIDE:
            raise ValueError(
                f"patch_size and scales must make a stride of 8, got {patch_size} and {len(block_out_channels)}"
            )
        width = block_out_channels[0]
        layers: list[nn.Module] = [nn.Conv2d(4 * patch_size**2, width, 3, padding=1), nn.SiLU()]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()]
        for wider in block_out_channels[1:]:
            layers += [nn.Conv2d(width, wider, 3, padding=1, stride=2), nn.SiLU()]
            layers += [nn.Conv2d(wider, wider, 3, padding=1), nn.SiLU()]
            width = wider
        self.blocks = nn.Sequential(*layers, zero_module(nn.Conv2d(width, latent_channels, 3, padding=1)))
        self.patch_size = patch_size

    def forward(self, alpha: Tensor, foreground: Tensor) -> Tensor:
        """Offset from `alpha` (`b 1 h w`) and the color-padded straight `foreground` (`b 3 h w`), both in [0, 1]."""
        x = torch.cat([alpha, foreground], dim=1)  # b 4 h w
        return self.blocks(F.pixel_unshuffle(x, self.patch_size))  # b 4 h/8 w/8


class TransparencyDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """U-Net that predicts alpha and straight color from an opaque image and its latents (section 3.1, appendix A).

    Args:
        in_channels: channels of the image.
        latent_channels: channels of the latents.
        block_out_channels: channels at each scale; officially (32, 32, 64, 128, 256, 512, 512).
        attention_scales: number of the coarsest scales that have self-attention; officially 3.
        layers_per_block: residual blocks per scale in the encoder; the decoder has one more.
        attention_head_dim: channels per attention head.
        norm_num_groups: groups of every GroupNorm.
        patch_size: pixel-unshuffle of the input and pixel-shuffle of the output, for small networks; officially 1.
        hint_channels: channels of an optional hint image (ours, see `glassine.models.ildiff.LayoutHint`). Like the
            latents it is added through a zero-initialized convolution, so that weights trained without a hint can be
            loaded and give the same results at first; officially 0.
        mix_channels: additional output channels from a zero-initialized convolution (ours; `ILDiff` weights alphas by
            them); officially 0.

    Height and width must be multiples of `size_multiple` (64 at full size). With `enable_gradient_checkpointing`, only
    the input of each residual block is kept, which reduces memory to a fifth for a frame of 512 px at full size.

    Raises:
        ValueError: no scale below the first has the resolution of the latents.
    """

    _supports_gradient_checkpointing = True  # diffusers' blocks do the checkpointing themselves

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 4,
        block_out_channels: Sequence[int] = (32, 32, 64, 128, 256, 512, 512),
        attention_scales: int = 3,
        layers_per_block: int = 2,
        attention_head_dim: int = 8,
        norm_num_groups: int = 4,
        patch_size: int = 1,
        hint_channels: int = 0,
        mix_channels: int = 0,
    ) -> None:
        super().__init__()
        widths, last = list(block_out_channels), len(block_out_channels) - 1
        # the latents are added at the scale of their resolution: before down block 3 at full size
        self.latent_block = int(math.log2(LATENT_STRIDE // patch_size))
        if not 1 <= self.latent_block <= last:
            raise ValueError(f"patch_size and scales must reach the latents' grid, got {patch_size} and {len(widths)}")
        self.patch_size = patch_size
        self.size_multiple = max(patch_size * 2**last, LATENT_STRIDE)

        self.conv_in = nn.Conv2d(in_channels * patch_size**2, widths[0], 3, padding=1)
        self.latent_conv_in = zero_module(nn.Conv2d(latent_channels, widths[self.latent_block - 1], 1))
        self.hint_conv_in = None
        if hint_channels:
            self.hint_conv_in = zero_module(nn.Conv2d(hint_channels * patch_size**2, widths[0], 3, padding=1))

        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            self.down_blocks.append(
                get_down_block(
                    "AttnDownBlock2D" if i > last - attention_scales else "DownBlock2D",
                    num_layers=layers_per_block,
                    in_channels=widths[max(i - 1, 0)],
                    out_channels=width,
                    temb_channels=None,  # type: ignore[arg-type]
                    add_downsample=i < last,
                    resnet_eps=1e-5,
                    resnet_act_fn="silu",
                    resnet_groups=norm_num_groups,
                    attention_head_dim=attention_head_dim,
                    downsample_padding=1,
                )
            )
        self.mid_block = UNetMidBlock2D(
            in_channels=widths[-1],
            temb_channels=None,  # type: ignore[arg-type]
            resnet_eps=1e-5,
            resnet_act_fn="silu",
            resnet_groups=norm_num_groups,
            attention_head_dim=attention_head_dim,
        )
        self.up_blocks = nn.ModuleList()
        for i in range(last, -1, -1):
            self.up_blocks.append(
                get_up_block(
                    "AttnUpBlock2D" if i > last - attention_scales else "UpBlock2D",
                    num_layers=layers_per_block + 1,
                    in_channels=widths[max(i - 1, 0)],
                    out_channels=widths[i],
                    prev_output_channel=widths[min(i + 1, last)],
                    temb_channels=None,  # type: ignore[arg-type]
                    add_upsample=i > 0,
                    resnet_eps=1e-5,
                    resnet_act_fn="silu",
                    resnet_groups=norm_num_groups,
                    attention_head_dim=attention_head_dim,
                )
            )
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], 4 * patch_size**2, 3, padding=1)
        self.mix_conv_out = None
        if mix_channels:
            self.mix_conv_out = zero_module(nn.Conv2d(widths[0], mix_channels * patch_size**2, 3, padding=1))

    def forward(self, pixel: Tensor, latents: Tensor, hint: Tensor | None = None) -> Tensor:
        """Unclipped alpha and color, `b 4 h w` with alpha first; `b 4+mix_channels h w` with `mix_channels`.

        Args:
            pixel: opaque image `b 3 h w` in [0, 1].
            latents: `b 4 h/8 w/8`.
            hint: `b k h w`; ignored by a network without `hint_channels`.
        """
        x = self.conv_in(F.pixel_unshuffle(pixel, self.patch_size))  # b d h/p w/p
        if self.hint_conv_in is not None and hint is not None:
            x = x + self.hint_conv_in(F.pixel_unshuffle(hint, self.patch_size))
        skips = (x,)
        for i, block in enumerate(self.down_blocks):
            if i == self.latent_block:
                x = x + self.latent_conv_in(latents)  # both on the grid h/8 w/8
            x, more = block(hidden_states=x, temb=None)
            skips += more
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            count = len(block.resnets)  # type: ignore[arg-type]
            skips, used = skips[:-count], skips[-count:]
            x = block(x, used, None)
        x = F.silu(self.conv_norm_out(x))
        rgba = F.pixel_shuffle(self.conv_out(x), self.patch_size)  # b 4 h w
        if self.mix_conv_out is None:
            return rgba
        return torch.cat([rgba, F.pixel_shuffle(self.mix_conv_out(x), self.patch_size)], dim=1)


class PlainTransparencyDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Transparency decoder without normalization, for the tiny scale.

    GroupNorm removes the absolute level of flat areas, and alpha consists of flat areas. Without it, a network with few
    channels trains faster. The latents are added at their own resolution as in `TransparencyDecoder`, but their
    convolution is not zero-initialized.

    Args:
        in_channels: channels of the image.
        latent_channels: channels of the latents.
        block_out_channels: channels at each scale, finest first, with a stride of 2 between scales.
        layers_per_block: residual blocks per scale, in the encoder and in the decoder.
        patch_size: pixel-unshuffle of the input and pixel-shuffle of the output.
        hint_channels: see `TransparencyDecoder`.
        mix_channels: see `TransparencyDecoder`.

    Height and width must be multiples of `size_multiple`.

    Raises:
        ValueError: no scale below the first has the resolution of the latents.
    """

    _supports_gradient_checkpointing = True
    gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 8,
        block_out_channels: Sequence[int] = (48, 96, 160, 192),
        layers_per_block: int = 2,
        patch_size: int = 2,
        hint_channels: int = 0,
        mix_channels: int = 0,
    ) -> None:
        super().__init__()
        widths = list(block_out_channels)
        self.latent_block = int(math.log2(LATENT_STRIDE // patch_size))
        if not 1 <= self.latent_block < len(widths):
            raise ValueError(
                f"some scale must have the latents' stride of 8, got patch_size {patch_size} and {len(widths)} scales"
            )
        self.patch_size = patch_size
        self.size_multiple = max(patch_size * 2 ** (len(widths) - 1), LATENT_STRIDE)
        self.conv_in = nn.Conv2d(in_channels * patch_size**2, widths[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(latent_channels, widths[self.latent_block], 3, padding=1)
        self.hint_conv_in = None
        if hint_channels:
            self.hint_conv_in = zero_module(nn.Conv2d(hint_channels * patch_size**2, widths[0], 3, padding=1))

        def blocks(width: int) -> nn.Sequential:
            return nn.Sequential(*(PlainBlock(width) for _ in range(layers_per_block)))

        self.down_blocks = nn.ModuleList(blocks(width) for width in widths)
        self.downsamplers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.upsamplers = nn.ModuleList(nn.Conv2d(b, 4 * a, 3, padding=1) for a, b in pairwise(widths))
        self.joins = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.up_blocks = nn.ModuleList(blocks(width) for width in widths[:-1])
        self.conv_out = nn.Conv2d(widths[0], 4 * patch_size**2, 3, padding=1)
        self.mix_conv_out = None
        if mix_channels:
            self.mix_conv_out = zero_module(nn.Conv2d(widths[0], mix_channels * patch_size**2, 3, padding=1))

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        """Called by diffusers' `enable_gradient_checkpointing`."""
        checkpoint_blocks(self, enable)
        self.gradient_checkpointing = enable

    def forward(self, pixel: Tensor, latents: Tensor, hint: Tensor | None = None) -> Tensor:
        """Same arguments and result as `TransparencyDecoder.forward`."""
        x = self.conv_in(F.pixel_unshuffle(pixel, self.patch_size))  # b d h/p w/p
        if self.hint_conv_in is not None and hint is not None:
            x = x + self.hint_conv_in(F.pixel_unshuffle(hint, self.patch_size))
        skips = []
        for scale, block in enumerate(self.down_blocks):
            if scale == self.latent_block:
                x = x + self.latent_conv_in(latents)  # both on the grid h/8 w/8
            x = block(x)
            if scale < len(self.downsamplers):
                skips.append(x)
                x = self.downsamplers[scale](x)
        for scale in range(len(skips) - 1, -1, -1):
            x = F.pixel_shuffle(self.upsamplers[scale](x), 2)
            x = self.up_blocks[scale](self.joins[scale](torch.cat([x, skips[scale]], dim=1)))
        x = F.relu(x)
        rgba = F.pixel_shuffle(self.conv_out(x), self.patch_size)  # b 4 h w
        if self.mix_conv_out is None:
            return rgba
        return torch.cat([rgba, F.pixel_shuffle(self.mix_conv_out(x), self.patch_size)], dim=1)


class TransparencyVAE(nn.Module):
    """Codec for transparent images: a frozen VAE with a transparency encoder and decoder.

    Args:
        vae: any 8x VAE with the diffusers interface; frozen.
        encoder: predicts a latent offset from alpha and color.
        decoder: predicts alpha and color from image and latents; a `TransparencyDecoder` or `PlainTransparencyDecoder`.
        offset_scale: gain of the offset in units of the posterior's standard deviation. The released code uses 300, so
            that the zero-initialized encoder learns fast enough at first; the paper does not mention this factor.
    """

    def __init__(
        self, vae: nn.Module, encoder: TransparencyEncoder, decoder: nn.Module, offset_scale: float = 300.0
    ) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False).eval()
        self.encoder, self.decoder, self.offset_scale = encoder, decoder, offset_scale

    def train(self, mode: bool = True) -> "TransparencyVAE":
        """Set the mode of encoder and decoder; the VAE stays in eval mode."""
        super().train(mode)
        self.vae.eval()
        return self

    def encode(self, foreground: Tensor, alpha: Tensor, color: Tensor | None = None) -> Tensor:
        """Adjusted latents `b 4 h/8 w/8` of a transparent image: mean + std * offset_scale * encoder(...).

        Mean and std are those of the VAE's posterior for the image on mid gray (premultiplied in [-1, 1]). Nothing is
        sampled.

        Args:
            foreground: straight, color-padded color `b 3 h w` in [0, 1].
            alpha: `b 1 h w` in [0, 1].
            color: straight color `b 3 h w` to composite, if padding has changed `foreground` at soft edges, as the
                published padding does; None uses `foreground`.
        """
        premultiplied = ((foreground if color is None else color) * 2 - 1) * alpha
        posterior = self.vae.encode(premultiplied).latent_dist  # type: ignore[operator]
        return posterior.mean + posterior.std * (self.offset_scale * self.encoder(alpha, foreground))

    def reconstruct(self, latents: Tensor) -> Tensor:
        """The frozen VAE's decoding of the latents: the image on mid gray, `b 3 h w` in [0, 1]."""
        return (self.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)  # type: ignore[operator]

    def decode(self, latents: Tensor, tta: TestTimeAugmentation = "none") -> tuple[Tensor, Tensor]:
        """Alpha `b 1 h w` and straight color `b 3 h w` in [0, 1] of adjusted latents `b 4 h/8 w/8`."""
        rgba = average_views(self.decoder, (self.reconstruct(latents), latents), tta)
        return rgba[:, :1], rgba[:, 1:]

"""I2VGen-XL (Zhang et al., arXiv 2311.04145) as VSD2M compares it: "we discard its image guidance"."""

import re

from diffusers import I2VGenXLUNet
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor

from glassine.models.temporal_unet import TemporalUNet
from glassine.models.video_unet import DOWN, UP

IMAGE_CHANNELS = 4  # of the image's latents, fixed in diffusers


class I2VGen(TemporalUNet, I2VGenXLUNet):
    """diffusers' `I2VGenXLUNet`, called as `VideoUNet`: its image is zero, in latents and in embedding.

    A zero embedding is what diffusers' pipeline takes for the unguided half of its classifier-free guidance. The
    image's layers stay, so that public weights load and parameters are the published ones; what they make of zeros is
    a learned constant. Their first weights, which zeros go through, never learn: their gradient is zero.

    All arguments but `fps` are diffusers'; the defaults are the `unet/config.json` of `ali-vilab/i2vgen-xl`.

    Args:
        sample_size: not used by the network.
        in_channels: channels of the noisy latents, and of what is given beside them.
        out_channels: channels of the prediction.
        down_block_types: one a resolution.
        up_block_types: one a resolution.
        block_out_channels: widths, multiples of `norm_num_groups` and of `attention_head_dim`.
        layers_per_block: layers in a block on the way down; one more on the way up.
        norm_num_groups: of all GroupNorms.
        cross_attention_dim: width of the text embeddings.
        attention_head_dim: channels of an attention head.
        num_attention_heads: not read, as in diffusers.
        fps: frames a second that the network is told; 16 is the default of diffusers' pipeline.
    """

    own_layers = re.compile(r"(image_latents_|context_embedding|fps_embedding).*")

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = DOWN,
        up_block_types: tuple[str, ...] = UP,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        num_attention_heads: int | None = None,
        fps: int = 16,
    ) -> None:
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads,
        )

    def freeze_spatial(self) -> None:
        """Let gradients reach the temporal layers and those that no image UNet has."""
        super().freeze_spatial()
        for name, parameter in self.named_parameters():
            if self.own_layers.match(name):
                parameter.requires_grad_(True)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
    ) -> UNet3DConditionOutput | tuple[Tensor]:
        """The prediction for noisy latents, `b c f h w`.

        Args:
            sample: noisy latents `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.
            return_dict: false gives a tuple.

        Raises:
            UserError: shapes that the network does not take.
        """
        self.check_inputs(sample, encoder_hidden_states)
        batch, _, frames, height, width = sample.shape
        return super().forward(
            sample,
            timestep,
            fps=sample.new_full((batch,), self.config["fps"]),
            image_latents=sample.new_zeros(batch, IMAGE_CHANNELS, frames, height, width),
            image_embeddings=sample.new_zeros(batch, 1, self.config["cross_attention_dim"]),
            encoder_hidden_states=encoder_hidden_states,
            return_dict=return_dict,
        )

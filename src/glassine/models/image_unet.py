"""An image UNet called as a video UNet: every frame by itself.

TODO-DOC
Stable Diffusion 1.5's UNet called as a video UNet, with LayerDiffuse's attention if wanted.
"""

from typing import Any

from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput
from einops import rearrange, repeat
from torch import Tensor

from glassine.nn.layout_adapter import add_layer_attention

FRAME_DOWN = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
FRAME_UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")


class FrameUNet(UNet2DConditionModel):
    """diffusers' `UNet2DConditionModel` on each frame: what a text-to-image model is among the video models.

    The defaults are Stable Diffusion 2.1's. Its weights fit the spatial part of a `VideoUNet` of the same arguments.

    Args:
        in_channels: channels of the noisy latents, and of what is given beside them.
        out_channels: channels of the prediction.
        down_block_types: one a resolution.
        up_block_types: one a resolution.
        block_out_channels: widths, multiples of `norm_num_groups` and of `attention_head_dim`.
        layers_per_block: layers in a block on the way down; one more on the way up.
        norm_num_groups: of all GroupNorms.
        cross_attention_dim: width of the text embeddings.
        attention_head_dim: channels of an attention head, as in `VideoUNet`; diffusers' image UNet counts heads by it.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = FRAME_DOWN,
        up_block_types: tuple[str, ...] = FRAME_UP,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=tuple(width // attention_head_dim for width in block_out_channels),
            use_linear_projection=True,
        )
        self.register_to_config(attention_head_dim=attention_head_dim)  # the base has put its own number there

    def forward(
        self, sample: Tensor, timestep: Tensor | float | int, encoder_hidden_states: Tensor, **options: Any
    ) -> UNet2DConditionOutput:
        """The prediction `b c f h w` for noisy latents `b c f h w`; `options` are diffusers'.

        Args:
            sample: noisy latents.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.
        """
        frames = sample.shape[2]
        if isinstance(timestep, Tensor) and timestep.ndim:
            timestep = repeat(timestep, "b -> (b f)", f=frames)
        made = super().forward(
            rearrange(sample, "b c f h w -> (b f) c h w"),
            timestep,
            repeat(encoder_hidden_states, "b n d -> (b f) n d", f=frames),
            **options,
        )
        return UNet2DConditionOutput(sample=rearrange(made.sample, "(b f) c h w -> b c f h w", f=frames))


class ImageUNet(FrameUNet):
    """diffusers' `UNet2DConditionModel` on each frame: the network of Layer-Animate's first stage at full size.

    `FrameUNet` is built as Stable Diffusion 2, with heads of one width; this one as SD 1.5, with one number of heads.
    The defaults are SD 1.5's, 859.521 M parameters.

    Args:
        in_channels: channels of the noisy latents, and of what is given beside them.
        out_channels: channels of the prediction.
        down_block_types: one a resolution.
        up_block_types: one a resolution.
        block_out_channels: widths, multiples of `norm_num_groups`.
        layers_per_block: layers in a block on the way down; one more on the way up.
        norm_num_groups: of all GroupNorms.
        cross_attention_dim: width of the text embeddings.
        attention_head_dim: the number of heads; diffusers calls it so in image UNets.
        use_linear_projection: see diffusers.
        layer_attention: whether its attentions are LayerDiffuse's, see `LayerAttention`.
    """

    # loaded weights are copied: used where they lie in a mapped file, at odd addresses, they give other last digits
    _supports_param_buffer_assignment = False

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = FRAME_DOWN,
        up_block_types: tuple[str, ...] = FRAME_UP,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 768,
        attention_head_dim: int | tuple[int, ...] = 8,
        use_linear_projection: bool = False,
        layer_attention: bool = False,
    ) -> None:
        UNet2DConditionModel.__init__(  # not FrameUNet's, which builds another network
            self,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            use_linear_projection=use_linear_projection,
        )
        if layer_attention:
            add_layer_attention(self)

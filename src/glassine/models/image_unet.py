"""Image UNets called as video UNets, every frame by itself: Stable Diffusion 2's and 1.5's."""

from typing import Any

from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel, UNet2DConditionOutput
from einops import rearrange, repeat
from torch import Tensor

from glassine.models.unet_arguments import inherit_arguments
from glassine.nn.layout_adapter import add_layer_attention

SIZES = (
    "in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels", "layers_per_block",
    "norm_num_groups", "cross_attention_dim",
)  # fmt: skip


class FrameUNet(UNet2DConditionModel):
    """diffusers' `UNet2DConditionModel` on each frame: a text-to-image model among the video models.

    Its weights fit the spatial part of a `VideoUNet` with the same arguments. Other arguments are diffusers'; the
    defaults are Stable Diffusion 2.1's.

    Args:
        attention_head_dim: channels of an attention head, as in `VideoUNet`; in diffusers' image UNet this name stands
            for their number.
    """

    @register_to_config
    @inherit_arguments(UNet2DConditionModel, *SIZES, cross_attention_dim=1024)
    def __init__(self, inherited: dict[str, Any], attention_head_dim: int = 64) -> None:
        heads = tuple(width // attention_head_dim for width in inherited["block_out_channels"])
        super().__init__(**inherited, attention_head_dim=heads, use_linear_projection=True)
        self.register_to_config(attention_head_dim=attention_head_dim)  # the base class has registered `heads`

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
    """The network of Layer-Animate's first stage at full size: `FrameUNet` as SD 1.5, with one number of heads.

    `attention_head_dim` is the number of heads, as in diffusers' image UNets. Other arguments are diffusers'; the
    defaults are SD 1.5's, 859.521 M parameters.

    Args:
        layer_attention: whether the attentions are LayerDiffuse's, see `LayerAttention`.
    """

    # loaded weights are copied: used in place, unaligned in a mapped file, they change the last digits of results
    _supports_param_buffer_assignment = False

    @register_to_config
    @inherit_arguments(
        UNet2DConditionModel, *SIZES, "attention_head_dim", "use_linear_projection", cross_attention_dim=768
    )
    def __init__(self, inherited: dict[str, Any], layer_attention: bool = False) -> None:
        UNet2DConditionModel.__init__(self, **inherited)  # not FrameUNet's, which builds another network
        if layer_attention:
            add_layer_attention(self)

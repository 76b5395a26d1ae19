"""The video UNet of VSD2M's methods: diffusers' `UNet3DConditionModel` with temporal layers of one's choice.

TODO-DOC
What all video UNets share: which layers are temporal, freezing the others, checkpointing, checked inputs.
---
I2VGen-XL (Zhang et al., arXiv 2311.04145) as VSD2M compares it: "we discard its image guidance".
"""

import re
from typing import Any

from diffusers import I2VGenXLUNet, UNet3DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from glassine.nn.diffusion import checkpoint_layer
from glassine.nn.temporal import MakeAVideo, TemporalMethod, make_method
from glassine.utils.errors import UserError

TEMPORAL = re.compile(r"(transformer_in|.+\.temp_(attentions|convs)\.\d+)")
LAYER = re.compile(r"(transformer_in|.+\.(resnets|attentions|temp_attentions|temp_convs)\.\d+)")


class TemporalUNet(nn.Module):
    """Mixin, in front of one of diffusers' video UNets."""

    _supports_gradient_checkpointing = True
    # loaded weights are copied: used where they lie in a mapped file, at odd addresses, they give other last digits
    _supports_param_buffer_assignment = False
    gradient_checkpointing = False
    config: Any

    def temporal_layers(self) -> dict[str, nn.Module]:
        """The temporal layers by name, in the order of the forward pass."""
        order = ("transformer_in", "down_blocks", "mid_block", "up_blocks")
        parts = ((part, self.get_submodule(part)) for part in order)
        found = [pair for part, module in parts for pair in module.named_modules(prefix=part)]
        return {name: module for name, module in found if TEMPORAL.fullmatch(name)}

    def freeze_spatial(self) -> None:
        """Let gradients reach the temporal layers alone; VSD2M trains these on Stable Diffusion's spatial part."""
        self.requires_grad_(False)
        for layer in self.temporal_layers().values():
            layer.requires_grad_(True)

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        """What diffusers' `enable_gradient_checkpointing` calls; the 3D blocks of the library take no notice of it.

        Each residual block, transformer and temporal layer is computed again on its own, by torch's own function.
        """
        for name, layer in self.named_modules():
            if LAYER.fullmatch(name):
                checkpoint_layer(layer, enable)
        self.gradient_checkpointing = enable

    def check_inputs(self, sample: Tensor, prompt_embeds: Tensor) -> None:
        """Raise UserError where `sample` (`b c f h w`) or `prompt_embeds` (`b n d`) are not what the network takes."""
        channels, width = self.config["in_channels"], self.config["cross_attention_dim"]
        if sample.ndim != 5 or sample.shape[1] != channels or 0 in sample.shape:
            raise UserError(
                f"latents of shape {tuple(sample.shape)} came; this UNet takes (batch, {channels}, frames, h, w)"
            )
        multiple = 2 ** (len(self.config["block_out_channels"]) - 1)
        if sample.shape[-2] % multiple or sample.shape[-1] % multiple:
            raise UserError(
                f"latents of {sample.shape[-2]} x {sample.shape[-1]} came; this UNet takes multiples of {multiple}: "
                f"make clips of multiples of {8 * multiple} pixels"
            )
        if prompt_embeds.ndim != 3 or prompt_embeds.shape[0] != sample.shape[0] or prompt_embeds.shape[2] != width:
            raise UserError(
                f"prompt embeddings of shape {tuple(prompt_embeds.shape)} came for {sample.shape[0]} clips; this UNet "
                f"takes ({sample.shape[0]}, tokens, {width}): use the text encoder that it was made for"
            )


DOWN = ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D")
UP = ("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D")


class VideoUNet(TemporalUNet, UNet3DConditionModel):
    """`UNet3DConditionModel` whose temporal layers a `TemporalMethod` puts in; saved and loaded as any diffusers model.

    All arguments but `temporal` are diffusers'; their defaults are ModelScope's text-to-video UNet (read in the
    `unet/config.json` of `ali-vilab/text-to-video-ms-1.7b`), the full size of the paper's methods. In a YAML, methods
    differ in one key:

    ```yaml
    class_path: glassine.models.video_unet.VideoUNet
    init_args:
      temporal: glassine.nn.sti.STI    # or glassine.nn.temporal.VideoLDM, .VideoFactory, .MakeAVideo
    ```

    Args:
        sample_size: not used by the network.
        in_channels: channels of the noisy latents, and of what is given beside them.
        out_channels: channels of the prediction.
        down_block_types: one a resolution.
        up_block_types: one a resolution.
        block_out_channels: widths, multiples of `norm_num_groups` and of `attention_head_dim`.
        layers_per_block: layers in a block on the way down; one more on the way up.
        downsample_padding: see diffusers.
        mid_block_scale_factor: see diffusers.
        act_fn: see diffusers.
        norm_num_groups: of all GroupNorms.
        norm_eps: of the GroupNorms in residual blocks.
        cross_attention_dim: width of the text embeddings.
        attention_head_dim: channels of an attention head.
        num_attention_heads: must stay None, as in diffusers.
        time_cond_proj_dim: see diffusers.
        temporal: the method, or `class_path` and `init_args` of one, as they stand in a saved `config.json`. None is
            `MakeAVideo`, diffusers' own layers: ModelScope's folder is loaded by `from_pretrained` as it is.

    Raises:
        UserError: `temporal` describes no method, or one that does not go with the widths.
    """

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
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1,
        act_fn: str = "silu",
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        num_attention_heads: int | None = None,
        time_cond_proj_dim: int | None = None,
        temporal: TemporalMethod | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            downsample_padding=downsample_padding,
            mid_block_scale_factor=mid_block_scale_factor,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads,
            time_cond_proj_dim=time_cond_proj_dim,
        )
        method = MakeAVideo() if temporal is None else make_method(temporal)
        # here and not after: only what stands when the constructor returns is filled by `from_pretrained`
        self.put_in(method)
        self.register_to_config(temporal=method.describe())  # type: ignore[operator]

    def put_in(self, method: TemporalMethod) -> None:
        """Let `method` replace the temporal layers."""
        attentions = 0
        for name, layer in self.temporal_layers().items():
            replacement: nn.Module
            if isinstance(layer, TemporalConvLayer):
                replacement = method.convolution(layer)
            else:
                replacement = method.attention(layer, attentions)  # type: ignore[arg-type]
                attentions += 1
            self.set_submodule(name, replacement)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        down_block_additional_residuals: tuple[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet3DConditionOutput | tuple[Tensor]:
        """The prediction for noisy latents, `b c f h w`; the last arguments are diffusers'.

        Args:
            sample: noisy latents `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.

        Raises:
            UserError: shapes that the network does not take.
        """
        self.check_inputs(sample, encoder_hidden_states)
        return super().forward(
            sample,
            timestep,
            encoder_hidden_states,
            class_labels=class_labels,
            timestep_cond=timestep_cond,
            attention_mask=attention_mask,
            cross_attention_kwargs=cross_attention_kwargs,
            down_block_additional_residuals=down_block_additional_residuals,
            mid_block_additional_residual=mid_block_additional_residual,
            return_dict=return_dict,
        )


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

"""The video UNets of VSD2M's methods: diffusers' networks with configurable temporal layers.

`VideoUNet` is ModelScope's `UNet3DConditionModel`. `I2VGen` is I2VGen-XL (Zhang et al., arXiv 2311.04145) as in VSD2M's
comparison: "we discard its image guidance".
"""

import re
from typing import Any

from diffusers import I2VGenXLUNet, UNet3DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor, nn

from glassine.models.image_unet import inherit_arguments
from glassine.nn.diffusion import checkpoint_layer, zero_module
from glassine.nn.temporal import MakeAVideo, TemporalMethod, make_method
from glassine.utils.errors import UserError

TEMPORAL = re.compile(r"(transformer_in|.+\.temp_(attentions|convs)\.\d+)")
LAYER = re.compile(r"(transformer_in|.+\.(resnets|attentions|temp_attentions|temp_convs)\.\d+)")


class TemporalUNet(nn.Module):
    """Mixin for diffusers' video UNets; list it before the diffusers class."""

    _supports_gradient_checkpointing = True
    # copy loaded weights: used in place, unaligned in the mapped file, they change the last digits of results
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
        """Train only the temporal layers, as VSD2M does with Stable Diffusion's spatial part."""
        self.requires_grad_(False)
        for layer in self.temporal_layers().values():
            layer.requires_grad_(True)

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        """Called by diffusers' `enable_gradient_checkpointing`, which diffusers' own 3D blocks ignore.

        Checkpoints each residual block, transformer and temporal layer separately.
        """
        for name, layer in self.named_modules():
            if LAYER.fullmatch(name):
                checkpoint_layer(layer, enable)
        self.gradient_checkpointing = enable

    def check_inputs(self, sample: Tensor, prompt_embeds: Tensor) -> None:
        """Raise UserError if the shape of `sample` (`b c f h w`) or `prompt_embeds` (`b n d`) does not fit."""
        channels, width = self.config["in_channels"], self.config["cross_attention_dim"]
        if sample.ndim != 5 or sample.shape[1] != channels or 0 in sample.shape:
            needed = f"(batch, {channels}, frames, height, width)"
            raise UserError(f"latents must be of shape {needed}, got {tuple(sample.shape)}")
        multiple = 2 ** (len(self.config["block_out_channels"]) - 1)
        if sample.shape[-2] % multiple or sample.shape[-1] % multiple:
            raise UserError(
                f"height and width of latents must be multiples of {multiple}, got {sample.shape[-2]} x "
                f"{sample.shape[-1]}: make clips of multiples of {8 * multiple} pixels"
            )
        if prompt_embeds.ndim != 3 or prompt_embeds.shape[0] != sample.shape[0] or prompt_embeds.shape[2] != width:
            raise UserError(
                f"prompt_embeds must be of shape ({sample.shape[0]}, tokens, {width}), got "
                f"{tuple(prompt_embeds.shape)}: use the text encoder that the UNet was trained with"
            )


class VideoUNet(TemporalUNet, UNet3DConditionModel):
    """`UNet3DConditionModel` with the temporal layers of a `TemporalMethod`; saved and loaded as any diffusers model.

    All arguments except `temporal` are diffusers', with diffusers' defaults: ModelScope's text-to-video UNet
    (`unet/config.json` of `ali-vilab/text-to-video-ms-1.7b`), the full size of the paper's methods. In a YAML, methods
    differ in one key:

    ```yaml
    class_path: glassine.models.video_unet.VideoUNet
    init_args:
      temporal: glassine.nn.sti.STI    # or glassine.nn.temporal.VideoLDM, .VideoFactory, .MakeAVideo
    ```

    Args:
        temporal: the method, or its `class_path` and `init_args` as saved in `config.json`. None is `MakeAVideo`,
            diffusers' own layers, so that `from_pretrained` can load ModelScope's folder unchanged.

    Raises:
        UserError: `temporal` is not a method, or does not fit the widths.
    """

    @register_to_config
    @inherit_arguments(UNet3DConditionModel)
    def __init__(self, inherited: dict[str, Any], temporal: TemporalMethod | dict[str, Any] | None = None) -> None:
        super().__init__(**inherited)
        method = MakeAVideo() if temporal is None else make_method(temporal)
        # in the constructor: `from_pretrained` only fills layers that exist when it returns
        self.put_in(method)
        self.register_to_config(temporal=method.describe())  # type: ignore[operator]

    def put_in(self, method: TemporalMethod) -> None:
        """Replace the temporal layers by those of `method`."""
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
        """The prediction `b c f h w` for noisy latents; all further arguments are diffusers'.

        Args:
            sample: noisy latents `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.

        Raises:
            UserError: shapes that do not fit.
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
    """diffusers' `I2VGenXLUNet` with the call signature of `VideoUNet`; image latents and image embedding are zero.

    diffusers' pipeline also uses a zero embedding, for the unconditional half of classifier-free guidance. The layers
    for the image are kept, so that public weights load and the number of parameters is the published one. Their output
    for zeros is a learned constant; their first weights get no gradient, since their input is zero.

    All other arguments are diffusers', with diffusers' defaults: the `unet/config.json` of `ali-vilab/i2vgen-xl`.

    Args:
        fps: frames per second given to the network; 16 is the default of diffusers' pipeline.
        zero_init: zero-initialize the last layers of the temporal attentions and of the embedding of `fps`, as for the
            other methods (see `MakeAVideo`). Has no effect on loaded weights.
        image_tokens: whether text attention includes the tokens of the (zero) image, which public weights expect. With
            False and `zero_init`, an untrained network equals the image network on every frame, as for the other
            methods.
    """

    own_layers = re.compile(r"(image_latents_|context_embedding|fps_embedding).*")

    @register_to_config
    @inherit_arguments(I2VGenXLUNet)
    def __init__(
        self, inherited: dict[str, Any], fps: int = 16, zero_init: bool = True, image_tokens: bool = True
    ) -> None:
        super().__init__(**inherited)
        if zero_init:
            for layer in self.temporal_layers().values():
                if isinstance(layer, TransformerTemporalModel):
                    zero_module(layer.proj_out)
            rates = self.fps_embedding
            assert isinstance(rates, nn.Sequential)
            zero_module(rates[-1])
        self.text_tokens = 0  # number of text tokens in the current call
        if not image_tokens:
            for layer in self.modules():
                if isinstance(layer, Transformer2DModel):
                    layer.register_forward_pre_hook(self.only_text, with_kwargs=True)

    def only_text(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Forward pre-hook that removes the image's tokens, which follow those of the text, from an attention."""
        return args, kwargs | {"encoder_hidden_states": kwargs["encoder_hidden_states"][:, : self.text_tokens]}

    def freeze_spatial(self) -> None:
        """Train only the temporal layers and the layers that an image UNet does not have."""
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
            return_dict: False returns a tuple.

        Raises:
            UserError: shapes that do not fit.
        """
        self.check_inputs(sample, encoder_hidden_states)
        batch, _, frames, height, width = sample.shape
        self.text_tokens = encoder_hidden_states.shape[1]
        return super().forward(
            sample,
            timestep,
            fps=sample.new_full((batch,), self.config["fps"]),
            image_latents=sample.new_zeros(batch, IMAGE_CHANNELS, frames, height, width),
            image_embeddings=sample.new_zeros(batch, 1, self.config["cross_attention_dim"]),
            encoder_hidden_states=encoder_hidden_states,
            return_dict=return_dict,
        )

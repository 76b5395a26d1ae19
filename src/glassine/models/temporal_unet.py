"""What all video UNets share: which layers are temporal, freezing the others, checkpointing, checked inputs."""

import re
from typing import Any

from torch import Tensor, nn

from glassine.errors import UserError
from glassine.nn.checkpointing import checkpoint_layer

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

"""An image UNet called as a video UNet: every frame by itself."""

from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from einops import rearrange, repeat
from torch import Tensor


class FrameUNet(UNet2DConditionModel):  # type: ignore[misc]
    """diffusers' `UNet2DConditionModel` on each frame: what a text-to-image model is among the video models.

    All arguments are diffusers'. What diffusers calls `attention_head_dim` is the number of heads here, one a block;
    with `use_linear_projection: true` and that number times the width of a head, its weights fit a `VideoUNet`.
    """

    def forward(  # type: ignore[override]
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

"""The network of Animated Stickers (arXiv 2402.06088): a `VideoUNet` conditioned on a still and on clip properties."""

import re
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_3d_condition import UNet3DConditionOutput
from torch import Tensor

from glassine.models.image_unet import inherit_arguments
from glassine.models.video_unet import VideoUNet
from glassine.nn.conditioning import ClipConditions, ClipTimeEmbedding
from glassine.nn.inter_frame_attention import Reference, reference_frame
from glassine.nn.looping import wrap_around
from glassine.nn.second_text import SecondText
from glassine.utils.errors import UserError


class ImageToVideoUNet(VideoUNet):
    """A `VideoUNet` with conditions per clip, for `ImageToVideo`.

    As in figure 2 of the paper, temporal layers come "after convolution and spatial transformers, with
    identity-initialization". `in_channels` is the sum of the channels of the noisy latents, of their predicted mean if
    any, of the still, and one for the mask. All new parts are zero-initialized: with the weights of an image network,
    the untrained network equals that network on every frame.

    Arguments up to `temporal` are those of `VideoUNet`.

    Args:
        motion_buckets: number of buckets for the amount of motion, a condition of the network; 0 for none.
        frame_rate: whether the sampling frame rate of the clip is a condition.
        guidance_inputs: whether guidance scales are conditions, for a network into which guidance is distilled.
        reference_frame: default position of the still: `first`, `middle` (index f // 2 of f frames) or an index.
        loops: whether temporal layers wrap around, see `glassine.nn.looping`; does not change the weights.
        second_text: number of tokens of the first and width of the second text encoder, for the embeddings of a
            `glassine.models.text_pair.TextEncoderPair`; None for a single encoder.

    Raises:
        UserError: an argument out of range.
    """

    # layers that an image UNet does not have
    own_layers = re.compile(r"(time_embedding\.(motion|rate|scales)|second_reader)\..*")

    @register_to_config
    @inherit_arguments(VideoUNet)
    def __init__(
        self,
        inherited: dict[str, Any],
        motion_buckets: int = 0,
        frame_rate: bool = False,
        guidance_inputs: bool = False,
        reference_frame: Reference = "middle",
        loops: bool = False,
        second_text: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(**inherited)
        if motion_buckets < 0:
            raise UserError(f"motion_buckets must be at least 0, got {motion_buckets}")
        self.reference_index(1 if isinstance(reference_frame, str) else reference_frame + 1)
        waves = self.config["block_out_channels"][0]
        self.time_embedding = ClipTimeEmbedding(
            waves, 4 * waves, buckets=motion_buckets, rate=frame_rate, scales=guidance_inputs
        )
        self.wrap_around(loops)
        if second_text is not None:
            tokens, width = second_text
            self.second_reader = SecondText(tokens, self.config["cross_attention_dim"], width)

    def wrap_around(self, loops: bool) -> None:
        """Set whether temporal layers treat clips as loops."""
        wrap_around(self.temporal_layers().values(), loops)

    def reference_index(self, frames: int, reference: Reference | None = None) -> int:
        """Index of the still in a clip of `frames` frames; `reference` None uses the network's `reference_frame`."""
        return reference_frame(self.config["reference_frame"] if reference is None else reference, frames)

    def freeze_spatial(self) -> None:
        """Train only temporal layers, conditions per clip, and the first convolution, which reads the still."""
        super().freeze_spatial()
        self.conv_in.requires_grad_(True)
        for name, parameter in self.named_parameters():
            if self.own_layers.match(name):
                parameter.requires_grad_(True)

    def conditions(
        self, clips: int, motion: Tensor | None = None, rate: Tensor | None = None, scales: Tensor | None = None
    ) -> ClipConditions:
        """Conditions for `clips` clips; None stands for an unknown value. See `ClipConditions`.

        Raises:
            UserError: a condition that this network does not have, or no `scales` for a network with `guidance_inputs`.
        """
        device, config = next(self.parameters()).device, self.config
        for name, value, takes in (
            ("motion", motion, config["motion_buckets"]),
            ("rate", rate, config["frame_rate"]),
            ("scales", scales, config["guidance_inputs"]),
        ):
            if value is not None and not takes:
                raise UserError(f"{name} must be left out for this network, which has no such condition")
        if motion is None and config["motion_buckets"]:
            motion = torch.full((clips,), config["motion_buckets"], device=device)
        if rate is None and config["frame_rate"]:
            rate = torch.zeros(clips, device=device)
        if scales is None and config["guidance_inputs"]:
            raise UserError("scales must be given for a network with guidance_inputs, got None")
        return ClipConditions(motion, rate, scales)

    def forward(  # type: ignore[override]
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        conditions: ClipConditions | None = None,
        return_dict: bool = True,
    ) -> UNet3DConditionOutput | tuple[Tensor]:
        """The prediction for noisy latents, `b c f h w`.

        Args:
            sample: noisy latents with all additional channels, `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`; with `second_text`, those of both encoders.
            conditions: result of `conditions`; None if all are unknown.
            return_dict: False returns a tuple.

        Raises:
            UserError: shapes that do not fit.
        """
        conditions = self.conditions(len(sample)) if conditions is None else conditions
        if self.config["second_text"] is not None:
            encoder_hidden_states = self.second_reader(encoder_hidden_states)
        return super().forward(
            sample,
            timestep,
            encoder_hidden_states,
            timestep_cond=conditions,  # type: ignore[arg-type]  # passed through to the time embedding
            return_dict=return_dict,
        )

"""Animated Stickers (arXiv 2402.06088): clips from a still and a text, with alpha in the latents."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn

from glassine.models.animation import (
    MOTION_GUIDANCE,
    Animation,
    as_animation,
    motion_condition,
    sample_latents,
)
from glassine.models.image_to_video_unet import ImageToVideoUNet
from glassine.models.sampling import Distilled, Progress, SamplerConfig
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.conditioning import fill_padding
from glassine.nn.inter_frame_attention import Reference
from glassine.utils.errors import UserError

RATES = (0.1, 100.0)


class ImageToVideo(TransparentVideo):
    """Latent diffusion of a clip around a still.

    The still's latents are repeated over all frames and concatenated to the noisy latents, with a mask channel that
    marks the still's frame; both are zero if the still is dropped. Unlike in `MotionUNet`, this frame is as noisy as
    the others and is also predicted. With noisy latents z_t, still c_I and text c_T, guidance is InstructPix2Pix's
    (arXiv 2211.09800, equation 3):

        e(z_t, 0, 0) + s_I (e(z_t, c_I, 0) - e(z_t, 0, 0)) + s_T (e(z_t, c_I, c_T) - e(z_t, c_I, 0))

    where s_I is `image_guidance_scale` and s_T is `guidance_scale`. A `distilled` network predicts the guided result in
    a single pass.

    The UNet is trained on the VAE's latents of opaque clips, or on the codec's adjusted latents, which include alpha.
    Both have the same shape, so that weights trained on one can be trained further on the other, as in Layer-Animate.

    Args:
        unet: an `ImageToVideoUNet`.
        codec: see `TransparentVideo`; frozen.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type.
        latent_mean: see `TextToVideo`.
        mean_of_given: see `TextToVideo`: whether a given still corrects the predicted mean.
        alpha_levels: see `TransparentVideo`.
        styles: see `TextToVideo`.
        shared_noise: see `TextToVideo`.
        distilled: the settings for which the network was distilled; None if it was not.

    Raises:
        TypeError: `unet` is not an `ImageToVideoUNet`.
        ValueError: `unet` has other input channels than the still and its mask need, or its `guidance_inputs` do not
            match `distilled`.
    """

    def __init__(
        self,
        unet: nn.Module,
        codec: nn.Module,
        text_encoder: nn.Module,
        scheduler: DDPMScheduler,
        latent_mean: nn.Module | None = None,
        mean_of_given: bool = False,
        alpha_levels: tuple[float, float] = (0.0, 1.0),
        styles: tuple[str, ...] = (),
        shared_noise: float = 0.0,
        distilled: Distilled | None = None,
    ) -> None:
        if not isinstance(unet, ImageToVideoUNet):
            raise TypeError(f"unet must be an ImageToVideoUNet, got a {type(unet).__name__}")
        super().__init__(
            unet,
            codec,
            text_encoder,
            scheduler,
            latent_mean=latent_mean,
            mean_of_given=mean_of_given,
            alpha_levels=alpha_levels,
            styles=styles,
            shared_noise=shared_noise,
        )
        if not self.takes_cond_mask:
            needed = self.read_channels + 1
            raise ValueError(f"in_channels of the UNet must be {needed}, got {unet.config['in_channels']}")
        ranges = distilled is not None and (distilled.text_range or distilled.image_range)
        if bool(ranges) != bool(unet.config["guidance_inputs"]):
            raise ValueError(
                "the UNet must have guidance_inputs if and only if distilled has a text_range or image_range"
            )
        self.distilled = distilled

    @property
    def read_channels(self) -> int:
        """Input channels of the UNet without the mask: noisy latents, predicted mean and still."""
        return super().read_channels + self.latent_channels

    @property
    def animates(self) -> bool:
        """True: the UNet generates clips."""
        return True

    @property
    def needs_base(self) -> bool:
        """True: clips are generated around a still, which must be given."""
        return True

    @property
    def usual_frames(self) -> int:
        """Default number of frames: that of the `MotionPrior` if there is one, else 8 as in the paper."""
        return int(getattr(self.latent_mean, "num_frames", 8))

    @property
    def usual_sampling(self) -> Animation:
        """Default sampler settings."""
        steps = None if self.distilled is None else self.distilled.num_inference_steps
        if steps is None or self.distilled is None:
            return Animation()
        return Animation(num_inference_steps=steps, solver=self.distilled.solver)

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError if the networks cannot generate clips of this size."""
        super(TransparentVideo, self).check_size(size, num_frames)  # the number of frames is not limited

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_latents: Tensor | None = None,
        cond_mask: Tensor | None = None,
        motion: Tensor | None = None,
        rate: Tensor | None = None,
        scales: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction `b f c h w`.

        Args:
            noisy: latents `b f c h w`.
            timesteps: `b`.
            prompt_embeds: `b n d`.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true.
            cond_mask: `b f` bool, true for the still's frame; all false for a clip without still.
            motion: buckets `b`, for a network with `motion_buckets`.
            rate: frames per second `b`, 0 if unknown, for a network with `frame_rate`.
            scales: guidance scales `b 2` for text and image, for a network with `guidance_inputs`.

        Raises:
            UserError: a condition that the network does not have, or missing `scales`.
        """
        still, mask = torch.zeros_like(noisy), noisy.new_zeros(noisy.shape[:2])
        if cond_latents is not None and cond_mask is not None:
            mask = cond_mask.to(noisy.dtype)  # b f
            shown = torch.where(cond_mask[:, :, None, None, None], cond_latents, 0).sum(dim=1, keepdim=True)
            still = (shown / mask.sum(dim=1).clamp(min=1).view(-1, 1, 1, 1, 1)).to(noisy).expand_as(noisy)
        planes = mask[:, :, None, None, None].expand(-1, -1, 1, *noisy.shape[-2:])  # b f 1 h w
        beside = self.beside_mean(noisy, prompt_embeds, cond_latents, cond_mask)
        sample = rearrange(torch.cat([beside, still, planes], dim=2), "b f c h w -> b c f h w")
        conditions = self.unet.conditions(len(noisy), motion, rate, scales)  # type: ignore[operator]
        predicted = self.unet(sample, timesteps, fill_padding(prompt_embeds), conditions).sample
        return rearrange(predicted, "b c f h w -> b f c h w")

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        num_frames: int = 8,
        negative_prompt: str = "",
        sampling: SamplerConfig | None = None,
        cond_latents: Tensor | None = None,
        cond_mask: Tensor | None = None,
        progress: Progress = lambda *_: None,
        base: Tensor | None = None,
        motion: int | None = None,
        rate: float | None = None,
        reference: Reference | None = None,
    ) -> Tensor:
        """Straight RGBA clips `b f 4 h w` in [0, 1].

        Args:
            prompts: one per clip.
            seeds: one per clip; prompt, seed and settings determine the clip, up to rounding that depends on the batch.
            size: height and width in pixels.
            num_frames: f.
            negative_prompt: prompt of the predictions without text; must be empty for a distilled network.
            sampling: an `Animation`, or a `SamplerConfig`, which is completed by the defaults of `Animation`; None for
                `usual_sampling`.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true; an alternative to `base`.
            cond_mask: `b f` bool, true for the given frame.
            progress: called after each step with its number and the number of steps.
            base: straight, color-padded RGBA images `b 4 h w` in [0, 1] to be animated.
            motion: bucket of the amount of motion, from 0; None if unknown.
            rate: sampling frame rate in frames per second, in [0.1, 100]; a low rate gives larger changes from frame to
                frame. None if unknown.
            reference: position of the still: `first`, `middle` or an index; None uses the network's default.

        Raises:
            UserError: no still; sizes, frames, images, conditions, steps or guidance that the networks do not support;
                or different numbers of prompts and seeds.
            ValueError: both `base` and conditioning latents are given.
        """
        self.check_size(size, num_frames)
        how = as_animation(self.usual_sampling if sampling is None else sampling)
        how, more = self.settings(how, negative_prompt, len(prompts))
        buckets = None if motion is None else motion_condition(self.unet, motion, len(prompts))
        if rate is not None:
            if not RATES[0] <= rate <= RATES[1]:
                raise UserError(f"rate must be in [{RATES[0]:g}, {RATES[1]:g}] frames per second, got {rate:g}")
            more["rate"] = torch.full((len(prompts),), float(rate), device=next(self.unet.parameters()).device)
        if base is not None:
            if cond_latents is not None or cond_mask is not None:
                raise ValueError("either base or cond_latents must be given, got both")
            still = self.encode_base(base, (len(prompts), *size))
            cond_latents, cond_mask = self.around(still, num_frames, reference)
        if cond_latents is None or cond_mask is None:
            raise UserError("a still must be given to this network, which animates pictures and generates none")
        if cond_mask.all():  # the still is the only frame
            return self.decode_transparent(cond_latents)
        shape = (num_frames, *size)
        latents = sample_latents(
            self, prompts, seeds, shape, negative_prompt, how, cond_latents, cond_mask, buckets, progress, more=more
        )
        return self.decode_transparent(latents)

    def settings(self, how: Animation, negative_prompt: str, clips: int) -> tuple[Animation, dict[str, Tensor]]:
        """Settings for the sampling loop, and the guidance scales as conditions of a distilled network.

        Warns if a distilled network is sampled with other steps than it was distilled for.

        Raises:
            UserError: steps, a solver or guidance that the network does not support.
        """
        if how.motion_adapter_scale:
            raise UserError(f"motion_adapter_scale must be 0 for this network, got {how.motion_adapter_scale:g}")
        if self.distilled is None:
            return how, {}
        self.distilled.check_steps(how)
        if negative_prompt:
            raise UserError("negative_prompt must be empty: guidance is distilled into this network")
        if how.motion_guidance_scale not in (1, MOTION_GUIDANCE):  # the default of `Animation` is accepted and ignored
            got = f"{how.motion_guidance_scale:g}"
            raise UserError(f"motion_guidance_scale must be left out for this distilled network, got {got}")
        image = None if how.image_guidance_scale == 1 else how.image_guidance_scale  # 1 is the default: not set
        scales = self.distilled.checked_scales(how.guidance_scale, image)
        more = {}
        if self.unet.config["guidance_inputs"]:  # type: ignore[index]
            more["scales"] = torch.tensor([scales] * clips, device=next(self.unet.parameters()).device)
        return replace(how, guidance_scale=1.0, image_guidance_scale=1.0, motion_guidance_scale=1.0), more

    def reference_index(self, num_frames: int, reference: Reference | None = None) -> int:
        """Index of the still's frame; `reference` None uses the network's default."""
        return self.unet.reference_index(num_frames, reference)  # type: ignore[operator]

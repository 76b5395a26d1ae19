"""Layer-Animate (section III-B): a transparent image from a text, and a transparent clip from that image."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn

from glassine.models.animation import (
    Animation,
    as_animation,
    check_base,
    check_motion_adapters,
    motion_condition,
    sample_latents,
)
from glassine.models.motion_unet import MotionUNet
from glassine.models.sampling import Progress, SamplerConfig
from glassine.models.text_to_video import TextToVideo, image_unet_only
from glassine.models.transparency import TransparencyVAE
from glassine.nn.conditioning import fill_padding
from glassine.nn.view_averaging import TestTimeAugmentation
from glassine.utils.errors import UserError


class TransparentVideo(TextToVideo):
    """Diffusion in LayerDiffuse's adjusted latents, which include alpha.

    With an image UNet, it generates transparent images (the first stage). With a `MotionUNet`, it animates an image:
    the UNet's reference frame is this base image, without noise at every step. Latents are normalized with the VAE's
    statistics.

    Args:
        unet: a network with the call signature of `VideoUNet`: `FrameUNet`, `ImageUNet` or `MotionUNet`.
        codec: `TransparencyVAE` with the VAE (typed as a module so that a loader can create it); frozen.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type.
        image_scheduler: noise schedule of the first stage, if the image UNet and the motion modules were trained with
            different schedules, as Stable Diffusion 1.5 and AnimateDiff were; None uses `scheduler`.
        latent_mean: see `TextToVideo`.
        mean_of_given: see `TextToVideo`. The base image, with the motion that the `MotionPrior` predicts, is then an
            input for every frame. In the paper, only Inter-Frame Attention uses the base image.
        image_unet: UNet of the first stage, if the spatial part of `unet` was trained further (not in the paper);
            frozen. None uses the spatial part.
        alpha_levels: decoded alphas that are mapped to 0 and to 1, in [0, 1]; values in between are stretched linearly,
            since a small codec hardly ever predicts 1.
        styles: see `TextToVideo`.
        shared_noise: see `TextToVideo`.

    Raises:
        TypeError: `codec` is not a `TransparencyVAE`.
        ValueError: `image_unet` has other sizes than `unet`, or `alpha_levels` do not increase within [0, 1]; see also
            `TextToVideo`.
    """

    def __init__(
        self,
        unet: nn.Module,
        codec: nn.Module,
        text_encoder: nn.Module,
        scheduler: DDPMScheduler,
        image_scheduler: DDPMScheduler | None = None,
        latent_mean: nn.Module | None = None,
        mean_of_given: bool = False,
        image_unet: nn.Module | None = None,
        alpha_levels: tuple[float, float] = (0.0, 1.0),
        styles: tuple[str, ...] = (),
        shared_noise: float = 0.0,
    ) -> None:
        if not isinstance(codec, TransparencyVAE):
            raise TypeError(f"codec must be a TransparencyVAE, got a {type(codec).__name__}")
        super().__init__(unet, codec.vae, text_encoder, scheduler, latent_mean, mean_of_given, styles, shared_noise)
        self.codec: TransparencyVAE = codec.requires_grad_(False).eval()
        self.image_scheduler: Any = image_scheduler or scheduler
        del self._modules["vae"]  # it is part of the codec; weights with two names cannot be saved
        for name in ("in_channels", "cross_attention_dim", "block_out_channels") if image_unet is not None else ():
            ours, theirs = unet.config[name], image_unet.config[name]  # type: ignore[index,union-attr]
            if not np.array_equal(ours, theirs):
                raise ValueError(f"{name} of image_unet must be {ours} as that of unet, got {theirs}")
        self.image_unet = None if image_unet is None else image_unet.requires_grad_(False).eval()
        if not 0 <= alpha_levels[0] < alpha_levels[1] <= 1:
            raise ValueError(f"alpha_levels must be two increasing numbers in [0, 1], got {alpha_levels}")
        self.alpha_levels = alpha_levels

    @property
    def vae(self) -> nn.Module:  # type: ignore[override]
        """The codec's VAE."""
        return self.codec.vae

    def train(self, mode: bool = True) -> "TransparentVideo":
        """Set the mode of the UNet; frozen parts stay in eval mode."""
        super().train(mode)
        self.codec.eval()
        if self.image_unet is not None:
            self.image_unet.eval()
        return self

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this, for the UNet and the transparency decoder."""
        return math.lcm(super().size_multiple, int(self.codec.decoder.size_multiple))  # type: ignore[arg-type]

    @property
    def animates(self) -> bool:
        """Whether the UNet generates clips rather than single images."""
        return isinstance(self.unet, MotionUNet)

    @property
    def usual_frames(self) -> int:
        """Default number of frames: 1 for an image UNet, the `MotionPrior`'s, or 16 as in Layer-Animate.

        The latter is limited by the number of positions of the motion modules.
        """
        if not self.animates:
            return 1
        most = int(self.unet.config["motion_max_seq_length"])  # type: ignore[index]
        return int(getattr(self.latent_mean, "num_frames", min(16, most)))

    @property
    def usual_sampling(self) -> Animation:
        """Default sampler settings: 25 steps of DDIM."""
        return Animation()

    @property
    def needs_base(self) -> bool:
        """Whether clips are generated around a base image, which is generated first if none is given."""
        if not self.animates:
            return False
        config: Any = self.unet.config
        return config["inter_frame_attention"] is not None if config["base_image"] is None else config["base_image"]

    def reference_index(self, num_frames: int) -> int:
        """Index of the base image's frame."""
        return self.unet.reference_index(num_frames) if self.animates else 0  # type: ignore[operator]

    @torch.no_grad()
    def adjusted_latents(self, foreground: Tensor, alpha: Tensor, color: Tensor | None = None) -> Tensor:
        """The codec's adjusted latents `b f c h/8 w/8`, not normalized.

        Args:
            foreground: straight, color-padded color (`glassine.data.alpha.pad_color`), `b f 3 h w` in [0, 1].
            alpha: `b f 1 h w` in [0, 1].
            color: see `TransparencyVAE.encode`, `b f 3 h w`.
        """
        given = (foreground, alpha) if color is None else (foreground, alpha, color)
        frames = (rearrange(x, "b f c h w -> (b f) c h w") for x in given)
        return rearrange(self.codec.encode(*frames), "(b f) c h w -> b f c h w", f=alpha.shape[1])

    def encode_transparent(self, foreground: Tensor, alpha: Tensor) -> Tensor:
        """Adjusted latents, normalized for the UNet; see `adjusted_latents`."""
        return self.normalize(self.adjusted_latents(foreground, alpha))

    @torch.no_grad()
    def decode_transparent(self, latents: Tensor, tta: TestTimeAugmentation = "none", frames_a_pass: int = 8) -> Tensor:
        """Decode normalized `latents` `b f c h w` to straight RGBA `b f 4 8h 8w` in [0, 1].

        The inputs of the transparency decoder are the latents and the VAE's decoding of them on mid gray. Alpha is
        stretched by `alpha_levels`.
        """
        frames = rearrange(self.denormalize(latents), "b f c h w -> (b f) c h w")
        decoded = torch.cat([torch.cat(self.codec.decode(p, tta)[::-1], dim=1) for p in frames.split(frames_a_pass)])
        clear, opaque = self.alpha_levels
        decoded[:, 3:] = ((decoded[:, 3:] - clear) / (opaque - clear)).clamp(0, 1)
        return rearrange(decoded, "(b f) c h w -> b f c h w", f=latents.shape[1])

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_latents: Tensor | None = None,
        cond_mask: Tensor | None = None,
        motion: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction `b f c h w`; given frames have no noise.

        Args:
            noisy: latents `b f c h w`.
            timesteps: `b`.
            prompt_embeds: `b n d`.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true.
            cond_mask: `b f` bool, true for given frames.
            motion: buckets `b`, for a `MotionUNet` with `motion_buckets`.
        """
        if not self.animates:
            return super().forward(noisy, timesteps, prompt_embeds, cond_latents, cond_mask)
        if cond_latents is not None and cond_mask is not None:
            noisy = torch.where(cond_mask[:, :, None, None, None], cond_latents, noisy)
        sample = rearrange(self.beside_mean(noisy, prompt_embeds, cond_latents, cond_mask), "b f c h w -> b c f h w")
        predicted = self.unet(sample, timesteps, fill_padding(prompt_embeds), motion).sample
        return rearrange(predicted, "b c f h w -> b f c h w")

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        num_frames: int = 16,
        negative_prompt: str = "",
        sampling: SamplerConfig | None = None,
        cond_latents: Tensor | None = None,
        cond_mask: Tensor | None = None,
        progress: Progress = lambda *_: None,
        base: Tensor | None = None,
        motion: int | None = None,
    ) -> Tensor:
        """Straight RGBA clips `b f 4 h w` in [0, 1].

        Args:
            prompts: one per clip.
            seeds: one per clip; prompt, seed and settings determine the clip, up to rounding that depends on the batch.
            size: height and width in pixels.
            num_frames: f. With a middle reference, frame 8 of 16 is the base image.
            negative_prompt: prompt of the predictions without text.
            sampling: an `Animation`, or a `SamplerConfig`, which is completed by the defaults of `Animation`; None for
                25 steps of DDIM.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true; an alternative to `base`.
            cond_mask: `b f` bool, true for given frames.
            progress: called after each step with its number and the number of steps, including those for a base image.
            base: straight, color-padded RGBA images `b 4 h w` in [0, 1] to be animated. If None and the UNet needs
                base images, they are generated first with the same seeds.
            motion: bucket of the amount of motion, from 0; None if unknown.

        Raises:
            UserError: sizes, frames, images or motion that the networks do not support, or different numbers of prompts
                and seeds.
            ValueError: both `base` and conditioning latents are given.
        """
        how = as_animation(sampling)
        self.check_size(size, num_frames)
        check_motion_adapters(self.unet, how)
        buckets = None if motion is None else motion_condition(self.unet, motion, len(prompts))
        rounds = 1 + (base is None and cond_latents is None and self.needs_base)
        if base is not None:
            if cond_latents is not None or cond_mask is not None:
                raise ValueError("either base or cond_latents must be given, got both")
            still = self.encode_base(base, (len(prompts), *size))
            cond_latents, cond_mask = self.around(still, num_frames)
        elif rounds == 2:
            tell: Progress = lambda done, of: progress(done, 2 * of)  # noqa: E731
            cond_latents, cond_mask = self.around(
                self.sample_pictures(prompts, seeds, size, negative_prompt, how, tell), num_frames
            )
        tell = lambda done, of: progress((rounds - 1) * of + done, rounds * of)  # noqa: E731
        if cond_latents is not None and cond_mask is not None and cond_mask.all():  # the base image is the only frame
            return self.decode_transparent(cond_latents)
        shape = (num_frames, *size)
        latents = sample_latents(
            self, prompts, seeds, shape, negative_prompt, how, cond_latents, cond_mask, buckets, tell
        )
        return self.decode_transparent(latents)

    def encode_base(self, base: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Normalized latents `b 1 c h/8 w/8` of straight RGBA images `b 4 h w` in [0, 1].

        Args:
            base: the images.
            shape: required b, h and w.

        Raises:
            UserError: the network does not animate, or the images are invalid (see `check_base`).
        """
        if not self.animates:
            raise UserError("base must be None for a network without motion modules, which makes single pictures")
        check_base(base, shape)
        return self.encode_transparent(base[:, None, :3], base[:, None, 3:])

    def around(self, still: Tensor, num_frames: int, reference: Any = None) -> tuple[Tensor, Tensor]:
        """`cond_latents` `b f c h w` and `cond_mask` `b f` of clips whose reference frame is `still` `b 1 c h w`.

        `reference` is the optional second argument of the network's `reference_index`; None leaves it out.
        """
        cond_mask = torch.zeros(len(still), num_frames, dtype=torch.bool, device=still.device)
        place = () if reference is None else (reference,)
        cond_mask[:, self.reference_index(num_frames, *place)] = True
        return still.expand(-1, num_frames, -1, -1, -1), cond_mask

    def sample_pictures(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        negative_prompt: str = "",
        sampling: SamplerConfig | None = None,
        progress: Progress = lambda *_: None,
    ) -> Tensor:
        """The first stage: sample latents `b 1 c h/8 w/8` of transparent images; arguments as in `sample`."""
        how = replace(as_animation(sampling), motion_adapter_scale=0.0)  # an image UNet has no motion adapters
        shape = (1, *size)
        with image_unet_only(self):
            return sample_latents(
                self, prompts, seeds, shape, negative_prompt, how, progress=progress, scheduler=self.image_scheduler
            )

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError if the networks cannot generate clips of this size."""
        super().check_size(size, num_frames)
        if self.animates:
            self.unet.check_frames(num_frames)  # type: ignore[operator]

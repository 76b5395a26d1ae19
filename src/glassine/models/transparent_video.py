"""Text to a transparent picture, and from there to a transparent clip: Layer-Animate (section III-B)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn

from glassine.models.animation import as_animation, check_base, check_motion_adapters, motion_condition, sample_latents
from glassine.models.motion_unet import MotionUNet
from glassine.models.sampling import Progress, SamplerConfig
from glassine.models.text_to_video import TextToVideo, image_unet_only
from glassine.models.transparency import TestTimeAugmentation, TransparencyVAE
from glassine.nn.conditioning import fill_padding
from glassine.utils.errors import UserError


class TransparentVideo(TextToVideo):
    """Diffusion in LayerDiffuse's adjusted latents, which carry alpha.

    With an image UNet it makes transparent pictures (the first stage); with a `MotionUNet` it animates one: the frame
    that the UNet takes for reference is the base image, without noise at every step. Latents are normalized as the
    VAE's are.

    Args:
        unet: called as `VideoUNet`: `FrameUNet`, `ImageUNet`, `MotionUNet`.
        codec: `TransparencyVAE` with the VAE (typed as a module so that a loader may make it); frozen.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type.
        image_scheduler: that of the first stage, where the image UNet was trained on another one than the motion
            modules, as Stable Diffusion 1.5 and AnimateDiff were; None for the same.
        latent_mean: see `TextToVideo`.
        mean_of_given: see `TextToVideo`; the base image, moved as a `MotionPrior` suggests, is then read beside every
            frame, which the paper has by Inter-Frame Attention alone.
        image_unet: the first stage's UNet, for a `unet` whose spatial part was trained further (the paper's is not);
            None: that part makes the pictures. Frozen.
        alpha_levels: decoded alpha that counts as clear and as opaque; what lies between is stretched. A small codec
            hardly ever says 1.
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
    ) -> None:
        if not isinstance(codec, TransparencyVAE):
            raise TypeError(f"a {type(codec).__name__} came; the codec is a TransparencyVAE")
        super().__init__(unet, codec.vae, text_encoder, scheduler, latent_mean, mean_of_given)
        self.codec: TransparencyVAE = codec.requires_grad_(False).eval()
        self.image_scheduler: Any = image_scheduler or scheduler
        del self._modules["vae"]  # it has a place in the codec; weights with two names cannot be saved
        for name in ("in_channels", "cross_attention_dim", "block_out_channels") if image_unet is not None else ():
            ours, theirs = unet.config[name], image_unet.config[name]  # type: ignore[index,union-attr]
            if not np.array_equal(ours, theirs):
                raise ValueError(f"an image_unet of {name} {theirs} came for a UNet of {ours}")
        self.image_unet = None if image_unet is None else image_unet.requires_grad_(False).eval()
        if not 0 <= alpha_levels[0] < alpha_levels[1] <= 1:
            raise ValueError(f"alpha_levels {alpha_levels} came; give two of [0, 1], what is clear and what is opaque")
        self.alpha_levels = alpha_levels

    @property
    def vae(self) -> nn.Module:  # type: ignore[override]
        """The codec's."""
        return self.codec.vae

    def train(self, mode: bool = True) -> "TransparentVideo":
        """Train mode for the UNet; the rest stays as it is used."""
        super().train(mode)
        self.codec.eval()
        if self.image_unet is not None:
            self.image_unet.eval()
        return self

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of, for the UNet and for the transparency decoder."""
        return math.lcm(super().size_multiple, int(self.codec.decoder.size_multiple))  # type: ignore[arg-type]

    @property
    def animates(self) -> bool:
        """Whether the UNet makes clips, not single pictures."""
        return isinstance(self.unet, MotionUNet)

    @property
    def usual_frames(self) -> int:
        """Likewise; Layer-Animate's 16, as far as the motion modules go, and 1 of a network of single pictures."""
        if not self.animates:
            return 1
        most = int(self.unet.config["motion_max_seq_length"])  # type: ignore[index]
        return int(getattr(self.latent_mean, "num_frames", min(16, most)))

    @property
    def needs_base(self) -> bool:
        """Whether clips are made around a base image, so that one is made where none is given."""
        if not self.animates:
            return False
        config: Any = self.unet.config
        return config["inter_frame_attention"] is not None if config["base_image"] is None else config["base_image"]

    def reference_index(self, num_frames: int) -> int:
        """Number of the frame that is the base image."""
        return self.unet.reference_index(num_frames) if self.animates else 0  # type: ignore[operator]

    @torch.no_grad()
    def adjusted_latents(self, foreground: Tensor, alpha: Tensor) -> Tensor:
        """The codec's latents `b f c h/8 w/8`, not normalized.

        Args:
            foreground: straight and color-padded (`glassine.data.alpha.pad_color`), `b f 3 h w` in [0, 1].
            alpha: `b f 1 h w` in [0, 1].
        """
        frames = (rearrange(x, "b f c h w -> (b f) c h w") for x in (foreground, alpha))
        return rearrange(self.codec.encode(*frames), "(b f) c h w -> b f c h w", f=alpha.shape[1])

    def encode_transparent(self, foreground: Tensor, alpha: Tensor) -> Tensor:
        """The same as the UNet takes them."""
        return self.normalize(self.adjusted_latents(foreground, alpha))

    @torch.no_grad()
    def decode_transparent(self, latents: Tensor, tta: TestTimeAugmentation = "none", frames_a_pass: int = 8) -> Tensor:
        """Straight RGBA `b f 4 8h 8w` in [0, 1] of `latents` `b f c h w`, its alpha between `alpha_levels`.

        The transparency decoder reads the latents beside what the VAE makes of them, a picture on mid gray.
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
        known: Tensor | None = None,
        given: Tensor | None = None,
        motion: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction `b f c h w`; frames that are given go in without noise.

        Args:
            noisy: latents `b f c h w`.
            timesteps: `b`.
            prompt_embeds: `b n d`.
            known: clean latents `b f c h w`, read where `given`.
            given: `b f` bool, frames that are given instead of made.
            motion: buckets `b`, for a `MotionUNet` that is told them.
        """
        if not self.animates:
            return super().forward(noisy, timesteps, prompt_embeds, known, given)
        if known is not None and given is not None:
            noisy = torch.where(given[:, :, None, None, None], known, noisy)
        sample = rearrange(self.beside_mean(noisy, prompt_embeds, known, given), "b f c h w -> b c f h w")
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
        known: Tensor | None = None,
        given: Tensor | None = None,
        progress: Progress = lambda *_: None,
        base: Tensor | None = None,
        motion: int | None = None,
    ) -> Tensor:
        """Straight RGBA clips `b f 4 h w` in [0, 1].

        Args:
            prompts: one a clip.
            seeds: one a clip; the same prompt, seed and settings give the same clip, up to rounding in any batch.
            size: height and width in pixels.
            num_frames: f; of 16, number 8 is the base image, where the UNet looks at the middle.
            negative_prompt: what guidance leads away from.
            sampling: an `Animation`, or a `SamplerConfig` for its defaults; None for 25 steps of DDIM.
            known: clean latents `b f c h w`, read where `given`, instead of `base`.
            given: `b f` bool, frames that are given instead of made.
            progress: called after each step with its number and the number of steps, a base image's among them.
            base: straight, color-padded RGBA pictures `b 4 h w` in [0, 1] to be animated. None makes them first, with
                the same seeds, where the UNet wants one.
            motion: bucket of the amount of motion, from 0; None does not tell.

        Raises:
            UserError: sizes, frames, pictures or motion that the networks cannot take, or not one seed a prompt.
        """
        how = as_animation(sampling)
        self.check_size(size, num_frames)
        check_motion_adapters(self.unet, how)
        told = None if motion is None else motion_condition(self.unet, motion, len(prompts))
        rounds = 1 + (base is None and known is None and self.needs_base)
        if base is not None:
            if known is not None or given is not None:
                raise ValueError("base images came beside known frames; give one of both")
            if not self.animates:
                raise UserError("a base image came, but this network makes single pictures; a MotionUNet animates them")
            check_base(base, (len(prompts), *size))
            known, given = self.around(self.encode_transparent(base[:, None, :3], base[:, None, 3:]), num_frames)
        elif rounds == 2:
            tell: Progress = lambda done, of: progress(done, 2 * of)  # noqa: E731
            known, given = self.around(
                self.sample_pictures(prompts, seeds, size, negative_prompt, how, tell), num_frames
            )
        tell = lambda done, of: progress((rounds - 1) * of + done, rounds * of)  # noqa: E731
        if known is not None and given is not None and given.all():  # a clip of one frame is its base image
            return self.decode_transparent(known)
        shape = (num_frames, *size)
        latents = sample_latents(self, prompts, seeds, shape, negative_prompt, how, known, given, told, tell)
        return self.decode_transparent(latents)

    def around(self, still: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """`known` `b f c h w` and `given` `b f` of a clip whose reference frame is `still` `b 1 c h w`."""
        given = torch.zeros(len(still), num_frames, dtype=torch.bool, device=still.device)
        given[:, self.reference_index(num_frames)] = True
        return still.expand(-1, num_frames, -1, -1, -1), given

    def sample_pictures(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: tuple[int, int],
        negative_prompt: str = "",
        sampling: SamplerConfig | None = None,
        progress: Progress = lambda *_: None,
    ) -> Tensor:
        """Latents `b 1 c h w` of transparent pictures, the first stage."""
        how = replace(as_animation(sampling), motion_adapter_scale=0.0)  # there are none
        shape = (1, *size)
        with image_unet_only(self):
            return sample_latents(
                self, prompts, seeds, shape, negative_prompt, how, progress=progress, scheduler=self.image_scheduler
            )

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError where the networks cannot take clips of that size."""
        super().check_size(size, num_frames)
        if self.animates:
            self.unet.check_frames(num_frames)  # type: ignore[operator]

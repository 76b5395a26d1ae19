"""Text-to-video latent diffusion: the parts that VSD2M's methods share, for any video UNet."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn

from glassine.models.sampling import SCALE_WITH_MEAN, USUAL_SCALE, Progress, SamplerConfig, check_seeds, make_solver
from glassine.nn.conditioning import fill_padding
from glassine.nn.diffusion import rescale_noise_cfg, share_noise
from glassine.utils.devices import fast_autocast
from glassine.utils.errors import UserError


@contextmanager
def image_unet_only(network: Any) -> Iterator[None]:
    """Context in which a `TransparentVideo` uses its image UNet: `image_unet`, or the spatial part of `unet`.

    Not thread-safe: it replaces the attribute `unet` of the network.
    """
    unet = network.unet
    still = unet.without_motion() if network.animates and network.image_unet is None else nullcontext()
    network.unet = unet if network.image_unet is None else network.image_unet
    try:
        with still:
            yield
    finally:
        network.unet = unet


class TextToVideo(nn.Module):
    """A video UNet with the VAE, the text encoder and the noise schedule that it was trained with.

    Args:
        unet: same call signature as diffusers' `UNet3DConditionModel`. Its input channels are those of the latents, the
            same number again for `latent_mean`, and optionally one for a mask of given frames (see
            `glassine.nn.conditioning`).
        vae: diffusers interface; frozen.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type (`epsilon`, `v_prediction`).
        latent_mean: a `LatentPrior` or `MotionPrior`, whose output is concatenated to the noisy latents; None, as in
            the papers, for none.
        mean_of_given: whether given frames correct the predicted mean: one offset for all frames makes its average
            error on the given frames zero. A mean that is constant over time thereby becomes the mean of these frames.
        styles: style names that end the training captions (`a rocket, 3D`), most frequent first; empty for none.
        shared_noise: share of the noise's variance that all frames have in common, in training and sampling, see
            `glassine.nn.diffusion.share_noise`. Frames of small networks then stay together. 0 in VSD2M.

    Attributes:
        fast: sample in bfloat16 where the device computes in it.

    Raises:
        ValueError: `shared_noise` out of range, input channels that fit neither with nor without a mask,
            `mean_of_given` without `latent_mean`, or a
            `latent_mean` with other channels than the latents.
    """

    def __init__(
        self,
        unet: nn.Module,
        vae: nn.Module,
        text_encoder: nn.Module,
        scheduler: DDPMScheduler,
        latent_mean: nn.Module | None = None,
        mean_of_given: bool = False,
        styles: tuple[str, ...] = (),
        shared_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.fast, self.shared_noise = False, shared_noise
        self.unet, self.styles = unet, tuple(styles)
        self.latent_mean, self.mean_of_given = latent_mean, mean_of_given
        self.scheduler: Any = scheduler  # diffusers hides its classes from type checkers
        self.vae = vae.requires_grad_(False).eval()
        self.text_encoder = text_encoder.requires_grad_(False).eval()
        if self.takes_cond_mask not in (0, 1):
            got, needed = int(unet.config["in_channels"]), self.read_channels  # type: ignore[index]
            raise ValueError(f"in_channels of the UNet must be {needed}, or {needed + 1} with a mask, got {got}")
        if not 0 <= shared_noise <= 1:
            raise ValueError(f"shared_noise must be in [0, 1], got {shared_noise}")
        if latent_mean is None and mean_of_given:
            raise ValueError("mean_of_given needs a latent_mean, got None")
        channels = getattr(latent_mean, "shape", (self.latent_channels,))[0]
        if channels != self.latent_channels:
            raise ValueError(f"latent_mean must have {self.latent_channels} channels as the latents, got {channels}")

    def train(self, mode: bool = True) -> "TextToVideo":
        """Set the mode of the UNet; frozen parts stay in eval mode."""
        super().train(mode)
        self.vae.eval()
        self.text_encoder.eval()
        return self

    @property
    def latent_channels(self) -> int:
        """Channels of the VAE's latents."""
        return int(self.vae.config["latent_channels"])  # type: ignore[index]

    @property
    def read_channels(self) -> int:
        """Input channels of the UNet without the mask: those of the noisy latents and of the predicted mean."""
        return self.latent_channels * (1 + (self.latent_mean is not None))

    @property
    def takes_cond_mask(self) -> int:
        """1 if the UNet has an input channel for a mask of given frames, else 0."""
        return int(self.unet.config["in_channels"]) - self.read_channels  # type: ignore[index]

    @property
    def usual_frames(self) -> int:
        """Default number of frames: that of the `MotionPrior` if there is one, else 8 as in VSD2M."""
        return int(getattr(self.latent_mean, "num_frames", 8))

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this: the VAE downsamples by 8, all but one UNet block by 2."""
        return 8 * 2 ** (len(self.unet.config["block_out_channels"]) - 1)  # type: ignore[index]

    @torch.no_grad()
    def encode(self, clip: Tensor) -> Tensor:
        """Normalized latents `b f c h/8 w/8` of an opaque `clip` `b f 3 h w` in [0, 1]."""
        frames = rearrange(clip * 2 - 1, "b f c h w -> (b f) c h w")
        latents = self.vae.encode(frames).latent_dist.mean  # type: ignore[operator]
        return self.normalize(rearrange(latents, "(b f) c h w -> b f c h w", f=clip.shape[1]))

    @torch.no_grad()
    def decode(self, latents: Tensor, frames_a_pass: int = 8) -> Tensor:
        """Decode normalized `latents` `b f c h w` to clips `b f 3 8h 8w` in [0, 1].

        The VAE decodes `frames_a_pass` frames at a time, to limit memory.
        """
        frames = rearrange(self.denormalize(latents), "b f c h w -> (b f) c h w")
        decoded = [self.vae.decode(part).sample for part in frames.split(frames_a_pass)]  # type: ignore[operator]
        clip = (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)
        return rearrange(clip, "(b f) c h w -> b f c h w", f=latents.shape[1])

    def normalize(self, latents: Tensor) -> Tensor:
        """Scale the VAE's latents `b f c h w` to a mean of about 0 and a standard deviation of about 1."""
        mean, std = self.latent_statistics(latents)
        return (latents - mean) / std

    def denormalize(self, latents: Tensor) -> Tensor:
        """Inverse of `normalize`."""
        mean, std = self.latent_statistics(latents)
        return latents * std + mean

    def latent_statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the VAE's latents, `c 1 1` each, from diffusers' configuration.

        Stable Diffusion's VAEs only have `scaling_factor`; `latents_mean` and `latents_std` are per channel.
        """
        config: Any = self.vae.config
        mean, std = config.get("latents_mean") or (0.0,), config.get("latents_std") or (1.0,)
        scale = config["scaling_factor"]
        return like.new_tensor(mean).view(-1, 1, 1), like.new_tensor(std).view(-1, 1, 1) / scale

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_latents: Tensor | None = None,
        cond_mask: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction `b f c h w`.

        Args:
            noisy: latents `b f c h w`.
            timesteps: `b`.
            prompt_embeds: `b n d`.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true.
            cond_mask: `b f` bool, true for given frames.

        Raises:
            UserError: frames are given, but the UNet has no mask channel.
        """
        if cond_mask is not None and cond_latents is not None and cond_mask.any():
            if not self.takes_cond_mask:
                channels = int(self.unet.config["in_channels"])  # type: ignore[index]
                raise UserError(f"in_channels of the UNet must be {channels + 1} for given frames, got {channels}")
            noisy = torch.where(cond_mask[:, :, None, None, None], cond_latents, noisy)
        noisy = self.beside_mean(noisy, prompt_embeds, cond_latents, cond_mask)
        if self.takes_cond_mask:
            none = torch.zeros(noisy.shape[:2], dtype=torch.bool, device=noisy.device)
            mask = none if cond_mask is None else cond_mask
            mask = mask[:, :, None, None, None].to(noisy.dtype).expand(-1, -1, 1, *noisy.shape[-2:])  # b f 1 h w
            noisy = torch.cat([noisy, mask], dim=2)
        sample = rearrange(noisy, "b f c h w -> b c f h w")
        return rearrange(self.unet(sample, timesteps, fill_padding(prompt_embeds)).sample, "b c f h w -> b f c h w")

    @torch.no_grad()
    def beside_mean(
        self, noisy: Tensor, prompt_embeds: Tensor, cond_latents: Tensor | None = None, cond_mask: Tensor | None = None
    ) -> Tensor:
        """Latents `b f c h w` concatenated with the predicted mean, if any: `b f 2c h w`.

        Without gradients: the task trains the mean with its own loss.
        """
        if self.latent_mean is None:
            return noisy
        size = (noisy.shape[-2], noisy.shape[-1])
        mean: Tensor = self.latent_mean.of_frames(prompt_embeds, noisy.shape[1], size)  # type: ignore[operator]
        if self.mean_of_given and cond_latents is not None and cond_mask is not None:
            shown = cond_mask[:, :, None, None, None].to(cond_latents)  # b f 1 1 1
            count = shown.sum(dim=1, keepdim=True)
            mean = mean + ((cond_latents - mean) * shown).sum(dim=1, keepdim=True) / count.clamp(min=1)
        return torch.cat([noisy, mean.to(noisy)], dim=2)

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
    ) -> Tensor:
        """Clips `b f 3 h w` in [0, 1].

        Args:
            prompts: one per clip.
            seeds: one per clip; prompt, seed and settings determine the clip, up to rounding that depends on the batch.
            size: height and width in pixels.
            num_frames: f.
            negative_prompt: prompt of the unconditional prediction in classifier-free guidance.
            sampling: None for the defaults of `SamplerConfig`.
            cond_latents: clean latents `b f c h w`, used where `cond_mask` is true.
            cond_mask: `b f` bool, true for given frames.
            progress: called after each step with its number and the number of steps.

        Raises:
            UserError: a size that the networks cannot process, `num_frames` below 1, or different numbers of prompts
                and seeds.
        """
        sampling = sampling or SamplerConfig()
        self.check_size(size, num_frames)
        check_seeds(prompts, seeds)
        scale = self.guidance_scale(sampling, around=cond_mask is not None)
        guided = scale != 1
        embeds = self.text_encoder([negative_prompt] * len(prompts) * guided + list(prompts))  # (2)b n d
        solver = make_solver(self.scheduler, sampling, embeds.device)
        latents = self.draw_noise(seeds, (num_frames, *size)).to(embeds) * solver.init_noise_sigma  # b f c h w
        copies = 1 + guided
        for number, timestep in enumerate(solver.timesteps):
            noisy = solver.scale_model_input(latents, timestep)
            conditions = [None if x is None else torch.cat([x] * copies) for x in (cond_latents, cond_mask)]
            timesteps = timestep.expand(copies * len(prompts))
            with self.autocast(embeds.device):
                prediction = self(torch.cat([noisy] * copies), timesteps, embeds, *conditions)
            prediction = prediction.to(embeds)
            if guided:
                noise_pred_uncond, noise_pred_text = prediction.chunk(2)
                prediction = noise_pred_uncond + scale * (noise_pred_text - noise_pred_uncond)
                prediction = rescale_noise_cfg(prediction, noise_pred_text, sampling.guidance_rescale, cond_mask)
            latents = solver.step(prediction, timestep, latents).prev_sample
            progress(number + 1, len(solver.timesteps))
        if cond_latents is not None and cond_mask is not None:
            latents = torch.where(cond_mask[:, :, None, None, None], cond_latents, latents)
        return self.decode(latents)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Context of the UNet's passes while sampling: bfloat16 if `fast` is set and the device computes in it."""
        return fast_autocast(device) if self.fast else nullcontext()

    def guidance_scale(self, sampling: SamplerConfig, around: bool = False) -> float:
        """The scale of `sampling`, or this network's default; `around` tells whether frames are given."""
        if sampling.guidance_scale is not None:
            return sampling.guidance_scale
        if around and self.mean_of_given:
            return 1.0
        return USUAL_SCALE if self.latent_mean is None else SCALE_WITH_MEAN

    def draw_noise(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
        """Noise `b f c h/8 w/8` for clips of `shape` (f, h, w), drawn on the CPU with one seed per clip."""
        frames, height, width = shape
        size = (self.latent_channels, height // 8, width // 8)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = torch.stack([torch.randn((frames, *size), generator=generator) for generator in generators])
        if self.shared_noise == 0 or frames == 1:
            return noise
        shared = torch.stack([torch.randn(size, generator=generator) for generator in generators])
        return share_noise(noise, shared, self.shared_noise)

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError if the networks cannot generate clips of this size."""
        multiple = self.size_multiple
        if min(size) < multiple or size[0] % multiple or size[1] % multiple:
            raise UserError(
                f"height and width must be multiples of {multiple} for this network, got {size[0]} x {size[1]}"
            )
        if num_frames < 1:
            raise UserError(f"num_frames must be at least 1, got {num_frames}")

"""Text to a clip by latent diffusion: the parts that VSD2M's methods share, around a video UNet that may be any.

TODO-DOC
The network of single pictures within one that animates them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from diffusers import DDPMScheduler
from einops import rearrange
from torch import Tensor, nn

from glassine.models.sampling import SCALE_WITH_MEAN, USUAL_SCALE, Progress, SamplerConfig, check_seeds, make_solver
from glassine.nn.conditioning import fill_padding
from glassine.nn.diffusion import rescaled
from glassine.utils.errors import UserError


@contextmanager
def image_unet_only(network: Any) -> Iterator[None]:
    """Within, the UNet of a `TransparentVideo` is that of single pictures: its `image_unet`, else its spatial part.

    It stands in the place of the other one, so that no other thread can use the network meanwhile.
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
        unet: called as diffusers' `UNet3DConditionModel`. It has as many input channels as the latents, as many again
            for `latent_mean`, and one more if it is to be told which frames are given (see `glassine.nn.conditioning`).
        vae: diffusers interface; frozen.
        text_encoder: `list[str]` to `b n d`; frozen.
        scheduler: noise schedule and prediction type (`epsilon`, `v_prediction`).
        latent_mean: a `LatentPrior` or `MotionPrior`, read by the UNet beside the noisy latents; None, as in papers,
            for none.
        mean_of_given: whether frames that are given, if there are any, correct it: it is moved as a whole so that on
            average it is right about them. A mean that is the same for all frames is thereby replaced.
    """

    def __init__(
        self,
        unet: nn.Module,
        vae: nn.Module,
        text_encoder: nn.Module,
        scheduler: DDPMScheduler,
        latent_mean: nn.Module | None = None,
        mean_of_given: bool = False,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.latent_mean, self.mean_of_given = latent_mean, mean_of_given
        self.scheduler: Any = scheduler  # diffusers hides its classes from type checkers
        self.vae = vae.requires_grad_(False).eval()
        self.text_encoder = text_encoder.requires_grad_(False).eval()
        if self.takes_given_frames not in (0, 1):
            came, latents = int(unet.config["in_channels"]), self.latent_channels  # type: ignore[index]
            raise ValueError(
                f"a UNet of {came} input channels came; these latents need {latents} or {latents + 1}, and with a "
                f"latent_mean {2 * latents} or {2 * latents + 1}"
            )
        if latent_mean is None and mean_of_given:
            raise ValueError("mean_of_given came without a latent_mean, which given frames would correct")
        channels = getattr(latent_mean, "shape", (self.latent_channels,))[0]
        if channels != self.latent_channels:
            raise ValueError(f"a latent_mean of {channels} channels came for latents of {self.latent_channels}")

    def train(self, mode: bool = True) -> "TextToVideo":
        """Train mode for the UNet; the rest stays as it is used."""
        super().train(mode)
        self.vae.eval()
        self.text_encoder.eval()
        return self

    @property
    def latent_channels(self) -> int:
        """Channels of the VAE's latents."""
        return int(self.vae.config["latent_channels"])  # type: ignore[index]

    @property
    def takes_given_frames(self) -> int:
        """1 where the UNet is told which frames are given, else 0."""
        read = self.latent_channels * (1 + (self.latent_mean is not None))
        return int(self.unet.config["in_channels"]) - read  # type: ignore[index]

    @property
    def usual_frames(self) -> int:
        """Frames of a clip where nobody says how many: those that a `MotionPrior` is fitted to, or VSD2M's 8."""
        return int(getattr(self.latent_mean, "num_frames", 8))

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of: the VAE's eighth, halved by all but one block of the UNet."""
        return 8 * 2 ** (len(self.unet.config["block_out_channels"]) - 1)  # type: ignore[index]

    @torch.no_grad()
    def encode(self, clip: Tensor) -> Tensor:
        """Latents `b f c h/8 w/8` as the UNet takes them, of an opaque `clip` `b f 3 h w` in [0, 1]."""
        frames = rearrange(clip * 2 - 1, "b f c h w -> (b f) c h w")
        latents = self.vae.encode(frames).latent_dist.mean  # type: ignore[operator]
        return self.normalize(rearrange(latents, "(b f) c h w -> b f c h w", f=clip.shape[1]))

    @torch.no_grad()
    def decode(self, latents: Tensor, frames_a_pass: int = 8) -> Tensor:
        """The clip `b f 3 8h 8w` in [0, 1] of `latents` `b f c h w`; few frames at a time bound the memory."""
        frames = rearrange(self.denormalize(latents), "b f c h w -> (b f) c h w")
        decoded = [self.vae.decode(part).sample for part in frames.split(frames_a_pass)]  # type: ignore[operator]
        clip = (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)
        return rearrange(clip, "(b f) c h w -> b f c h w", f=latents.shape[1])

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents `b f c h w` as the VAE gives them to a mean of about 0 and a standard deviation of about 1."""
        mean, std = self.latent_statistics(latents)
        return (latents - mean) / std

    def denormalize(self, latents: Tensor) -> Tensor:
        """What `normalize` came from."""
        mean, std = self.latent_statistics(latents)
        return latents * std + mean

    def latent_statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken away from the VAE's latents, and what they are divided by: `c 1 1` each, by diffusers' names.

        Stable Diffusion's VAEs have `scaling_factor` alone; `latents_mean` and `latents_std` are one a channel.
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
        known: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """The UNet's prediction `b f c h w`.

        Args:
            noisy: latents `b f c h w`.
            timesteps: `b`.
            prompt_embeds: `b n d`.
            known: clean latents `b f c h w`, read where `given`.
            given: `b f` bool, frames that are given instead of made.

        Raises:
            UserError: frames are given to a UNet that does not take them.
        """
        if given is not None and known is not None and given.any():
            if not self.takes_given_frames:
                came = int(self.unet.config["in_channels"])  # type: ignore[index]
                raise UserError(f"frames are given to a UNet of {came} input channels; one of {came + 1} takes them")
            noisy = torch.where(given[:, :, None, None, None], known, noisy)
        noisy = self.beside_mean(noisy, prompt_embeds, known, given)
        if self.takes_given_frames:
            mask = torch.zeros(noisy.shape[:2], dtype=torch.bool, device=noisy.device) if given is None else given
            mask = mask[:, :, None, None, None].to(noisy.dtype).expand(-1, -1, 1, *noisy.shape[-2:])  # b f 1 h w
            noisy = torch.cat([noisy, mask], dim=2)
        sample = rearrange(noisy, "b f c h w -> b c f h w")
        return rearrange(self.unet(sample, timesteps, fill_padding(prompt_embeds)).sample, "b c f h w -> b f c h w")

    @torch.no_grad()
    def beside_mean(
        self, noisy: Tensor, prompt_embeds: Tensor, known: Tensor | None = None, given: Tensor | None = None
    ) -> Tensor:
        """Latents `b f c h w` with their mean as further channels, where one is read; it learns by its own loss."""
        if self.latent_mean is None:
            return noisy
        size = (noisy.shape[-2], noisy.shape[-1])
        mean: Tensor = self.latent_mean.of_frames(prompt_embeds, noisy.shape[1], size)  # type: ignore[operator]
        if self.mean_of_given and known is not None and given is not None:
            shown = given[:, :, None, None, None].to(known)  # b f 1 1 1
            count = shown.sum(dim=1, keepdim=True)
            mean = mean + ((known - mean) * shown).sum(dim=1, keepdim=True) / count.clamp(min=1)
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
        known: Tensor | None = None,
        given: Tensor | None = None,
        progress: Progress = lambda *_: None,
    ) -> Tensor:
        """Clips `b f 3 h w` in [0, 1].

        Args:
            prompts: one a clip.
            seeds: one a clip; the same prompt, seed and settings give the same clip, up to rounding in any batch.
            size: height and width in pixels.
            num_frames: f.
            negative_prompt: what guidance leads away from.
            sampling: None for its defaults.
            known: clean latents `b f c h w`, read where `given`.
            given: `b f` bool, frames that are given instead of made.
            progress: called after each step with its number and the number of steps.

        Raises:
            UserError: a size that the networks cannot take, no frame, or not one seed a prompt.
        """
        sampling = sampling or SamplerConfig()
        self.check_size(size, num_frames)
        check_seeds(prompts, seeds)
        scale = self.guidance_scale(sampling, around=given is not None)
        guided = scale != 1
        embeds = self.text_encoder([negative_prompt] * len(prompts) * guided + list(prompts))  # (2)b n d
        solver = make_solver(self.scheduler, sampling, embeds.device)
        latents = self.draw_noise(seeds, (num_frames, *size)).to(embeds) * solver.init_noise_sigma  # b f c h w
        copies = 1 + guided
        for number, timestep in enumerate(solver.timesteps):
            noisy = solver.scale_model_input(latents, timestep)
            conditions = [None if x is None else torch.cat([x] * copies) for x in (known, given)]
            steps = timestep.expand(copies * len(prompts))
            prediction = self(torch.cat([noisy] * copies), steps, embeds, *conditions)
            if guided:
                without, towards = prediction.chunk(2)
                prediction = without + scale * (towards - without)
                prediction = rescaled(prediction, towards, sampling.guidance_rescale, given)
            latents = solver.step(prediction, timestep, latents).prev_sample
            progress(number + 1, len(solver.timesteps))
        if known is not None and given is not None:
            latents = torch.where(given[:, :, None, None, None], known, latents)
        return self.decode(latents)

    def guidance_scale(self, sampling: SamplerConfig, around: bool = False) -> float:
        """That of `sampling`, or what suits this network; `around` says whether frames are given."""
        if sampling.guidance_scale is not None:
            return sampling.guidance_scale
        if around and self.mean_of_given:
            return 1.0
        return USUAL_SCALE if self.latent_mean is None else SCALE_WITH_MEAN

    def draw_noise(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
        """`b f c h/8 w/8` for clips of `shape` f, h, w; each clip's from its own seed, the same on all devices."""
        frames, height, width = shape
        size = (frames, self.latent_channels, height // 8, width // 8)
        return torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def check_size(self, size: tuple[int, int], num_frames: int) -> None:
        """Raise UserError where the networks cannot take clips of that size."""
        multiple = self.size_multiple
        if min(size) < multiple or size[0] % multiple or size[1] % multiple:
            raise UserError(f"clips of {size[0]} x {size[1]} asked for; this network makes multiples of {multiple}")
        if num_frames < 1:
            raise UserError(f"{num_frames} frames asked for; give at least 1, 8 is what the networks are trained for")

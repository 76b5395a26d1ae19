"""Sampling clips around a base image: settings, input checks, and the sampling loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glassine.models.sampling import Progress, SamplerConfig, check_seeds, make_solver
from glassine.models.text_to_video import TextToVideo
from glassine.nn.diffusion import rescale_noise_cfg
from glassine.nn.lora import has_lora, lora_scale
from glassine.utils.errors import UserError

CLEAR = 1 / 255
MOTION_GUIDANCE = 4.0


class Branch(NamedTuple):
    """Which conditions one prediction has."""

    text: bool
    image: bool
    motion: bool


@dataclass(frozen=True)
class Animation(SamplerConfig):
    """Sampler settings for clips around a base image.

    Attributes:
        image_guidance_scale: scale of guidance by the base image, at least 0; 1, as in the paper, is no guidance. Any
            other value needs an additional forward pass per step without the image, and one without the text if there
            is no text guidance.
        motion_guidance_scale: scale of guidance by the amount of motion, if that is given, at least 0; 1 is no
            guidance. Any other value needs an additional forward pass per step. In the tiny network, the amount of
            motion has no effect without it.
        motion_adapter_scale: scale of Still-Moving's motion adapters: 0 removes them, as the paper does for sampling; 1
            gives the static videos that they were trained on; a negative value increases motion.

    Raises:
        UserError: a setting out of range.
    """

    image_guidance_scale: float = 1.0
    motion_guidance_scale: float = MOTION_GUIDANCE
    motion_adapter_scale: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("image_guidance_scale", "motion_guidance_scale"):
            if (scale := getattr(self, name)) < 0:
                raise UserError(f"{name} must be at least 0 (1 is no guidance), got {scale}")

    def branches(self, guidance_scale: float, image: bool = False, motion: bool = False) -> dict[Branch, float]:
        """The required predictions and their weights, which sum to 1; the prediction with all conditions is last.

        InstructPix2Pix, equation 3 (arXiv 2211.09800): e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)).
        Without an image this is plain classifier-free guidance. With an amount of motion M, all predictions above are
        conditioned on it, and (s_M - 1) (e(I, T, M) - e(I, T)) is added.

        Args:
            guidance_scale: s_T, for the text.
            image: whether there is a base image; s_I is `image_guidance_scale`.
            motion: whether there is an amount of motion; s_M is `motion_guidance_scale`.
        """
        by_text, by_image, by_motion = guidance_scale, self.image_guidance_scale, self.motion_guidance_scale
        weights = {Branch(False, False, motion): 1 - by_text, Branch(True, False, motion): by_text}
        if image:
            weights = {
                Branch(False, False, motion): 1 - by_image,
                Branch(False, True, motion): by_image - by_text,
                Branch(True, True, motion): by_text,
            }
        full = Branch(True, image, motion)
        if motion:
            cond = weights.pop(full)
            weights |= {full._replace(motion=False): 1 - by_motion, full: cond + by_motion - 1}
        return {branch: weight for branch, weight in weights.items() if weight or branch == full}


def as_animation(sampling: SamplerConfig | None) -> Animation:
    """`sampling` as an `Animation`, with that class's defaults for missing settings."""
    if isinstance(sampling, Animation):
        return sampling
    return Animation(**vars(sampling)) if sampling else Animation()


def check_motion_adapters(unet: nn.Module, how: Animation) -> None:
    """Raise UserError if `motion_adapter_scale` is not 0 for a `unet` without motion adapters."""
    if how.motion_adapter_scale and not has_lora(unet, "motion"):
        raise UserError(
            f"motion_adapter_scale must be 0 for a network without motion adapters, got {how.motion_adapter_scale}"
        )


def check_base(base: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise UserError unless `base` has one visible RGBA image in [0, 1] per clip; `shape` is b, h and w."""
    needed = (shape[0], 4, *shape[1:])
    if not ((base >= 0) & (base <= 1)).all():
        raise UserError("base images must be straight RGBA in [0, 1], got values outside of it or NaN")
    if tuple(base.shape) != needed:
        raise UserError(f"base images must be RGBA of shape {needed}, one for each prompt, got {tuple(base.shape)}")
    if (base[:, 3] < CLEAR).flatten(1).all(1).any():
        raise UserError("base images must show something, got one that is clear everywhere")


def motion_condition(unet: nn.Module, motion: int, count: int) -> Tensor:
    """The bucket `motion` for each clip, a tensor of length `count`.

    Raises:
        UserError: `unet` has no such bucket.
    """
    config: Any = unet.config
    buckets = config.get("motion_buckets", 0)
    if not 0 <= motion < buckets:
        allowed = f"in [0, {buckets - 1}]" if buckets else "left out"
        raise UserError(f"motion must be {allowed} for this network, got {motion}")
    return torch.full((count,), motion, device=next(unet.parameters()).device)


@torch.no_grad()
def sample_latents(
    network: TextToVideo,
    prompts: Sequence[str],
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    negative_prompt: str,
    how: Animation,
    cond_latents: Tensor | None = None,
    cond_mask: Tensor | None = None,
    motion: Tensor | None = None,
    progress: Progress = lambda *_: None,
    scheduler: Any = None,
    more: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Sample latents `b f c h/8 w/8` with guidance by text and image.

    Args:
        network: a `TransparentVideo`.
        prompts: one per clip.
        seeds: one per clip.
        shape: frames, height and width of the clips in pixels.
        negative_prompt: prompt of the predictions without text.
        how: settings.
        cond_latents: clean latents `b f c h w`, used where `cond_mask` is true.
        cond_mask: `b f` bool, true for given frames.
        motion: buckets `b` of the amount of motion; None if unknown.
        progress: called after each step with its number and the number of steps.
        scheduler: noise schedule; None for the network's.
        more: additional conditions of the network by name, `b ...` each, the same in every prediction.

    Raises:
        UserError: different numbers of prompts and seeds.
    """
    check_seeds(prompts, seeds)
    around = cond_latents is not None and cond_mask is not None
    branches = how.branches(network.guidance_scale(how, around), image=around, motion=motion is not None)
    texts = [text if branch.text else negative_prompt for branch in branches for text in prompts]
    embeds = network.text_encoder(texts)  # (k b) n d
    # with a base image, skip one frame of noise: the base image of the same seed was generated from it
    noise = network.draw_noise(seeds, (shape[0] + around, *shape[1:])).to(embeds)[:, -shape[0] :]  # b f c h w
    scheduler = scheduler or network.scheduler
    solver = make_solver(scheduler, how, embeds.device)
    latents = noise * solver.init_noise_sigma
    conditions = {name: torch.cat([value] * len(branches)) for name, value in (more or {}).items()}
    if motion is not None:
        uncond = torch.full_like(motion, int(network.unet.config["motion_buckets"]))  # type: ignore[index]
        conditions["motion"] = torch.cat([motion if branch.motion else uncond for branch in branches])
    if cond_latents is not None and cond_mask is not None:
        # each part of the guidance batch keeps its own base images
        shown = [cond_mask if branch.image else torch.zeros_like(cond_mask) for branch in branches]
        repeated = torch.cat([cond_latents] * len(branches))
        conditions |= {"cond_latents": repeated, "cond_mask": torch.cat(shown)}  # (k b) f ...
    for number, timestep in enumerate(solver.timesteps):
        timesteps = timestep.expand(len(prompts))
        if cond_latents is not None and cond_mask is not None:
            # in predictions without the image, its frame is as noisy as the others
            noised = scheduler.add_noise(cond_latents, noise, timesteps)
            latents = torch.where(cond_mask[:, :, None, None, None], noised, latents)
        noisy = torch.cat([solver.scale_model_input(latents, timestep)] * len(branches))
        with lora_scale(network.unet, how.motion_adapter_scale, "motion"), network.autocast(embeds.device):
            predictions = network(noisy, timesteps.repeat(len(branches)), embeds, **conditions)
        predictions = predictions.to(embeds).chunk(len(branches))
        weighed = [weight * one for weight, one in zip(branches.values(), predictions, strict=True)]
        guided = rescale_noise_cfg(torch.stack(weighed).sum(0), predictions[-1], how.guidance_rescale, cond_mask)
        latents = solver.step(guided, timestep, latents).prev_sample
        progress(number + 1, len(solver.timesteps))
    if cond_latents is not None and cond_mask is not None:
        latents = torch.where(cond_mask[:, :, None, None, None], cond_latents, latents)
    return latents

"""Sampling of clips around a base image: settings, checks of the inputs, and the loop over the latents."""

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
    """The conditions of one prediction."""

    text: bool
    image: bool
    motion: bool


@dataclass(frozen=True)
class Animation(SamplerConfig):
    """Settings of the sampler around a base image.

    Attributes:
        image_guidance_scale: guidance by the base image, as `guidance_scale` by the text; 1, as in the paper, is no
            guidance. Any other value costs one more forward pass a step, without the image, and another one without
            the text if that has no guidance.
        motion_guidance_scale: guidance by the amount of motion, if that is given; 1 is no guidance. Any other value
            costs one more forward pass a step. The tiny network needs it for the amount to have an effect.
        motion_adapter_scale: of Still-Moving's motion adapters: 0 removes them, as the paper does for sampling; 1 is
            the frozen video that they were trained on; a negative value increases motion.
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
        """The predictions that are needed and their weights, which sum up to 1; the one with all conditions is last.

        InstructPix2Pix, equation 3 (arXiv 2211.09800): e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)).
        Without an image this is plain classifier-free guidance. If there is an amount of motion M, all predictions have
        it, and (s_M - 1) (e(I, T, M) - e(I, T)) is added.

        Args:
            guidance_scale: s_T, of the text.
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
    """`sampling` with the defaults of `Animation` for what it does not have."""
    if isinstance(sampling, Animation):
        return sampling
    return Animation(**vars(sampling)) if sampling else Animation()


def check_motion_adapters(unet: nn.Module, how: Animation) -> None:
    """Raise UserError if a scale of motion adapters is set for a `unet` without them."""
    if how.motion_adapter_scale and not has_lora(unet, "motion"):
        raise UserError(
            f"motion_adapter_scale must be 0 for a network without motion adapters, got {how.motion_adapter_scale}"
        )


def check_base(base: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise UserError if `base` is not an RGBA picture for each clip; `shape` is their number, height and width."""
    needed = (shape[0], 4, *shape[1:])
    if not ((base >= 0) & (base <= 1)).all():
        raise UserError("base images must be straight RGBA in [0, 1], got values outside of it or NaN")
    if tuple(base.shape) != needed:
        raise UserError(f"base images must be RGBA of shape {needed}, one for each prompt, got {tuple(base.shape)}")
    if (base[:, 3] < CLEAR).flatten(1).all(1).any():
        raise UserError("base images must show something, got one that is clear everywhere")


def motion_condition(unet: nn.Module, motion: int, count: int) -> Tensor:
    """The bucket of each of `count` clips, `count` long; UserError if the `unet` does not take it."""
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
    """Latents `b f c h/8 w/8`, sampled with guidance by text and by image.

    Args:
        network: a `TransparentVideo`.
        prompts: one for each clip.
        seeds: one for each clip.
        shape: frames, height and width of the clips.
        negative_prompt: what guidance leads away from.
        how: settings.
        cond_latents: clean latents `b f c h w`, read where `cond_mask`.
        cond_mask: `b f` bool, true for frames that are given.
        motion: buckets `b` of the amount of motion; None leaves it open.
        progress: called after each step with its number and the number of steps.
        scheduler: noise schedule; None for the network's.
        more: further conditions of the network by name, `b ...` each, the same in every prediction.

    Raises:
        UserError: numbers of prompts and seeds that differ.
    """
    check_seeds(prompts, seeds)
    around = cond_mask is not None
    branches = how.branches(network.guidance_scale(how, around), image=around, motion=motion is not None)
    texts = [text if branch.text else negative_prompt for branch in branches for text in prompts]
    embeds = network.text_encoder(texts)  # (k b) n d
    base = cond_latents is not None and cond_mask is not None
    # one frame more around a base image: the noise of the first frame is that of a base image of the same seed
    noise = network.draw_noise(seeds, (shape[0] + base, *shape[1:])).to(embeds)[:, -shape[0] :]  # b f c h w
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
            # predictions without the image see its frame as noisy as the others
            noised = scheduler.add_noise(cond_latents, noise, timesteps)
            latents = torch.where(cond_mask[:, :, None, None, None], noised, latents)
        noisy = torch.cat([solver.scale_model_input(latents, timestep)] * len(branches))
        with lora_scale(network.unet, how.motion_adapter_scale, "motion"):
            predictions = network(noisy, timesteps.repeat(len(branches)), embeds, **conditions).chunk(len(branches))
        weighed = [weight * one for weight, one in zip(branches.values(), predictions, strict=True)]
        guided = rescale_noise_cfg(torch.stack(weighed).sum(0), predictions[-1], how.guidance_rescale, cond_mask)
        latents = solver.step(guided, timestep, latents).prev_sample
        progress(number + 1, len(solver.timesteps))
    if cond_latents is not None and cond_mask is not None:
        latents = torch.where(cond_mask[:, :, None, None, None], cond_latents, latents)
    return latents

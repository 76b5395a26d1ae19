"""How a clip is made of a base image: settings, and what may be a base image.

TODO-DOC
The sampling of clips around a base image, in latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glassine.models.sampling import Progress, SamplerConfig, check_seeds, make_solver
from glassine.models.text_to_video import TextToVideo
from glassine.nn.diffusion import rescaled
from glassine.nn.lora import has_lora, lora_scale
from glassine.utils.errors import UserError

CLEAR = 1 / 255
MOTION_GUIDANCE = 4.0


class Branch(NamedTuple):
    """Which conditions a prediction is made with."""

    text: bool
    image: bool
    motion: bool


@dataclass(frozen=True)
class Animation(SamplerConfig):
    """How a clip is sampled around a base image.

    Attributes:
        image_guidance_scale: how much the base image counts, as `guidance_scale` for the text; 1, the paper, adds no
            guidance. Another one costs a further run of the network, without the image, and one without the text where
            that has no guidance.
        motion_guidance_scale: how much an amount of motion counts where one is told; 1 adds no guidance. Another one
            costs a further run of the network, without the amount. At the tiny scale it is what makes amounts tell.
        motion_adapter_scale: of Still-Moving's motion adapters, where there are any: 0 removes them, as it does for
            sampling; 1 is the standstill that they were trained on; below 0 leads away from that.
    """

    image_guidance_scale: float = 1.0
    motion_guidance_scale: float = MOTION_GUIDANCE
    motion_adapter_scale: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("image", "motion"):
            if (scale := getattr(self, f"{name}_guidance_scale")) < 0:
                raise UserError(f"{name} guidance scale {scale} came; give at least 0, 1 is without")

    def branches(self, guidance_scale: float, image: bool = False, motion: bool = False) -> dict[Branch, float]:
        """Which predictions are made, the one with all conditions always and last, and their weights, of the sum 1.

        InstructPix2Pix, equation 3 (arXiv 2211.09800): e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)).
        Without an image it is plain classifier-free guidance. All are told an amount of motion that there is, and
        (s_M - 1) (e(I, T, M) - e(I, T)) is added.

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
            told = weights.pop(full)
            weights |= {full._replace(motion=False): 1 - by_motion, full: told + by_motion - 1}
        return {branch: weight for branch, weight in weights.items() if weight or branch == full}


def as_animation(sampling: SamplerConfig | None) -> Animation:
    """`sampling` with the defaults around a base image where it says nothing of that."""
    if isinstance(sampling, Animation):
        return sampling
    return Animation(**vars(sampling)) if sampling else Animation()


def check_motion_adapters(unet: nn.Module, how: Animation) -> None:
    """Raise UserError where a scale of motion adapters came for a `unet` without them."""
    if how.motion_adapter_scale and not has_lora(unet, "motion"):
        raise UserError("a scale of motion adapters came, but this network has none: it is for Still-Moving's")


def check_base(base: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise UserError where `base` is not an RGBA picture for each clip; `shape` is how many, height and width."""
    needed = (shape[0], 4, *shape[1:])
    if not ((base >= 0) & (base <= 1)).all():
        raise UserError("a base image came with values that are NaN or outside [0, 1]; give straight RGBA in [0, 1]")
    if tuple(base.shape) != needed:
        raise UserError(
            f"base images of shape {tuple(base.shape)} came; give {needed}: RGBA, one a prompt, of the clip's size"
        )
    if (base[:, 3] < CLEAR).flatten(1).all(1).any():
        raise UserError("a base image came that is clear everywhere; give one that shows something")


def motion_condition(unet: nn.Module, motion: int, count: int) -> Tensor:
    """The bucket for each of `count` clips, `count` long; UserError where the `unet` is not told it."""
    config: Any = unet.config
    buckets = config.get("motion_buckets", 0)
    if not 0 <= motion < buckets:
        allowed = f"it takes 0 to {buckets - 1}" if buckets else "it is not told the amount of motion: leave it out"
        raise UserError(f"motion {motion} came for this network; {allowed}")
    return torch.full((count,), motion, device=next(unet.parameters()).device)


@torch.no_grad()
def sample_latents(
    network: TextToVideo,
    prompts: Sequence[str],
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    negative_prompt: str,
    how: Animation,
    known: Tensor | None = None,
    given: Tensor | None = None,
    motion: Tensor | None = None,
    progress: Progress = lambda *_: None,
    scheduler: Any = None,
) -> Tensor:
    """Latents `b f c h/8 w/8`, sampled with guidance by text and by image.

    Args:
        network: a `TransparentVideo`.
        prompts: one a clip.
        seeds: one a clip.
        shape: frames, height and width of the clips.
        negative_prompt: what guidance leads away from.
        how: settings.
        known: clean latents `b f c h w`, read where `given`.
        given: `b f` bool, frames that are given instead of made.
        motion: buckets `b` of the amount of motion; None does not tell.
        progress: called after each step with its number and the number of steps.
        scheduler: noise schedule; None for the network's.

    Raises:
        UserError: not one seed a prompt.
    """
    check_seeds(prompts, seeds)
    around = given is not None
    branches = how.branches(network.guidance_scale(how, around), image=around, motion=motion is not None)
    texts = [text if branch.text else negative_prompt for branch in branches for text in prompts]
    embeds = network.text_encoder(texts)  # (k b) n d
    base = known is not None and given is not None
    # one frame more around a base image: the first one's noise is what a base image of the same seed was made of
    noise = network.draw_noise(seeds, (shape[0] + base, *shape[1:])).to(embeds)[:, -shape[0] :]  # b f c h w
    scheduler = scheduler or network.scheduler
    solver = make_solver(scheduler, how, embeds.device)
    latents = noise * solver.init_noise_sigma
    conditions: dict[str, Tensor] = {}
    if motion is not None:
        untold = torch.full_like(motion, int(network.unet.config["motion_buckets"]))  # type: ignore[index]
        conditions["motion"] = torch.cat([motion if branch.motion else untold for branch in branches])
    if known is not None and given is not None:
        # each part of the guidance batch keeps its own base images
        shown = [given if branch.image else torch.zeros_like(given) for branch in branches]
        conditions |= {"known": torch.cat([known] * len(branches)), "given": torch.cat(shown)}  # (k b) f ...
    for number, timestep in enumerate(solver.timesteps):
        steps = timestep.expand(len(prompts))
        if known is not None and given is not None:
            # what the part without an image sees in its place: noisy as all frames
            noised = scheduler.add_noise(known, noise, steps)
            latents = torch.where(given[:, :, None, None, None], noised, latents)
        noisy = torch.cat([solver.scale_model_input(latents, timestep)] * len(branches))
        with lora_scale(network.unet, how.motion_adapter_scale, "motion"):
            predictions = network(noisy, steps.repeat(len(branches)), embeds, **conditions).chunk(len(branches))
        weighed = [weight * one for weight, one in zip(branches.values(), predictions, strict=True)]
        guided = rescaled(torch.stack(weighed).sum(0), predictions[-1], how.guidance_rescale, given)
        latents = solver.step(guided, timestep, latents).prev_sample
        progress(number + 1, len(solver.timesteps))
    if known is not None and given is not None:
        latents = torch.where(given[:, :, None, None, None], known, latents)
    return latents

"""The sampling of clips around a base image, in latents."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from glassine.models.animation import Animation
from glassine.models.sampling import Progress, check_seeds, make_solver
from glassine.models.text_to_video import TextToVideo
from glassine.nn.guidance import rescaled
from glassine.nn.lora import lora_scale


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

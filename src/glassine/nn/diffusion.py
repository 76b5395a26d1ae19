"""Classifier-free guidance that keeps the contrast of the prediction.

TODO-DOC
How much signal a noise step leaves, and weights by it.
---
Which noise levels are trained.
---
Gradient checkpointing for layers whose own code has none.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glassine.utils.errors import UserError

# what arXiv 2305.08891, section 3.4, takes for schedules that end in pure noise
RESCALE = 0.7


def rescaled(guided: Tensor, towards: Tensor, share: float, given: Tensor | None = None) -> Tensor:
    """The guided prediction, brought by `share` to the standard deviation of the one with the prompt.

    Equations 15 and 16 of arXiv 2305.08891.

    Args:
        guided: `b f ...`.
        towards: with the prompt, the same shape.
        share: 0 changes nothing.
        given: `b f` bool, frames whose prediction nobody asks for; they do not count.
    """
    if not share:
        return guided
    ratio = deviation(towards, given) / deviation(guided, given)  # b
    return guided * (share * ratio + 1 - share).view(-1, *[1] * (guided.ndim - 1))


def deviation(clips: Tensor, given: Tensor | None) -> Tensor:
    """Standard deviation `b` of all values of `b f ...` but those of frames that are given."""
    if given is None:
        return clips.flatten(1).std(dim=1)
    return torch.stack([clip[~frames].std() for clip, frames in zip(clips, given, strict=True)])


def signal_to_noise(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """`b`: alphas_cumprod / (1 - alphas_cumprod) at each of `timesteps` `b`."""
    kept = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return kept / (1 - kept)


def min_snr_weight(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights `b` (Hang et al., arXiv 2303.09556, section 3.4).

    Args:
        snr: `b`.
        gamma: largest weight of an error of the clean sample; 5 in the paper.
        prediction_type: `epsilon`, `v_prediction` or `sample`, what the error is of.
    """
    of_sample = snr.clamp(max=gamma)
    if prediction_type == "sample":
        return of_sample
    # an error of the noise is that of the sample times snr, one of v that times snr + 1 (ibid., section 3.4)
    return of_sample / (snr.clamp(min=1e-8) if prediction_type == "epsilon" else snr + 1)


def draw_timesteps(count: int, steps: int, shift: float = 1.0, device: torch.device | None = None) -> Tensor:
    """`count` random timesteps below `steps`.

    Args:
        count: how many.
        steps: of the noise schedule.
        shift: 1 draws all alike; a higher one more often such of much noise, u -> s u / (1 + (s - 1) u) (Esser et al.,
            arXiv 2403.03206, section 5.3.2). There the prompt decides; with 3, 43% of them are in the upper fifth.
        device: where they are needed.

    Raises:
        UserError: a shift that is not above 0.
    """
    if not shift > 0:
        raise UserError(f"timestep shift {shift} came; give a number above 0, 1 draws all alike")
    if shift == 1:
        return torch.randint(steps, (count,), device=device)
    even = torch.rand(count, device=device)
    return (shift * even / (1 + (shift - 1) * even) * steps).long().clamp(max=steps - 1)


def checkpoint_layer(layer: nn.Module, enable: bool = True) -> None:
    """Let `layer` forget what it computed inside and compute it again in the backward pass, or end that.

    Set on the instance: names, state dict and copies stay right.
    """
    layer.__dict__.pop("forward", None)
    if enable:
        layer.forward = partial(recomputed, layer)


def recomputed(layer: nn.Module, *inputs: Any, **options: Any) -> Any:
    """What the layer's class computes, checkpointed where gradients are wanted."""
    forward = type(layer).forward
    if not torch.is_grad_enabled():
        return forward(layer, *inputs, **options)
    return checkpoint(forward, layer, *inputs, use_reentrant=False, **options)

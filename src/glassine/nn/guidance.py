"""Classifier-free guidance that keeps the contrast of the prediction."""

import torch
from torch import Tensor

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

"""Classifier-free guidance that keeps the contrast of the prediction."""

from torch import Tensor

# what arXiv 2305.08891, section 3.4, takes for schedules that end in pure noise
RESCALE = 0.7


def rescaled(guided: Tensor, towards: Tensor, share: float) -> Tensor:
    """The guided prediction `b ...`, brought by `share` to the standard deviation of the one with the prompt.

    Equations 15 and 16 of arXiv 2305.08891.
    """
    if not share:
        return guided
    ratio = towards.flatten(1).std(dim=1) / guided.flatten(1).std(dim=1)  # b
    return guided * (share * ratio + 1 - share).view(-1, *[1] * (guided.ndim - 1))

"""Shared parts of scores for generated clips and images: names of results, compositing, sharpness and diversity.

A result is named FAMILY_NETWORK_HOW_BACKGROUND, in lower case:

| part | meaning | examples |
| --- | --- | --- |
| FAMILY | what is measured | `fvd`, `clip`, `vqa` |
| NETWORK | the network, by the name that the metric was given | `i3d`, `videomae`, `vit_l_14`, `fast_b`, `glassine` |
| HOW | other settings that must agree for a comparison | `rep2_16f`, `score`, `similarity_softmax`, `t2v_r1` |
| BACKGROUND | the color on which transparent clips are composited | `white`, `black`, `ff8800` |

Examples: `fvd_i3d_rep2_16f_white`, `clip_vit_l_14_score_white`, `vqa_fast_b_white`. There is no plain `fvd` or
`clip_score`: results of the suite's own networks are `fvd_glassine_...` and `clip_glassine_...`. The number of clips is
returned with each result, as `..._n`, or `..._n_real` and `..._n_fake`.

`Sharpness` and the cosine distances are for single images: their sharpness relative to real ones, their distance from
each other, and their distance from the nearest image of a bank.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, tensor
from torch.nn import functional as F
from torchmetrics import Metric

from glassine.metrics.base import RANGE_TOLERANCE
from glassine.metrics.image import background_color, composite_on
from glassine.utils.errors import UserError


def gradient_magnitude(pictures: Tensor) -> Tensor:
    """Mean gradient magnitude `b` over channels and pixels of opaque images `b c h w` in [0, 1].

    The gradient is the difference to the next pixel, so values for different image sizes are not comparable. It does
    not distinguish details from noise.
    """
    pictures = pictures.float()
    down = (pictures[..., 1:, :-1] - pictures[..., :-1, :-1]).square()
    right = (pictures[..., :-1, 1:] - pictures[..., :-1, :-1]).square()
    return (down + right).sqrt().flatten(1).mean(dim=1)


class Sharpness(Metric):
    """Mean gradient magnitude of generated images divided by that of real ones: 1 is equally sharp, 0 is flat.

    Both sets must have the same image size and background.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", tensor([0.0, 0.0]), dist_reduce_fx="sum")
        self.add_state("count", tensor([0, 0]), dist_reduce_fx="sum")

    def update(self, pictures: Tensor, real: bool) -> None:
        """Add opaque images `b c h w` in [0, 1]; `real` tells whether they are real or generated."""
        self.total[int(real)] += gradient_magnitude(pictures).sum()
        self.count[int(real)] += len(pictures)

    def compute(self) -> Tensor:
        """The ratio; NaN if either set has no images."""
        made, true = self.total / self.count
        return made / true


def cosine_distances(first: Tensor, second: Tensor) -> Tensor:
    """Cosine distances `n m` in [0, 2] between features `n d` and `m d`."""
    return 1 - F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T


def mean_pairwise_distance(features: Tensor) -> float:
    """Mean cosine distance over all pairs of different rows of `n d`; NaN for fewer than two rows."""
    count = len(features)
    if count < 2:
        return float("nan")
    distances = cosine_distances(features, features)
    return float((distances.sum() - distances.trace()) / (count * (count - 1)))


def nearest(features: Tensor, bank: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest row of a bank for each row of `features`.

    Args:
        features: `n d`.
        bank: `m d`.
        allowed: `n m` bool, rows of the bank that may be chosen; None for all.

    Returns:
        Cosine distances `n`, infinite where no row is allowed, and indices of rows of the bank `n`.
    """
    distances = cosine_distances(features, bank)
    if allowed is not None:
        distances = torch.where(allowed, distances, torch.inf)
    found = distances.min(dim=1)
    return found.values, found.indices


NETWORK = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def score_name(family: str, network: str, *details: str) -> str:
    """The name of a result: `score_name("fvd", "i3d", "rep2_16f", "white")` is `fvd_i3d_rep2_16f_white`.

    Raises:
        UserError: the network's name is empty or contains other characters than lower-case letters, digits and single
            underscores.
    """
    if not NETWORK.fullmatch(network):
        raise UserError(
            f"name of the network of {family} must be lower-case words such as i3d or vit_l_14, got {network!r}"
        )
    return "_".join([family, network, *(detail.lstrip("#").lower() for detail in details if detail)])


def opaque_clips(clips: Tensor, background: str) -> Tensor:
    """Validate clips and composite them on a background.

    Args:
        clips: `b f c h w`, floating point in [0, 1]; straight RGBA with alpha last, or RGB, which is assumed to be on
            the background already.
        background: a name or `#rrggbb`.

    Returns:
        Float32 `b f 3 h w` in [0, 1].

    Raises:
        ValueError: another shape or an integer type, a mistake in the calling code.
        UserError: values that are NaN or outside [0, 1], or an unknown color.
    """
    if clips.ndim != 5 or clips.shape[2] not in (3, 4) or not clips.numel() or not clips.is_floating_point():
        raise ValueError(
            f"clips must be floats `b f 3 h w` or `b f 4 h w`, got {clips.dtype} of shape {tuple(clips.shape)}"
        )
    clips = clips.detach().float()
    low, high = (value.item() for value in torch.aminmax(clips))
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):  # also false for NaN
        raise UserError(f"clips must be in [0, 1], got values from {low:g} to {high:g}: clamp them first")
    clips = clips.clamp(0, 1)
    return composite_on(clips, background_color(background)) if clips.shape[2] == 4 else clips


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Context without gradients and without autocast, so that scores do not depend on the caller's precision."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


class GeneratedClipMetric(Metric):
    """A metric whose networks are frozen and always in eval mode."""

    is_differentiable = False
    full_state_update = False

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, even inside a module in training."""
        super().train(False)
        return self

    def hold(self, network: Any) -> Any:
        """Freeze a network and set it to eval mode; plain functions are returned unchanged."""
        return network.eval().requires_grad_(False) if isinstance(network, torch.nn.Module) else network

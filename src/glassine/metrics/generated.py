"""What scores of generated clips and pictures share: names of results, opaque clips, sharpness and variety.

A result is called FAMILY_NETWORK_HOW_BACKGROUND, in lower case:

| part | says | examples |
| --- | --- | --- |
| FAMILY | what is measured | `fvd`, `clip`, `vqa` |
| NETWORK | the network, by the name that the metric was given | `i3d`, `videomae`, `vit_l_14`, `fast_b`, `glassine` |
| HOW | what else numbers must share to be compared | `rep2_16f`, `score`, `similarity_softmax`, `t2v_r1` |
| BACKGROUND | the color that transparent clips lie on | `white`, `black`, `ff8800` |

So `fvd_i3d_rep2_16f_white`, `clip_vit_l_14_score_white`, `vqa_fast_b_white`. There is no bare `fvd` or `clip_score`:
results of the suite's own networks are `fvd_glassine_...` and `clip_glassine_...`. The number of clips is returned
beside each result, as `..._n`, or `..._n_real` and `..._n_fake`.

`Sharpness` and the cosine distances at the top are for single pictures: how sharp they are compared with real ones, how
different from each other, and how far from the nearest picture of a bank.
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
    """Mean length of the gradient over channels and pixels, `b`, of opaque pictures `b c h w` in [0, 1].

    Differences to the next pixel, so values of different picture sizes do not compare. It counts edges whatever they
    are edges of: noise is sharp, too.
    """
    pictures = pictures.float()
    down = (pictures[..., 1:, :-1] - pictures[..., :-1, :-1]).square()
    right = (pictures[..., :-1, 1:] - pictures[..., :-1, :-1]).square()
    return (down + right).sqrt().flatten(1).mean(dim=1)


class Sharpness(Metric):
    """Mean gradient magnitude of generated pictures by that of true ones: 1 is as sharp, 0 is flat.

    Both sets must have one size and lie on one background.
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
        """Add opaque pictures `b c h w` in [0, 1], and whether they are true ones."""
        self.total[int(real)] += gradient_magnitude(pictures).sum()
        self.count[int(real)] += len(pictures)

    def compute(self) -> Tensor:
        """The ratio; NaN before both sets have a picture."""
        made, true = self.total / self.count
        return made / true


def cosine_distances(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine, `n m` in [0, 2], of features `n d` and `m d`."""
    return 1 - F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T


def mean_pairwise_distance(features: Tensor) -> float:
    """The mean over all pairs of different rows of `n d`; NaN for fewer than two."""
    count = len(features)
    if count < 2:
        return float("nan")
    distances = cosine_distances(features, features)
    return float((distances.sum() - distances.trace()) / (count * (count - 1)))


def nearest(features: Tensor, bank: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest of a bank to each row.

    Args:
        features: `n d`.
        bank: `m d`.
        allowed: `n m` bool, which of the bank may be taken; None for all.

    Returns:
        Cosine distances `n` and rows of the bank `n`; infinity where nothing is allowed.
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
        UserError: the network's name is empty or not made of lower-case letters, digits and single underscores.
    """
    if not NETWORK.fullmatch(network):
        raise UserError(
            f"name of the network of {family} must be lower-case words such as i3d or vit_l_14, got {network!r}"
        )
    return "_".join([family, network, *(detail.lstrip("#").lower() for detail in details if detail)])


def opaque_clips(clips: Tensor, background: str) -> Tensor:
    """Check clips and composite them on a background.

    Args:
        clips: `b f c h w`, floating point in [0, 1]; straight RGBA with alpha last, or RGB, which is taken to lie on
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
    """Run frozen networks without gradients and without autocast, whatever precision the caller trains in."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


class GeneratedClipMetric(Metric):
    """A metric whose networks are frozen and always in eval mode."""

    is_differentiable = False
    full_state_update = False

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, even inside a module that is trained."""
        super().train(False)
        return self

    def hold(self, network: Any) -> Any:
        """The network as a frozen part of the metric; functions are returned as they are."""
        return network.eval().requires_grad_(False) if isinstance(network, torch.nn.Module) else network

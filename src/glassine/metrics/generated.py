"""What all scores of generated clips share: how results are named, and the opaque clips that networks look at.

A result is called FAMILY_NETWORK_HOW_BACKGROUND, in lower case:

| part | says | examples |
| --- | --- | --- |
| FAMILY | what is measured | `fvd`, `clip`, `vqa` |
| NETWORK | whose eyes; the name that the metric was given | `i3d`, `videomae`, `vit_l_14`, `fast_b`, `glassine` |
| HOW | what else numbers must share to be compared | `rep2_16f`, `score`, `similarity_softmax`, `t2v_r1` |
| BACKGROUND | the colour that transparent clips lie on | `white`, `black`, `ff8800` |

So `fvd_i3d_rep2_16f_white`, `clip_vit_l_14_score_white`, `vqa_fast_b_white`. There is no bare `fvd` or `clip_score`: a
network of the suite's own is called `glassine`, and what it measures can only be `fvd_glassine_...` or
`clip_glassine_...`. How many clips a result is made of stands beside it, as `..._n`, or `..._n_real` and `..._n_fake`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from glassine.errors import UserError
from glassine.metrics.clip_metric import RANGE_TOLERANCE
from glassine.metrics.composite import background_colour, composite_on

NETWORK = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def score_name(family: str, network: str, *details: str) -> str:
    """The name of a result: `score_name("fvd", "i3d", "rep2_16f", "white")` is `fvd_i3d_rep2_16f_white`.

    Raises:
        UserError: the network's name is empty or not made of lower-case letters, digits and single underscores.
    """
    if not NETWORK.fullmatch(network):
        raise UserError(
            f"the network of {family} is called {network!r}; allowed are words such as i3d, vit_l_14, glassine: name it"
        )
    return "_".join([family, network, *(detail.lstrip("#").lower() for detail in details if detail)])


def opaque_clips(clips: Tensor, background: str) -> Tensor:
    """Check clips and lay them on a background.

    Args:
        clips: `b f c h w`, floating point in [0, 1]; straight RGBA with alpha last, or RGB, which is taken to lie on
            the background already.
        background: a name or `#rrggbb`.

    Returns:
        Float32 `b f 3 h w` in [0, 1].

    Raises:
        ValueError: another shape or an integer type, a mistake in the calling code.
        UserError: values that are NaN or outside [0, 1], or an unknown colour.
    """
    if clips.ndim != 5 or clips.shape[2] not in (3, 4) or not clips.numel() or not clips.is_floating_point():
        raise ValueError(f"clips are {clips.dtype} {tuple(clips.shape)}; scores take floats `b f 3 h w` or `b f 4 h w`")
    clips = clips.detach().float()
    low, high = (value.item() for value in torch.aminmax(clips))
    if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):  # also false for NaN
        raise UserError(f"clips hold values from {low:g} to {high:g}; allowed is [0, 1]: clamp them first")
    clips = clips.clamp(0, 1)
    return composite_on(clips, background_colour(background)) if clips.shape[2] == 4 else clips


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Run frozen networks without gradients and in their own precision, whatever the caller trains in."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


class GeneratedClipMetric(Metric):
    """A score whose networks are always in eval mode and never learn."""

    is_differentiable = False
    full_state_update = False

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, also inside a module that is trained."""
        super().train(False)
        return self

    def hold(self, network: Any) -> Any:
        """The network as a frozen part of the metric; functions are returned as they are."""
        return network.eval().requires_grad_(False) if isinstance(network, torch.nn.Module) else network

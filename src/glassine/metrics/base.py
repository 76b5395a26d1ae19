"""The base of all clip scores: one value a clip is kept, so means, medians and lists come from the same numbers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.utils.errors import UserError

RANGE_TOLERANCE = 1e-3


def check_clips(pred: Tensor, true: Tensor, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Validate a pair of clips and return them as detached float32 in [0, 1].

    Args:
        pred: predicted clips, `b f c h w`, floating point in [0, 1].
        true: true clips of the same shape.
        channels: the `c` that is allowed.

    Returns:
        Both clips; values outside [0, 1] by at most 0.001 (rounding of half precision) are clamped.

    Raises:
        ValueError: wrong shape or an integer type, a mistake in the calling code.
        UserError: NaN, infinite or out-of-range values. They are refused rather than skipped, because a mean that
            ignores a diverged clip would look better than the model is.
    """
    if pred.shape != true.shape or pred.ndim != 5 or pred.shape[2] != channels or pred.numel() == 0:
        raise ValueError(
            f"predicted {tuple(pred.shape)} and true {tuple(true.shape)} clips; "
            f"both must be `b f {channels} h w` with the same non-empty shape"
        )
    checked = []
    for name, clip in (("predicted", pred), ("true", true)):
        if not clip.is_floating_point():
            raise ValueError(f"the {name} clip is {clip.dtype}; scores need floating point in [0, 1]: divide by 255")
        clip = clip.detach().float()
        low, high = (value.item() for value in torch.aminmax(clip))
        if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):  # also false for NaN
            raise UserError(f"the {name} clip holds values from {low:g} to {high:g}; allowed is [0, 1]: clamp it first")
        checked.append(clip.clamp(0, 1))
    return checked[0], checked[1]


class VideoMetric(Metric, ABC):
    """One value a clip, averaged over clips; the values of several processes are concatenated.

    A clip in which the score is not defined (no hole, a single frame) has the value NaN and is left out of the mean;
    the mean of no value at all is NaN.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    channels = 1
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Score checked float32 clips `b f c h w` -> `b`."""

    def update(self, pred: Tensor, true: Tensor) -> None:
        """Add clips `b f c h w`, floating point in [0, 1]. Raises as `check_clips` does."""
        self.values.append(self.score(*check_clips(pred, true, self.channels)))

    def per_clip(self) -> Tensor:
        """Return this process's values, `n`, in the order of the updates."""
        return dim_zero_cat(self.values) if len(self.values) else torch.empty(0, device=self.device)

    def compute(self) -> Tensor:
        """Return the mean over all clips in which the score is defined."""
        return self.per_clip().nanmean()

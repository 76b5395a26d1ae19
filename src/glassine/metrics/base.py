"""Base of all clip scores: one value per clip is kept, so that means, medians and lists use the same numbers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.utils.errors import UserError

RANGE_TOLERANCE = 1e-3


def check_clips(preds: Tensor, target: Tensor, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Validate a pair of clips and return them as detached float32 in [0, 1].

    Args:
        preds: predicted clips, `b f c h w`, floating point in [0, 1].
        target: true clips of the same shape.
        channels: the required `c`.

    Returns:
        Both clips; values outside [0, 1] by at most 0.001 (rounding of half precision) are clamped.

    Raises:
        ValueError: wrong shape or an integer type, a mistake in the calling code.
        UserError: NaN, infinite or out-of-range values. They are rejected rather than skipped, because a mean without
            the diverged clips would overrate the model.
    """
    if preds.shape != target.shape or preds.ndim != 5 or preds.shape[2] != channels or preds.numel() == 0:
        raise ValueError(
            f"preds and target must be `b f {channels} h w` of the same non-empty shape, got {tuple(preds.shape)} and "
            f"{tuple(target.shape)}"
        )
    checked = []
    for name, clip in (("preds", preds), ("target", target)):
        if not clip.is_floating_point():
            raise ValueError(f"{name} must be floating point in [0, 1], got {clip.dtype}: divide by 255")
        clip = clip.detach().float()
        low, high = (value.item() for value in torch.aminmax(clip))
        if not (low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):  # also false for NaN
            raise UserError(f"{name} must be in [0, 1], got values from {low:g} to {high:g}: clamp it first")
        checked.append(clip.clamp(0, 1))
    return checked[0], checked[1]


class VideoMetric(Metric, ABC):
    """One value per clip, averaged over clips; the values of several processes are concatenated.

    A clip for which the score is undefined (no hole, a single frame) has the value NaN and is excluded from the mean.
    The mean over no defined value is NaN.
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
    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Score `b` of validated float32 clips `b f c h w`."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add clips `b f c h w`, floating point in [0, 1]. Raises as `check_clips` does."""
        self.values.append(self.score(*check_clips(preds, target, self.channels)))

    def add(self, values: Tensor) -> None:
        """Add clips by their precomputed values `b`, NaN where the score is undefined."""
        self.values.append(values)
        # register this as an update, so that `compute` neither warns nor returns its cached result
        self._update_count += 1
        self._computed = None

    def per_clip(self) -> Tensor:
        """Return this process's values, `n`, in the order of the updates."""
        return dim_zero_cat(self.values) if len(self.values) else torch.empty(0, device=self.device)

    def compute(self) -> Tensor:
        """Return the mean over all clips for which the score is defined."""
        return self.per_clip().nanmean()

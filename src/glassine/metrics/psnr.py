"""Peak signal-to-noise ratio of alpha, summed up so that dropped objects cannot hide in a mean."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.clip_metric import check_clips

PSNR_CAP = 60.0


def psnr(pred: Tensor, true: Tensor, cap: float = PSNR_CAP) -> Tensor:
    """Mean over frames of the frame's PSNR in dB, peak 1.

    A frame's PSNR is `10 log10(1 / MSE)`, at most `cap`: a perfect frame would be infinite and take the mean with it.

    Args:
        pred: `b f c h w` in [0, 1].
        true: the same shape.
        cap: the highest value of one frame, dB.

    Returns:
        `b`, dB.
    """
    error = (pred - true).square().mean(dim=(2, 3, 4))  # b f
    return (-10 * error.log10()).clamp(max=cap).mean(dim=1)  # b


def summarise_psnr(values: Tensor, errors: Tensor, pixels: Tensor, cap: float = PSNR_CAP) -> dict[str, Tensor]:
    """Sum up the PSNR of a set of stickers in four numbers.

    Args:
        values: each sticker's PSNR, `n`, dB.
        errors: each sticker's mean squared error, `n`.
        pixels: how many values (frames x height x width) that error is the mean of, `n`.
        cap: the highest pooled PSNR, dB.

    Returns:
        `mean` and `median` over stickers (dB), `share_under_20db` (0 to 1) and `pooled`: the PSNR of the mean squared
        error over all pixels of all stickers (dB). All NaN for no sticker.
    """
    if values.numel() == 0:
        nan = torch.full((), torch.nan, device=values.device)
        return {"mean": nan, "median": nan, "share_under_20db": nan, "pooled": nan}
    pooled_error = (errors * pixels).sum() / pixels.sum()
    return {
        "mean": values.mean(),
        "median": values.quantile(0.5),
        "share_under_20db": (values < 20).float().mean(),
        "pooled": (-10 * pooled_error.log10()).clamp(max=cap),
    }


class AlphaPSNR(Metric):
    """PSNR of alpha over stickers: mean, median, share under 20 dB and PSNR of the pooled error.

    Args:
        cap: the highest PSNR of one frame, and of the pooled error, in dB.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = True
    values: list[Tensor]
    errors: list[Tensor]
    pixels: list[Tensor]

    def __init__(self, cap: float = PSNR_CAP) -> None:
        super().__init__()
        self.cap = cap
        for name in ("values", "errors", "pixels"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, pred: Tensor, true: Tensor) -> None:
        """Add alpha clips `b f 1 h w` in [0, 1]. Raises as `check_clips` does."""
        pred, true = check_clips(pred, true)
        self.values.append(psnr(pred, true, self.cap))
        self.errors.append((pred - true).square().mean(dim=(1, 2, 3, 4)))
        self.pixels.append(torch.full((len(pred),), float(pred[0].numel()), device=pred.device))

    def per_clip(self) -> Tensor:
        """Return this process's PSNR of each clip, `n`, dB, in the order of the updates."""
        return dim_zero_cat(self.values) if len(self.values) else torch.empty(0, device=self.device)

    def compute(self) -> dict[str, Tensor]:
        """Return `mean`, `median`, `share_under_20db` and `pooled`, as `summarise_psnr` defines them."""
        if not len(self.values):
            return summarise_psnr(*(torch.empty(0, device=self.device),) * 3, self.cap)
        return summarise_psnr(dim_zero_cat(self.values), dim_zero_cat(self.errors), dim_zero_cat(self.pixels), self.cap)

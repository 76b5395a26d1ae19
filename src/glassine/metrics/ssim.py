"""Structural similarity of alpha."""

from einops import rearrange
from kornia.metrics import ssim as ssim_map
from torch import Tensor

from glassine.errors import UserError
from glassine.metrics.clip_metric import ClipMetric

WINDOW = 11  # a Gaussian of sigma 1.5, reaching 5 pixels to each side


def ssim(pred: Tensor, true: Tensor) -> Tensor:
    """Mean SSIM of a clip's frames (Wang et al. 2004), data range 1, channels averaged.

    The map covers the whole frame, reflected at its borders, as in torchmetrics; kornia computes it, since it is
    several times faster on a CPU and agrees within 1e-4 (a test keeps this).

    Args:
        pred: `b f c h w` in [0, 1].
        true: the same shape.

    Returns:
        `b`, at most 1.

    Raises:
        UserError: a frame is smaller than 6 pixels, too small for the window's border.
    """
    if min(pred.shape[-2:]) <= WINDOW // 2:
        raise UserError(
            f"frames of {pred.shape[-1]}x{pred.shape[-2]} pixels; SSIM needs at least {WINDOW // 2 + 1} on each side: "
            "score larger frames"
        )
    # channels are filtered apart, so frames may lie among them: 7x faster on a CPU than one-channel images
    flat_pred, flat_true = (rearrange(clip, "b f c h w -> b (f c) h w") for clip in (pred, true))
    if pred.is_cuda:  # float32 convolutions may run as TF32 there, too coarse for the differences of squares inside
        flat_pred, flat_true = flat_pred.double(), flat_true.double()
    return ssim_map(flat_pred, flat_true, WINDOW, max_val=1.0, eps=0.0).mean(dim=(1, 2, 3)).float()  # b


class AlphaSSIM(ClipMetric):
    """Mean SSIM of alpha over stickers; input `b f 1 h w`."""

    higher_is_better = True

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `ssim` of each clip, `b`."""
        return ssim(pred, true)

"""PSNR and SSIM of alpha, and of stickers composited on a background color.

The PSNR of a set of clips is summarized by mean, median, share under 20 dB and PSNR of the pooled error, since a mean
alone hides a few failed objects.
"""

import torch
from einops import rearrange
from kornia.metrics import ssim as ssim_map
from PIL import ImageColor
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.base import VideoMetric, check_clips
from glassine.utils.errors import UserError

PSNR_CAP = 60.0


def psnr(preds: Tensor, target: Tensor, cap: float = PSNR_CAP) -> Tensor:
    """Mean over frames of the frame's PSNR in dB, peak 1.

    A frame's PSNR is `10 log10(1 / MSE)`, limited to `cap`: a perfect frame would make the mean infinite.

    Args:
        preds: `b f c h w` in [0, 1].
        target: the same shape.
        cap: maximum PSNR of a frame, dB.

    Returns:
        `b`, dB.
    """
    error = (preds - target).square().mean(dim=(2, 3, 4))  # b f
    return (-10 * error.log10()).clamp(max=cap).mean(dim=1)  # b


def summarise_psnr(values: Tensor, errors: Tensor, pixels: Tensor, cap: float = PSNR_CAP) -> dict[str, Tensor]:
    """Summarize the PSNR of a set of stickers in four numbers.

    Args:
        values: each sticker's PSNR, `n`, dB.
        errors: each sticker's mean squared error, `n`.
        pixels: number of values (frames x height x width) in each of these means, `n`.
        cap: maximum pooled PSNR, dB.

    Returns:
        `mean` and `median` over stickers (dB), `share_under_20db` (0 to 1) and `pooled`: the PSNR of the mean squared
        error over all pixels of all stickers (dB). All are NaN if there are no stickers.
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
        cap: maximum PSNR of a frame, and of the pooled error, in dB.
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

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add alpha clips `b f 1 h w` in [0, 1]. Raises as `check_clips` does."""
        preds, target = check_clips(preds, target)
        self.values.append(psnr(preds, target, self.cap))
        self.errors.append((preds - target).square().mean(dim=(1, 2, 3, 4)))
        self.pixels.append(torch.full((len(preds),), float(preds[0].numel()), device=preds.device))

    def per_clip(self) -> Tensor:
        """Return this process's PSNR of each clip, `n`, dB, in the order of the updates."""
        return dim_zero_cat(self.values) if len(self.values) else torch.empty(0, device=self.device)

    def compute(self) -> dict[str, Tensor]:
        """Return `mean`, `median`, `share_under_20db` and `pooled`, as `summarise_psnr` defines them."""
        if not len(self.values):
            return summarise_psnr(*(torch.empty(0, device=self.device),) * 3, self.cap)
        return summarise_psnr(dim_zero_cat(self.values), dim_zero_cat(self.errors), dim_zero_cat(self.pixels), self.cap)


WINDOW = 11  # size of the Gaussian window in pixels, sigma 1.5


def ssim(preds: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM of a clip's frames (Wang et al. 2004), data range 1, channels averaged.

    The map covers the whole frame with reflected borders, as in torchmetrics. It is computed by kornia, which is
    several times faster on a CPU and agrees within 1e-4 (there is a test).

    Args:
        preds: `b f c h w` in [0, 1].
        target: the same shape.

    Returns:
        `b`, at most 1.

    Raises:
        UserError: a frame is smaller than 6 pixels, too small for the window's border.
    """
    if min(preds.shape[-2:]) <= WINDOW // 2:
        raise UserError(
            f"frames must be at least {WINDOW // 2 + 1} pixels on each side for SSIM, got "
            f"{preds.shape[-1]}x{preds.shape[-2]}: score larger frames"
        )
    # channels are filtered independently, so frames can be channels: 7x faster on a CPU than one-channel images
    flat_preds, flat_target = (rearrange(clip, "b f c h w -> b (f c) h w") for clip in (preds, target))
    if preds.is_cuda:  # float32 convolutions may use TF32, too inexact for SSIM's differences of squares
        flat_preds, flat_target = flat_preds.double(), flat_target.double()
    return ssim_map(flat_preds, flat_target, WINDOW, max_val=1.0, eps=0.0).mean(dim=(1, 2, 3)).float()  # b


class AlphaSSIM(VideoMetric):
    """Mean SSIM of alpha over stickers; input `b f 1 h w`."""

    higher_is_better = True

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `ssim` of each clip, `b`."""
        return ssim(preds, target)


def background_color(name: str) -> tuple[float, float, float]:
    """Return the RGB in [0, 1] of a color such as `white`, `gray` or `#ff8800`.

    Raises:
        UserError: an unknown color.
    """
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise UserError(f"background must be a color, a name such as white or #rrggbb, got {name!r}") from error
    return red / 255, green / 255, blue / 255


def composite_on(rgba: Tensor, background: tuple[float, float, float]) -> Tensor:
    """Composite straight RGBA clips on one flat color.

    Args:
        rgba: `b f 4 h w` in [0, 1], straight alpha last.
        background: RGB in [0, 1].

    Returns:
        Opaque clips, `b f 3 h w`.
    """
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    color = torch.tensor(background, dtype=rgba.dtype, device=rgba.device).view(3, 1, 1)
    return torch.lerp(color, rgb, alpha)


class CompositePSNR(VideoMetric):
    """Mean over stickers of the PSNR (dB) of composites; input straight RGBA clips `b f 4 h w` in [0, 1].

    Args:
        background: background color, a name or `#rrggbb`; by default mid gray, which differs from both white and black
            stickers.
        cap: maximum PSNR of a frame, dB.
    """

    higher_is_better = True
    channels = 4

    def __init__(self, background: str = "gray", cap: float = PSNR_CAP) -> None:
        super().__init__()
        self.background = background_color(background)
        self.cap = cap

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `psnr` of each pair of composites, `b`."""
        return psnr(composite_on(preds, self.background), composite_on(target, self.background), self.cap)


class CompositeSSIM(VideoMetric):
    """Mean over stickers of the SSIM of composites; input straight RGBA clips `b f 4 h w` in [0, 1].

    Args:
        background: background color, a name or `#rrggbb`; mid gray by default.
    """

    higher_is_better = True
    channels = 4

    def __init__(self, background: str = "gray") -> None:
        super().__init__()
        self.background = background_color(background)

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `ssim` of each pair of composites, `b`."""
        return ssim(composite_on(preds, self.background), composite_on(target, self.background))

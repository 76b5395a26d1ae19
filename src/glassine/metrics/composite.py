"""PSNR and SSIM of what people see: the sticker composited on a named background colour."""

import torch
from PIL import ImageColor
from torch import Tensor

from glassine.errors import UserError
from glassine.metrics.clip_metric import ClipMetric
from glassine.metrics.psnr import PSNR_CAP, psnr
from glassine.metrics.ssim import ssim


def background_colour(name: str) -> tuple[float, float, float]:
    """Return the RGB in [0, 1] of a colour such as `white`, `gray` or `#ff8800`; UserError for an unknown one."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise UserError(
            f"background {name!r} is no colour; allowed are names such as white, gray, black and #rrggbb: use one"
        ) from error
    return red / 255, green / 255, blue / 255


def composite_on(rgba: Tensor, background: tuple[float, float, float]) -> Tensor:
    """Composite straight RGBA clips on one flat colour.

    Args:
        rgba: `b f 4 h w` in [0, 1], alpha last, colours not multiplied by it.
        background: RGB in [0, 1].

    Returns:
        Opaque clips, `b f 3 h w`.
    """
    rgb, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    colour = torch.tensor(background, dtype=rgba.dtype, device=rgba.device).view(3, 1, 1)
    return torch.lerp(colour, rgb, alpha)


class CompositePSNR(ClipMetric):
    """Mean over stickers of the PSNR (dB) of composites; input straight RGBA clips `b f 4 h w` in [0, 1].

    Args:
        background: the colour composited on, a name or `#rrggbb`. Mid gray by default: white and black stickers both
            stand out from it.
        cap: the highest PSNR of one frame, dB.
    """

    higher_is_better = True
    channels = 4

    def __init__(self, background: str = "gray", cap: float = PSNR_CAP) -> None:
        super().__init__()
        self.background = background_colour(background)
        self.cap = cap

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `psnr` of each pair of composites, `b`."""
        return psnr(composite_on(pred, self.background), composite_on(true, self.background), self.cap)


class CompositeSSIM(ClipMetric):
    """Mean over stickers of the SSIM of composites; input straight RGBA clips `b f 4 h w` in [0, 1].

    Args:
        background: the colour composited on, a name or `#rrggbb`; mid gray by default.
    """

    higher_is_better = True
    channels = 4

    def __init__(self, background: str = "gray") -> None:
        super().__init__()
        self.background = background_colour(background)

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `ssim` of each pair of composites, `b`."""
        return ssim(composite_on(pred, self.background), composite_on(true, self.background))

"""All alpha and composite scores of a set of clips as one `MetricCollection`: the columns of the score tables."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from glassine.metrics.base import VideoMetric, check_clips
from glassine.metrics.image import (
    PSNR_CAP,
    AlphaPSNR,
    AlphaSSIM,
    CompositePSNR,
    CompositeSSIM,
    background_color,
    composite_on,
    psnr,
    ssim,
)
from glassine.metrics.matting import MAD, MSE, SEMI_TRANSPARENT, Conn, Grad, SemiTransparentMAD
from glassine.metrics.matting_areas import HolesFilled, InteriorPunched
from glassine.metrics.temporal import STILL_THRESHOLD, DtSSD, Flicker

PSNR_SUMMARY = ("mean", "median", "share_under_20db", "pooled")


def alpha_metrics(
    psnr_cap: float = PSNR_CAP,
    skip_first: bool = True,
    semi_transparent: tuple[float, float] = SEMI_TRANSPARENT,
    still_threshold: float = STILL_THRESHOLD,
) -> dict[str, AlphaPSNR | VideoMetric]:
    """The alpha metrics by name; see `MattingScores` for the arguments."""
    return {
        "psnr": AlphaPSNR(psnr_cap),
        "ssim": AlphaSSIM(),
        "mad": MAD(),
        "mse": MSE(),
        "grad": Grad(),
        "conn": Conn(),
        "dtssd": DtSSD(skip_first),
        "semi_transparent_mad": SemiTransparentMAD(*semi_transparent),
        "holes_filled": HolesFilled(),
        "interior_punched": InteriorPunched(),
        "flicker": Flicker(still_threshold),
    }


ALPHA_SCORES = tuple(alpha_metrics())
COMPOSITE_SCORES = ("composite_psnr", "composite_ssim")
# keys of the result of `MattingScores.compute`
SCORE_NAMES = (*(f"psnr_{name}" for name in PSNR_SUMMARY), *ALPHA_SCORES[1:], *COMPOSITE_SCORES)


class MattingScores(MetricCollection):
    """All alpha and composite scores of this package, as a flat dict of floats and as one value per clip.

    NaN means that a score is undefined: no semi-transparent pixel, no hole, a single frame, no colors given. Such clips
    are excluded from the mean.

    Args:
        background: background color of the composites, a name or `#rrggbb`.
        psnr_cap: maximum PSNR of a frame, dB (that of a perfect frame is infinite).
        skip_first: exclude frame 0 from dtSSD.
        semi_transparent: a pixel with a target alpha between these two values is semi-transparent.
        still_threshold: change of the target alpha below which a pixel counts as constant, for flicker.

    Raises:
        UserError: an unknown color.
    """

    def __init__(
        self,
        background: str = "gray",
        psnr_cap: float = PSNR_CAP,
        skip_first: bool = True,
        semi_transparent: tuple[float, float] = SEMI_TRANSPARENT,
        still_threshold: float = STILL_THRESHOLD,
    ) -> None:
        metrics = alpha_metrics(psnr_cap, skip_first, semi_transparent, still_threshold) | {
            "composite_psnr": CompositePSNR(background, psnr_cap),
            "composite_ssim": CompositeSSIM(background),
        }
        # compute groups merge metrics whose states are equal after the first update, which can happen by chance
        super().__init__(metrics, compute_groups=False)  # type: ignore[arg-type]
        self.background, self.psnr_cap = background_color(background), psnr_cap

    def update(  # type: ignore[override]
        self, preds: Tensor, target: Tensor, preds_rgb: Tensor | None = None, target_rgb: Tensor | None = None
    ) -> None:
        """Add clips.

        Args:
            preds: predicted alpha, `b f 1 h w`, floating point in [0, 1].
            target: the same shape.
            preds_rgb: predicted straight colors, `b f 3 h w` in [0, 1]; with `target_rgb`, for the composite scores.
            target_rgb: the same shape.

        Raises:
            ValueError: wrong shapes or types, or only one of the colors.
            UserError: values that are NaN or outside [0, 1], or frames under 6 pixels.
        """
        if (preds_rgb is None) != (target_rgb is None):
            raise ValueError("preds_rgb and target_rgb must be given together, got only one of them")
        # validate and composite once for all metrics; doing it in each takes 1.5 times as long
        preds, target = check_clips(preds, target)
        composites = [torch.full((len(preds),), torch.nan, device=preds.device)] * len(COMPOSITE_SCORES)
        if preds_rgb is not None and target_rgb is not None:
            preds_rgb, target_rgb = check_clips(preds_rgb, target_rgb, channels=3)
            rgba = torch.cat([preds_rgb, preds], dim=2), torch.cat([target_rgb, target], dim=2)
            pair = [composite_on(clip, self.background) for clip in rgba]
            composites = [psnr(pair[0], pair[1], self.psnr_cap), ssim(pair[0], pair[1])]
        metrics: dict[str, Any] = dict(self.items())
        metrics["psnr"].update(preds, target)
        for name in ALPHA_SCORES[1:]:
            metrics[name].add(metrics[name].score(preds, target))
        for name, values in zip(COMPOSITE_SCORES, composites, strict=True):
            metrics[name].add(values)

    def per_clip(self) -> dict[str, Tensor]:
        """This process's scores, name to `n` in the order of the updates; `psnr` is the mean over frames, dB."""
        metrics: dict[str, Any] = dict(self.items())
        return {name: metrics[name].per_clip() for name in (*ALPHA_SCORES, *COMPOSITE_SCORES)}

    def merge_state(self, other: "MattingScores") -> None:
        """Append the clips of another collection."""
        for name in (*ALPHA_SCORES, *COMPOSITE_SCORES):
            self[name].merge_state(other[name])

    def compute(self) -> dict[str, float]:
        """The scores by `SCORE_NAMES`: four summaries of PSNR, and the means over clips of all other scores."""
        psnr = self["psnr"].compute()
        scores = {f"psnr_{name}": psnr[name].item() for name in PSNR_SUMMARY}
        return scores | {name: self[name].compute().item() for name in SCORE_NAMES[len(PSNR_SUMMARY) :]}

"""All scores of a set of predicted alpha clips in one go: the columns of glassine's tables."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.clip_metric import check_clips
from glassine.metrics.composite import background_colour, composite_on
from glassine.metrics.conn import conn
from glassine.metrics.dtssd import dtssd
from glassine.metrics.flicker import STILL_THRESHOLD, flicker
from glassine.metrics.grad import grad
from glassine.metrics.hole_residue import holes_filled, interior_punched
from glassine.metrics.mad import mad
from glassine.metrics.mse import mse
from glassine.metrics.psnr import PSNR_CAP, psnr, summarise_psnr
from glassine.metrics.semi_transparent import SEMI_TRANSPARENT, semi_transparent_mad
from glassine.metrics.ssim import ssim

ALPHA_SCORES = (
    "psnr",
    "ssim",
    "mad",
    "mse",
    "grad",
    "conn",
    "dtssd",
    "semi_transparent_mad",
    "holes_filled",
    "interior_punched",
    "flicker",
)
COMPOSITE_SCORES = ("composite_psnr", "composite_ssim")
# the number of pixels a clip's errors are means of, which the pooled PSNR needs
COLUMNS = (*ALPHA_SCORES, *COMPOSITE_SCORES, "pixels")


class MattingScores(Metric):
    """Every alpha and composite score of this package, as a flat dict of floats and as a list for each clip.

    It runs the same functions as the single metrics do. NaN stands for "nothing to measure": no semi-transparent
    pixel, no hole, one frame only, no colours given. The mean over clips leaves such clips out.

    Args:
        background: colour of the composites, a name or `#rrggbb`.
        psnr_cap: the highest PSNR of one frame, dB (a perfect frame's is infinite).
        skip_first: do not count frame 0 in dtSSD.
        semi_transparent: the true alphas between which a pixel is semi-transparent.
        still_threshold: change of the true alpha below which a pixel stands still, for flicker.
    """

    is_differentiable = False
    full_state_update = False
    rows: list[Tensor]

    def __init__(
        self,
        background: str = "gray",
        psnr_cap: float = PSNR_CAP,
        skip_first: bool = True,
        semi_transparent: tuple[float, float] = SEMI_TRANSPARENT,
        still_threshold: float = STILL_THRESHOLD,
    ) -> None:
        super().__init__()
        self.background = background_colour(background)
        self.psnr_cap = psnr_cap
        self.skip_first = skip_first
        self.semi_transparent = semi_transparent
        self.still_threshold = still_threshold
        # the table of clips x COLUMNS, flat: a process that saw no clip takes part in gathering 1D states only
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(
        self, pred: Tensor, true: Tensor, pred_rgb: Tensor | None = None, true_rgb: Tensor | None = None
    ) -> None:
        """Add clips.

        Args:
            pred: predicted alpha, `b f 1 h w`, floating point in [0, 1].
            true: true alpha, the same shape.
            pred_rgb: predicted straight colours, `b f 3 h w` in [0, 1]; with `true_rgb`, for the composite scores.
            true_rgb: true straight colours, the same shape.

        Raises:
            ValueError: wrong shapes or types, or only one of the colours.
            UserError: values that are NaN or outside [0, 1], or frames under 6 pixels.
        """
        if (pred_rgb is None) != (true_rgb is None):
            raise ValueError("only one of pred_rgb and true_rgb was given; composites need both, or leave out both")
        pred, true = check_clips(pred, true)
        columns = self._alpha_scores(pred, true)
        if pred_rgb is None or true_rgb is None:
            columns += [torch.full_like(columns[0], torch.nan)] * len(COMPOSITE_SCORES)
        else:
            pred_rgb, true_rgb = check_clips(pred_rgb, true_rgb, channels=3)
            pred_composite = composite_on(torch.cat([pred_rgb, pred], dim=2), self.background)
            true_composite = composite_on(torch.cat([true_rgb, true], dim=2), self.background)
            columns += [psnr(pred_composite, true_composite, self.psnr_cap), ssim(pred_composite, true_composite)]
        columns.append(torch.full_like(columns[0], pred[0].numel()))
        self.rows.append(torch.stack(columns, dim=1).flatten())  # (n columns)

    def _alpha_scores(self, pred: Tensor, true: Tensor) -> list[Tensor]:
        """Return the ALPHA_SCORES in their order, each `b`."""
        return [
            psnr(pred, true, self.psnr_cap),
            ssim(pred, true),
            mad(pred, true),
            mse(pred, true),
            grad(pred, true),
            conn(pred, true),
            dtssd(pred, true, self.skip_first),
            semi_transparent_mad(pred, true, *self.semi_transparent),
            holes_filled(pred, true),
            interior_punched(pred, true),
            flicker(pred, true, self.still_threshold),
        ]

    def _table(self) -> dict[str, Tensor]:
        rows = dim_zero_cat(self.rows) if len(self.rows) else torch.empty(0, device=self.device)
        return dict(zip(COLUMNS, rows.view(-1, len(COLUMNS)).T, strict=True))

    def per_clip(self) -> dict[str, Tensor]:
        """Return this process's scores, name -> `n` in the order of the updates; `psnr` is a clip's mean over frames.

        Inside `with scores.sync_context():` these are the clips of all processes, process by process.
        """
        table = self._table()
        return {name: table[name] for name in (*ALPHA_SCORES, *COMPOSITE_SCORES)}

    def compute(self) -> dict[str, float]:
        """Return psnr_mean, psnr_median, psnr_share_under_20db, psnr_pooled and the mean over clips of all others."""
        table = self._table()
        psnr_summary = summarise_psnr(table["psnr"], table["mse"] / 1000, table["pixels"], self.psnr_cap)
        scores = {f"psnr_{name}": value.item() for name, value in psnr_summary.items()}
        others = (*ALPHA_SCORES[1:], *COMPOSITE_SCORES)
        return scores | {name: table[name].nanmean().item() for name in others}

"""All scores of a set of predicted alpha clips in one go: the columns of glassine's tables.

TODO-DOC
Hole residue: true holes that the prediction fills in, and solid interior that it punches out.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.base import VideoMetric, check_clips
from glassine.metrics.image import PSNR_CAP, background_color, composite_on, psnr, ssim, summarise_psnr
from glassine.metrics.matting import SEMI_TRANSPARENT, conn, grad, mad, mse, semi_transparent_mad
from glassine.metrics.temporal import STILL_THRESHOLD, dtssd, flicker


def enclosed_holes(alpha: np.ndarray, transparent: float = 0.05, min_area: int = 16) -> np.ndarray:
    """Return the mask `h w` bool of enclosed transparent regions.

    A hole is a 4-connected region of pixels with alpha < `transparent` that has at least `min_area` pixels and does
    not touch the frame's border.
    """
    empty = (alpha < transparent).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    left, top, width, height, area = stats.T
    enclosed = (left > 0) & (top > 0) & (left + width < alpha.shape[1]) & (top + height < alpha.shape[0])
    enclosed &= area >= min_area
    enclosed[0] = False  # label 0 is everything that is not transparent
    return enclosed[labels] if enclosed.any() else np.zeros(alpha.shape, dtype=bool)


def holes_filled(
    pred: Tensor, true: Tensor, transparent: float = 0.05, min_area: int = 16, filled: float = 0.5
) -> Tensor:
    """Share of the pixels of a clip's true holes (`enclosed_holes`, frame by frame) with predicted alpha >= `filled`.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        transparent: true alphas below this are transparent.
        min_area: regions with fewer pixels are no holes (gaps of a few pixels inside soft edges).
        filled: predicted alphas from this on fill the hole.

    Returns:
        `b`, 0 to 1; NaN for a clip without a hole.
    """
    frames = true.flatten(0, 2).cpu().numpy()  # (b f) h w
    holes = np.stack([enclosed_holes(frame, transparent, min_area) for frame in frames])
    hole = torch.from_numpy(holes).to(true.device).view(true.shape)  # b f 1 h w
    return ((pred >= filled) & hole).sum(dim=(1, 2, 3, 4)) / hole.sum(dim=(1, 2, 3, 4))


def interior_punched(pred: Tensor, true: Tensor, solid: float = 0.95, margin: int = 3, punched: float = 0.5) -> Tensor:
    """Share of the pixels of a clip's solid interior with predicted alpha < `punched`.

    The interior is the set of pixels with true alpha > `solid`, eroded by a square of 2 `margin` + 1 pixels, so that
    the prediction's edge may be off by `margin` pixels. The frame's border does not erode.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        solid: true alphas above this are solid.
        margin: pixels that the erosion takes off.
        punched: predicted alphas below this are transparent.

    Returns:
        `b`, 0 to 1; NaN for a clip without an interior.
    """
    outside = (true <= solid).flatten(0, 1).float()  # (b f) 1 h w
    # growing the outside erodes the inside; a square grows along x, then along y
    size = 2 * margin + 1
    outside = functional.max_pool2d(outside, (1, size), stride=1, padding=(0, margin))
    outside = functional.max_pool2d(outside, (size, 1), stride=1, padding=(margin, 0))
    interior = (outside == 0).view(true.shape)  # b f 1 h w
    return ((pred < punched) & interior).sum(dim=(1, 2, 3, 4)) / interior.sum(dim=(1, 2, 3, 4))


class HolesFilled(VideoMetric):
    """Mean over stickers of `holes_filled`: the share of true holes that the prediction fills in.

    Args:
        transparent: true alphas below this are transparent.
        min_area: pixels that a hole has at least.
        filled: predicted alphas from this on fill the hole.
    """

    def __init__(self, transparent: float = 0.05, min_area: int = 16, filled: float = 0.5) -> None:
        super().__init__()
        self.transparent, self.min_area, self.filled = transparent, min_area, filled

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `holes_filled` of each clip, `b`."""
        return holes_filled(pred, true, self.transparent, self.min_area, self.filled)


class InteriorPunched(VideoMetric):
    """Mean over stickers of `interior_punched`: the share of solid interior that the prediction drops.

    Args:
        solid: true alphas above this are solid.
        margin: pixels that the erosion takes off.
        punched: predicted alphas below this are transparent.
    """

    def __init__(self, solid: float = 0.95, margin: int = 3, punched: float = 0.5) -> None:
        super().__init__()
        self.solid, self.margin, self.punched = solid, margin, punched

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `interior_punched` of each clip, `b`."""
        return interior_punched(pred, true, self.solid, self.margin, self.punched)


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
    pixel, no hole, one frame only, no colors given. The mean over clips leaves such clips out.

    Args:
        background: color of the composites, a name or `#rrggbb`.
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
        self.background = background_color(background)
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
            pred_rgb: predicted straight colors, `b f 3 h w` in [0, 1]; with `true_rgb`, for the composite scores.
            true_rgb: true straight colors, the same shape.

        Raises:
            ValueError: wrong shapes or types, or only one of the colors.
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

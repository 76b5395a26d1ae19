"""Train Matting Anything's head (arXiv 2306.05399, section 3); SAM is frozen."""

from typing import Any, Literal

import torch
from einops import rearrange
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from glassine.models.matting_anything import SURE, Mattes, MattingAnything, dilated, prompts_of, uncertain_band
from glassine.nn.losses import laplacian_l1, weighted_l1
from glassine.tasks.base import ScoredTask

Region = Literal["all", "mask", "trimap", "coarser"]


class MattingAnythingTask(ScoredTask):
    """L = sum over the scales of scale_weight * (l1_weight * absolute error + laplacian_weight * Laplacian error).

    The prompt is the box around the true alpha. Stride 8 learns everywhere. Strides 4 and 1 do so for `warmup_steps`;
    for twice as many more steps they learn inside SAM's mask or in the unknown region of a trimap, half of the steps
    each; after that in the trimap's or where the coarser alpha is uncertain, which is where they are used. All this
    follows the authors' trainer; its composition loss, which their published configurations do not enable, is omitted,
    as are empty frames.

    Args:
        network: frozen SAM and the head.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        scale_weights: weights of strides 8, 4 and 1.
        l1_weight: weight of the absolute error.
        laplacian_weight: weight of the Laplacian pyramid error.
        warmup_steps: a fifth of the authors' 20,000 steps.
        trimap_width: the trimap's unknown region is dilated inwards and outwards by random diameters below this, in
            pixels, for each frame and side.
        band_widths: the same for the uncertain regions of strides 8 and 4.
        point_share: fraction of steps whose prompts also have the center point; 0 in the authors' code. Above 0, the
            head sees the masks that SAM predicts for such prompts before it is tested with them.
    """

    frozen = ("network.sam",)

    def __init__(
        self,
        network: MattingAnything,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        scale_weights: tuple[float, float, float] = (0.2, 0.2, 0.4),
        l1_weight: float = 1.0,
        laplacian_weight: float = 1.0,
        warmup_steps: int = 4000,
        trimap_width: int = 30,
        band_widths: tuple[int, int] = (30, 15),
        point_share: float = 0.0,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if min(trimap_width, *band_widths) < 2:
            raise ValueError(f"trimap_width is {trimap_width}, band_widths {band_widths}; all must be at least 2")
        self.network = network
        self.scale_weights, self.l1_weight, self.laplacian_weight = scale_weights, l1_weight, laplacian_weight
        self.warmup_steps, self.trimap_width, self.band_widths = warmup_steps, trimap_width, band_widths
        self.point_share = point_share

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on the frames of a batch of composited clips."""
        pictures, truth = (rearrange(batch[key], "b f c h w -> (b f) c h w") for key in ("clip", "alpha"))
        given = prompts_of(truth, points=bool(torch.rand(()) < self.point_share))
        asked = [(place, prompt) for place, prompt in enumerate(given) if prompt is not None]
        if not asked:
            return self.zero_loss()
        places, prompts = map(list, zip(*asked, strict=True))
        mattes = self.network(pictures[places], prompts)
        losses = self.losses(mattes, truth[places], self.draw_region(self.global_step))
        loss = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/{name}": value for name, value in losses.items()} | {"train/loss": loss})
        return loss

    def losses(self, mattes: Mattes, truth: Tensor, region: Region) -> dict[str, Tensor]:
        """Both weighted errors of each scale, for the true alpha `n 1 h w`."""
        weights = self.pixel_weights(mattes, truth, region)
        losses = {}
        scales = (mattes.os8, mattes.os4, mattes.os1)
        for name, alpha, share, weight in zip(("os8", "os4", "os1"), scales, self.scale_weights, weights, strict=True):
            losses[f"l1_{name}"] = share * self.l1_weight * weighted_l1(alpha, truth, weight)
            losses[f"laplacian_{name}"] = share * self.laplacian_weight * laplacian_l1(alpha, truth, weight)
        return losses

    def draw_region(self, step: int) -> Region:
        """The regions in which strides 4 and 1 learn in this step."""
        if step < self.warmup_steps:
            return "all"
        if torch.rand(()) < 0.5:
            return "trimap"
        return "mask" if step < 3 * self.warmup_steps else "coarser"

    def pixel_weights(self, mattes: Mattes, truth: Tensor, region: Region) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of the pixels used at strides 8, 4 and 1: `n 1 h w`, 0 or 1."""
        everywhere = torch.ones_like(truth)
        if region == "all":
            return everywhere, everywhere, everywhere
        if region == "mask":
            return everywhere, mattes.mask, mattes.mask
        if region == "trimap":
            unknown = self.unknown(truth).to(truth)
            return everywhere, unknown, unknown
        coarser = zip((mattes.os8, mattes.os4), self.band_widths, strict=True)
        bands = [torch.cat([uncertain_band(a, drawn(width)) for a in alpha.split(1)]) for alpha, width in coarser]
        return everywhere, bands[0].to(truth), bands[1].to(truth)

    def unknown(self, truth: Tensor) -> Tensor:
        """The unknown region of a trimap of `n 1 h w`: neither clearly inside nor clearly outside."""
        width = self.trimap_width
        frames = [dilated(t < 1 - SURE / 2, drawn(width)) & dilated(t > SURE / 2, drawn(width)) for t in truth.split(1)]
        return torch.cat(frames)

    def evaluation_step(self, batch: dict[str, Any]) -> None:
        """Score a batch of whole clips, prompted with their true alpha."""
        self.scores.update(self.network.decode(batch["clip"], batch["alpha"]), batch["alpha"])

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """RGBA clips: `rgba` `b f 4 h w` in [0, 1] with their `key`; the colors are the input's, not un-mixed."""
        alpha = self.network.decode(batch["clip"], batch["alpha"])
        return {"rgba": torch.cat([batch["clip"], alpha], dim=2), "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input, ground truth, result, and both alphas as gray images."""
        clip, truth = batch["clip"], batch["alpha"]
        alpha = self.network.decode(clip, truth)
        return {
            "input": clip,
            "truth": torch.cat([batch["foreground"], truth], dim=2),
            "result": torch.cat([clip, alpha], dim=2),
            "true alpha": truth.expand(-1, -1, 3, -1, -1),
            "alpha": alpha.expand(-1, -1, 3, -1, -1),
        }


def drawn(width: int) -> int:
    """A random number from 1, 2, ..., width - 1."""
    return int(torch.randint(1, width, ()))

"""Distill SAM into a lightweight image encoder: ILDiff (arXiv 2412.20901, section II-B), with SAMI (2312.00863)."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from einops import rearrange
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.layout_encoder import MaskedReconstruction
from glassine.tasks.base import StickerTask
from glassine.utils.errors import UserError

TargetGrid = Literal["student", "teacher", "same"]
Distance = Literal["mse", "cosine"]


class DistillTask(StickerTask):
    """L_R = || f_sam(x) - f_h(x) ||^2: the student's reconstructed features and the frozen teacher's, over all tokens.

    Batches may contain the teacher's features, `teacher_features` `b c g g` (see `CachedFeatures`); otherwise the
    teacher runs in every step.

    Args:
        reconstruction: student, decoder and head.
        teacher: images `n 3 h w` in [0, 1] to features `n c g g`, with `out_channels` and `identity`, for instance
            `SamTeacher`; frozen.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        target_grid: what to resize if the maps of teacher and student differ in size (64 x 64 and 14 x 14 for SAM and a
            224 px student; the papers do not say how they are compared): `student`, the default, resizes the teacher's
            map to the student's grid by area averaging, so that each target token is a mean of teacher tokens (those of
            a coarser map are repeated); `teacher` resizes the student's map bilinearly; `same` requires equal sizes.
        distance: `mse`, mean over tokens and channels, as in both papers; or `cosine`, 1 - cosine similarity of each
            token, averaged.

    Raises:
        ValueError: the channels of reconstruction and teacher differ.
    """

    frozen = ("teacher",)

    def __init__(
        self,
        reconstruction: MaskedReconstruction,
        teacher: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        target_grid: TargetGrid = "student",
        distance: Distance = "mse",
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if reconstruction.target_channels != teacher.out_channels:
            raise ValueError(
                f"target_channels must be {teacher.out_channels}, the teacher's, got {reconstruction.target_channels}"
            )
        self.reconstruction, self.teacher = reconstruction, teacher.requires_grad_(False).eval()
        # the neck belongs to SAM's mask decoder, which is trained after SAMI
        reconstruction.encoder.neck.requires_grad_(False)
        self.target_grid, self.distance = target_grid, distance

    def on_fit_start(self) -> None:
        """Reject cached features of another teacher."""
        super().on_fit_start()
        cached: Mapping[str, str] | None = getattr(getattr(self.trainer, "datamodule", None), "features_identity", None)
        ours = self.teacher.identity
        if cached is not None and dict(cached) != dict(ours):  # type: ignore[arg-type]
            raise UserError(
                f"the cached features come from another teacher ({shown(cached)}) than this run's ({shown(ours)}): "  # type: ignore[arg-type]
                "run `glassine data cache-features` with this teacher, or train on glassine.data.dataset.Stickers"
            )

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on all frames of the clips."""
        pictures = rearrange(batch["clip"], "b f c h w -> (b f) c h w")
        loss = self.compare(self.reconstruction(pictures), self.targets(batch, pictures))
        self.log("train/loss", loss)
        return loss

    def targets(self, batch: dict[str, Any], pictures: Tensor) -> Tensor:
        """The teacher's features of the images, `n c g g`, from the batch if available."""
        if "teacher_features" in batch:
            return batch["teacher_features"].to(pictures)
        with torch.no_grad():
            return self.teacher(pictures)

    def compare(self, rebuilt: Tensor, target: Tensor) -> Tensor:
        """L_R of `n c h' w'` against the teacher's `n c g g`; raises UserError if the grids do not match."""
        rebuilt, target = self.meet(rebuilt, target)
        if self.distance == "cosine":
            return (1 - F.cosine_similarity(rebuilt, target, dim=1)).mean()
        return F.mse_loss(rebuilt, target)

    def meet(self, rebuilt: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Resize both to the grid of `target_grid`."""
        if rebuilt.shape[-2:] != target.shape[-2:]:
            student, teacher = (f"{x.shape[-2]} x {x.shape[-1]}" for x in (rebuilt, target))
            if self.target_grid == "same":
                raise UserError(
                    f"the student's grid is {student}, the teacher's {teacher}: change the image size, or "
                    "set target_grid to student or teacher"
                )
            if self.target_grid == "student":
                target = F.interpolate(target, rebuilt.shape[-2:], mode="area")
            else:
                rebuilt = F.interpolate(rebuilt, target.shape[-2:], mode="bilinear", align_corners=False)
        return rebuilt, target

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """L_R with fixed masks, and the unexplained fraction of the teacher's variance."""
        self.evaluate(batch, "val", batch_idx)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test", batch_idx)

    def evaluate(self, batch: dict[str, Any], stage: str, batch_idx: int) -> None:
        """Log the loss and the unexplained variance."""
        pictures = rearrange(batch["clip"], "b f c h w -> (b f) c h w")
        target = self.targets(batch, pictures)
        rebuilt = self.reconstruction(pictures, torch.Generator().manual_seed(batch_idx))
        rebuilt, target = self.meet(rebuilt, target)
        variance = target.var(dim=(0, 2, 3)).mean()  # the error of predicting the mean
        unexplained = F.mse_loss(rebuilt, target) / variance
        named = {f"{stage}/loss": self.compare(rebuilt, target), f"{stage}/unexplained": unexplained}
        self.log_dict(named, batch_size=len(pictures), sync_dist=True)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The clip, and three principal components of the teacher's and the reconstructed features as colors."""
        pictures = rearrange(batch["clip"], "b f c h w -> (b f) c h w")
        target = self.targets(batch, pictures)
        rebuilt = self.reconstruction(pictures, torch.Generator().manual_seed(0))
        size = pictures.shape[-2:]
        target, rebuilt = (F.interpolate(x, size, mode="nearest") for x in (target, rebuilt))
        rows = rearrange(target, "n c h w -> (n h w) c")
        mean = rows.mean(0)
        axes = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors[:, -3:]  # c 3
        shown_as = {}
        for name, features in (("teacher", target), ("rebuilt", rebuilt)):
            colors = (rearrange(features, "n c h w -> n h w c") - mean) @ axes  # n h w 3
            spread = ((rows - mean) @ axes).std(0) * 2
            shown_as[name] = rearrange((colors / (2 * spread) + 0.5).clamp(0, 1), "n h w c -> n c h w")
        frames = batch["clip"].shape[1]
        pictured = {"input": pictures, **shown_as}
        return {name: rearrange(x, "(b f) c h w -> b f c h w", f=frames) for name, x in pictured.items()}


def shown(identity: Mapping[str, str]) -> str:
    """A teacher's identity as text."""
    return ", ".join(f"{name} {value}" for name, value in identity.items())

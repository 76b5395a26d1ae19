"""Train the network that corrects closed-form alpha (`glassine.models.alpha_refiner`)."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.nn import functional as F

from glassine.models.alpha_refiner import AlphaRefiner, refiner_inputs
from glassine.tasks.base import StickerTask


class AlphaRefiningTask(StickerTask):
    """L = mean over pictures of the root of alpha's mean squared error + proposal_weight * cross entropy.

    The root makes a picture that is nearly right count as much as one that is wrong, so that the network learns to
    leave alone what the closed form does well. The cross entropy is of the network's own alpha, which has to be learned
    while the gate is still closed.

    Args:
        network: see there.
        optimizer: see `StickerTask`, as the next two.
        lr_scheduler: see there.
        init_from: see there.
        proposal_weight: of the network's own alpha.
        channels_last: memory layout, the faster one for bfloat16 convolutions on CPUs.

    A batch is one of `glassine.data.cut_cache.CachedCuts`.
    """

    def __init__(
        self,
        network: AlphaRefiner,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        proposal_weight: float = 0.5,
        channels_last: bool = True,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        self.network, self.proposal_weight = network, proposal_weight
        if channels_last:
            self.network.to(memory_format=torch.channels_last)

    def predict(self, batch: dict[str, Any]) -> Tensor:
        """Corrected alpha, `b 1 h w` in [0, 1]."""
        return self.corrected(batch)[0]

    def corrected(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Corrected alpha in [0, 1], and logits of the network's own, both `b 1 h w`."""
        picture, behind, closed, opened = (batch[name] for name in ("picture", "behind", "closed", "opened"))
        logits, gate = self.network.propose(refiner_inputs(picture, behind, closed, opened, batch["noise"].float()))
        return closed + gate * (torch.sigmoid(logits) - closed), logits

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss; logged beside how much smaller the error is than the closed form's."""
        refined, logits = self.corrected(batch)
        error = root_error(refined, batch["alpha"])
        entropy = F.binary_cross_entropy_with_logits(logits, batch["alpha"])
        gain = root_error(batch["closed"], batch["alpha"]) - error
        self.log_dict({"train/error": error, "train/cross_entropy": entropy, "train/gain": gain})
        return error + self.proposal_weight * entropy

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """PSNR of the corrected and of the closed-form alpha, of damaged and of undamaged files, in dB."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log means over pictures."""
        with torch.autocast(self.device.type, enabled=False):
            refined = self.predict(batch)
        damaged = torch.tensor(["+" in condition for condition in batch["condition"]])
        for name, alpha in (("refined", refined), ("closed", batch["closed"])):
            error = (alpha - batch["alpha"]).square().mean((1, 2, 3)).clamp_min(1e-6)
            decibels = -10 * error.log10()
            for kind, chosen in (("damaged", damaged), ("clean", ~damaged)):
                if chosen.any():
                    value = decibels[chosen.to(decibels.device)].mean()
                    self.log(f"{stage}/{name}_{kind}", value, batch_size=int(chosen.sum()), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """`alpha` `b 1 h w` in [0, 1], with its `key`."""
        return {"alpha": self.predict(batch), "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Picture, closed-form, corrected and true alpha, `b 1 c h w`."""
        shown = {"picture": batch["picture"], "closed form": batch["closed"], "refined": self.predict(batch)}
        shown["truth"] = batch["alpha"]
        return {name: planes.expand(-1, 3, -1, -1)[:, None].clamp(0, 1) for name, planes in shown.items()}


def root_error(alpha: Tensor, truth: Tensor) -> Tensor:
    """Mean over pictures `b 1 h w` of the root of the mean squared error."""
    return ((alpha - truth).square().mean((1, 2, 3)) + 1e-6).sqrt().mean()

"""Train the domain classifier, real or cartoon, on shards whose `domain` is the label."""

from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sticker_domain import StickerDomain
from glassine.pretrained.efficientnet_lite import start_from_imagenet
from glassine.tasks.base import StickerTask
from glassine.utils.errors import UserError

DOMAINS = ("cartoon", "real")


class StickerDomainTask(StickerTask):
    """Class-balanced cross-entropy over two domains, on each frame of a clip independently.

    Validation measures accuracy and fits the temperature by `StickerDomain.calibrate`. Test measures accuracy, Brier
    score and expected calibration error with this temperature.

    Args:
        network: a `StickerDomain` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        start: `imagenet` initializes the encoder with ImageNet weights (extra `train`); None keeps random weights.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        start: Literal["imagenet"] | None = "imagenet",
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(network, StickerDomain):
            raise TypeError(f"network must be a StickerDomain, got a {type(network).__name__}")
        self.network, self.start = network, start
        if not network.train_encoder:
            network.requires_grad_(False)
            network.encoder.get_classifier().requires_grad_(True)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self) -> None:
        """Load the initial weights."""
        if self.start is not None and self.init_from is None and self.trainer.ckpt_path is None:
            start_from_imagenet(self.network.encoder)
        super().on_fit_start()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on `clip` `b f 3 h w` and `domain`."""
        logits, labels = self.answers(batch)
        counts = torch.bincount(labels, minlength=2).clamp(min=1)
        loss = F.cross_entropy(logits, labels, weight=len(labels) / (2 * counts.float()))
        self.log("train/loss", loss)
        return loss

    def answers(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Logits `(b f) 2` and labels `(b f)` of all frames.

        Raises:
            UserError: a `domain` that is neither `real` nor `cartoon`.
        """
        unknown = [domain for domain in batch["domain"] if domain not in DOMAINS]
        if unknown:
            raise UserError(f"domain must be one of {', '.join(DOMAINS)}, got {unknown[0]!r}: relabel the stickers")
        clip = batch["clip"]
        labels = torch.tensor([DOMAINS.index(domain) for domain in batch["domain"]], device=clip.device)
        return self.network(clip.flatten(0, 1)), labels.repeat_interleave(clip.shape[1])

    def on_validation_epoch_start(self) -> None:
        """Reset the collected logits and labels."""
        self.seen = []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Collect logits and labels."""
        logits, labels = self.answers(batch)
        self.seen.append((logits.cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy, and fit and log the temperature."""
        if self.seen:
            logits, labels = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
            self.log("val/accuracy", (logits.argmax(dim=1) == labels).float().mean())
            self.log("val/temperature", self.network.calibrate(logits, labels))

    def on_test_epoch_start(self) -> None:
        """Reset the collected logits and labels."""
        self.seen = []

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Collect logits and labels."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log accuracy, Brier score and expected calibration error (10 bins)."""
        if not self.seen:
            return
        logits, labels = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        probabilities = (logits.float() / self.network.temperature.cpu()).softmax(dim=1)
        sure, answer = probabilities.max(dim=1)
        right = (answer == labels).float()
        bins = ((sure - 0.5) * 20).long().clamp(max=9)
        errors = [
            (right[bins == n].mean() - sure[bins == n].mean()).abs() * (bins == n).float().mean()
            for n in range(10)
            if (bins == n).any()
        ]
        self.log("test/accuracy", right.mean())
        self.log("test/brier", ((probabilities[:, 1] - labels.float()) ** 2).mean())
        self.log("test/expected_calibration_error", torch.stack(errors).sum())

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The input clips."""
        return {"input": batch["clip"]}

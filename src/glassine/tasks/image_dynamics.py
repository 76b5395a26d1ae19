"""Train the diffusion of motion fields (Generative Image Dynamics, arXiv 2309.07906)."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.image_dynamics import ImageDynamics
from glassine.nn.diffusion import min_snr_weight, prediction_target, signal_to_noise
from glassine.tasks.base import StickerTask


class ImageDynamicsTask(StickerTask):
    """The usual noise prediction loss on motion fields, normalized by their amount.

    A batch has `field` (`b k g g 2`), `still` (straight RGBA, `b 4 4g 4g`), `amount` (`b`) and `caption`.

    Args:
        generator: an `ImageDynamics` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        drop_prompt: probability of dropping the prompt, for classifier-free guidance.
        min_snr_gamma: see `StickerVideoTask`.

    Raises:
        TypeError: `generator` is not an `ImageDynamics`.
    """

    frozen = ("generator.text_encoder",)

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        drop_prompt: float = 0.1,
        min_snr_gamma: float | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(generator, ImageDynamics):
            raise TypeError(f"generator must be an ImageDynamics, got a {type(generator).__name__}")
        self.generator, self.drop_prompt, self.min_snr_gamma = generator, drop_prompt, min_snr_gamma

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of fields."""
        dropped = torch.rand(len(batch["caption"])) < self.drop_prompt
        captions = ["" if drop else text for drop, text in zip(dropped, batch["caption"], strict=True)]
        device = batch["field"].device
        steps = self.generator.scheduler.config["num_train_timesteps"]
        timesteps = torch.randint(steps, (len(captions),), device=device)
        terms = self.terms(batch)
        errors = self.errors(terms, batch, captions, timesteps, torch.randn_like(terms))  # b
        if self.min_snr_gamma is not None:
            snr = signal_to_noise(self.generator.scheduler.alphas_cumprod, timesteps)
            kind = self.generator.scheduler.config["prediction_type"]
            errors = errors * min_snr_weight(snr, self.min_snr_gamma, kind)
        self.log("train/loss", errors.mean())
        return errors.mean()

    def terms(self, batch: dict[str, Any]) -> Tensor:
        """The normalized terms `b 2k g g` of a batch."""
        return self.generator.normalize(batch["field"].float(), batch["amount"].float())

    def errors(
        self, terms: Tensor, batch: dict[str, Any], captions: list[str], timesteps: Tensor, noise: Tensor
    ) -> Tensor:
        """Squared error of the prediction `b`, for the terms of the batch."""
        scheduler = self.generator.scheduler
        with torch.no_grad():
            embeds = self.generator.text_encoder(captions)
        noisy = scheduler.add_noise(terms, noise, timesteps)
        target = prediction_target(scheduler, terms, noise, timesteps)
        predicted = self.generator(noisy, timesteps, batch["still"], embeds, batch["amount"].float())
        return (predicted.float() - target).square().flatten(1).mean(1)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss, unweighted, at evenly spaced timesteps, with the same noise in every validation."""
        self.evaluation_step(batch, batch_idx, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Likewise, in every test."""
        self.evaluation_step(batch, batch_idx, "test")

    def evaluation_step(self, batch: dict[str, Any], batch_idx: int, stage: str) -> None:
        """Log the loss."""
        terms = self.terms(batch)
        noise = torch.randn(terms.shape, generator=torch.Generator().manual_seed(batch_idx)).to(terms)
        places = (torch.arange(len(terms)) + 0.5) / len(terms)
        timesteps = (places * self.generator.scheduler.config["num_train_timesteps"]).long().to(terms.device)
        error = self.errors(terms, batch, list(batch["caption"]), timesteps, noise).mean()
        self.log(f"{stage}/loss", error, batch_size=len(terms), sync_dist=True)

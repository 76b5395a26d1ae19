"""Train VideoGPT's second stage (arXiv 2104.10157): the prior over codes, conditioned on tags as in VSD2M."""

from math import log
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.video_gpt import TokenSampling, VideoGPT
from glassine.tasks.base import StickerTask


class VideoGPTTask(StickerTask):
    """L = E(-log p(z | tags)), the mean over a clip's codes (VSD2M, equation 1, for a masked prior).

    Logs the cross-entropy in nats and the bits per dimension, where a dimension is a code; in validation also the
    cross-entropy without tags, which shows how much information the tags carry. For a masked prior this is not a
    likelihood, so the two objectives are not comparable.

    Args:
        prior: the network to train, a `VideoGPT` (typed as a module so that a loader can create it); its VQ-VAE
            is frozen.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        condition_dropout: probability of dropping the tags, for classifier-free guidance.
        sampling: sampling settings of previews and predictions; None for `TokenSampling()`.

    Raises:
        TypeError: `prior` is not a VideoGPT.
    """

    frozen = ("prior.vqvae",)

    def __init__(
        self,
        prior: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        condition_dropout: float = 0.1,
        sampling: TokenSampling | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(prior, VideoGPT):
            raise TypeError(f"prior must be a VideoGPT, got a {type(prior).__name__}")
        self.prior, self.condition_dropout, self.sampling = prior, condition_dropout, sampling or TokenSampling()

    def mixture(self, batch: dict[str, Any]) -> Tensor:
        """The stickers' tags as input for the prior, `b v`."""
        return self.prior.vocabulary.mixture(batch["trigger_words"]).to(batch["clip"])

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on the codes of `clip` (`b f 3 h w`) and on `trigger_words`."""
        kept = torch.rand(len(batch["clip"]), 1) >= self.condition_dropout
        mixture = self.mixture(batch) * kept.to(batch["clip"])
        loss = self.prior.nats(self.prior.encode(batch["clip"]), mixture).mean()
        self.log_dict({"train/loss": loss, "train/bits_per_dim": loss / log(2)})
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss with and without tags, with fixed masks."""
        self.evaluate(batch, "val", batch_idx)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test", batch_idx)

    def evaluate(self, batch: dict[str, Any], stage: str, batch_idx: int) -> None:
        """Log the loss with and without tags."""
        codes, mixture = self.prior.encode(batch["clip"]), self.mixture(batch)
        loss, uncond = (
            self.prior.nats(codes, shares, torch.Generator().manual_seed(batch_idx)).mean()
            for shares in (mixture, torch.zeros_like(mixture))
        )
        named = {f"{stage}/loss": loss, f"{stage}/bits_per_dim": loss / log(2), f"{stage}/loss_without_tags": uncond}
        self.log_dict(named, batch_size=len(codes), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """A `sample` for each sticker's tags, `b f 3 h w` in [0, 1], with its `key`; the same on every run."""
        generator = torch.Generator().manual_seed(hash((batch_idx, self.global_rank)) % 2**63)
        return {"sample": self.prior.sample(batch["trigger_words"], self.sampling, generator), "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input, its reconstruction, and a sample for the same tags."""
        sample = self.prior.sample(batch["trigger_words"], self.sampling, torch.Generator().manual_seed(0))
        kept = self.prior.decode(self.prior.encode(batch["clip"]))
        return {"input": batch["clip"], "reconstruction": kept, "sample": sample}

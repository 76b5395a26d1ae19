"""Train VideoGPT's first stage (arXiv 2104.10157): the 3D VQ-VAE, which provides the prior's codes."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from glassine.metrics.image import psnr
from glassine.models.video_vqvae import VideoVQVAE
from glassine.tasks.base import StickerTask


class VideoVQVAETask(StickerTask):
    """L = |x - x'|^2 / data_variance + commitment_weight * |z - e|^2; the codebook is updated by moving averages.

    Also logs the perplexity of the codes, `exp(entropy)`, which is their number if all are equally frequent, and the
    share of codes in use: in `train/` for one process's batch, in `val/` and `test/` for the whole epoch.

    Args:
        vqvae: the network to train, a `VideoVQVAE` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        data_variance: variance of the pixel values; 0.06 in the authors' code.
        commitment_weight: 0.25 in the authors' code.

    Raises:
        TypeError: `vqvae` is not a VideoVQVAE.
    """

    def __init__(
        self,
        vqvae: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        data_variance: float = 0.06,
        commitment_weight: float = 0.25,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(vqvae, VideoVQVAE):
            raise TypeError(f"vqvae must be a VideoVQVAE, got a {type(vqvae).__name__}")
        self.vqvae, self.data_variance, self.commitment_weight = vqvae, data_variance, commitment_weight
        self.code_use = CodeUse(vqvae.codes)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on `clip` (`b f 3 h w`)."""
        reconstruction, codes, commitment = self.vqvae(batch["clip"])
        error = F.mse_loss(reconstruction, batch["clip"])
        loss = error / self.data_variance + self.commitment_weight * commitment
        named = {"loss": loss, "error": error, "commitment": commitment}
        named |= evenness(torch.bincount(codes.flatten(), minlength=self.vqvae.codes))
        self.log_dict({f"train/{name}": value for name, value in named.items()})
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """PSNR of the reconstruction, in dB, averaged over frames, and the codebook usage."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the codebook usage."""
        self.log_code_use("val")

    def on_test_epoch_end(self) -> None:
        """Log the codebook usage."""
        self.log_code_use("test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log the PSNR, and count the codes."""
        codes = self.vqvae.encode(batch["clip"])
        self.code_use.update(codes)
        quality = psnr(self.vqvae.decode(codes), batch["clip"]).mean()
        self.log(f"{stage}/psnr", quality, batch_size=len(codes), sync_dist=True)

    def log_code_use(self, stage: str) -> None:
        """Log the codebook usage of the epoch, and reset it."""
        self.log_dict({f"{stage}/{name}": value for name, value in self.code_use.compute().items()})
        self.code_use.reset()

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The `reconstruction`, `b f 3 h w` in [0, 1], with its `key`."""
        return {"reconstruction": self.reconstruct(batch["clip"]), "key": batch["key"]}

    def reconstruct(self, clip: Tensor) -> Tensor:
        """Encode to codes and decode, `b f 3 h w` in [0, 1]."""
        return self.vqvae.decode(self.vqvae.encode(clip))

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input and reconstruction."""
        return {"input": batch["clip"], "reconstruction": self.reconstruct(batch["clip"])}


class CodeUse(Metric):
    """Share of a codebook's codes in use, and their perplexity, over an epoch and all processes.

    Args:
        codes: size of the codebook.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.add_state("counts", default=torch.zeros(codes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, codes: Tensor) -> None:
        """Count codes of any shape."""
        self.counts += torch.bincount(codes.flatten(), minlength=len(self.counts))

    def compute(self) -> dict[str, Tensor]:
        """`perplexity`, 1 to the number of codes, and `used`, 0 to 1."""
        return evenness(self.counts)


def evenness(counts: Tensor) -> dict[str, Tensor]:
    """`perplexity` and share `used` of codes with the counts `k`."""
    shares = counts / counts.sum().clamp(min=1)
    return {"perplexity": torch.special.entr(shares).sum().exp(), "used": (counts > 0).float().mean()}

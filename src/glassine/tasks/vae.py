"""Train the small VAE of the tiny scale (KL-VAE of latent diffusion, arXiv 2112.10752, section 3.1)."""

from typing import Any

import torch
from einops import rearrange
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.metrics.psnr import psnr
from glassine.tasks.base import StickerTask


class VAETask(StickerTask):
    """Reconstruction of opaque clips through 8x latents.

    L = |x - x'| + edge_weight * |grad x - grad x'| + kl_weight * KL. Latent diffusion's perceptual loss needs weights
    that no package ships; the gradient term stands in for it, since stickers are mostly outlines and flat areas.

    Args:
        vae: the network to train; diffusers interface.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        kl_weight: weight of the KL divergence, summed over latents and divided by the count of the pictures' values,
            small as in the paper.
        edge_weight: weight of the gradient term.
    """

    def __init__(
        self,
        vae: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        kl_weight: float = 1e-5,
        edge_weight: float = 1.0,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        self.vae, self.kl_weight, self.edge_weight = vae, kl_weight, edge_weight

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on `clip` (`b f 3 h w`)."""
        x = rearrange(batch["clip"], "b f c h w -> (b f) c h w") * 2 - 1
        posterior = self.vae.encode(x).latent_dist  # type: ignore[operator]
        y = self.vae.decode(posterior.sample()).sample  # type: ignore[operator]
        kl = posterior.kl().sum() / x.numel()
        edges = sum(F.l1_loss(torch.diff(y, dim=d), torch.diff(x, dim=d)) for d in (-1, -2))
        loss = F.l1_loss(y, x) + self.edge_weight * edges + self.kl_weight * kl
        self.log_dict({"train/loss": loss, "train/kl": kl})
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """PSNR of the reconstruction, in dB, averaged over frames."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same of the test split."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log the reconstruction's PSNR."""
        quality = psnr(self.reconstruct(batch["clip"]), batch["clip"]).mean()
        self.log(f"{stage}/psnr", quality, batch_size=len(batch["clip"]), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The `reconstruction`, `b f 3 h w` in [0, 1], with its `key`."""
        return {"reconstruction": self.reconstruct(batch["clip"]), "key": batch["key"]}

    def reconstruct(self, clip: Tensor) -> Tensor:
        """Through the latents' means and back, `b f 3 h w` in [0, 1]."""
        y = self.vae(rearrange(clip, "b f c h w -> (b f) c h w") * 2 - 1) / 2 + 0.5
        return rearrange(y.clamp(0, 1), "(b f) c h w -> b f c h w", f=clip.shape[1])

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input and reconstruction."""
        return {"input": batch["clip"], "reconstruction": self.reconstruct(batch["clip"])}

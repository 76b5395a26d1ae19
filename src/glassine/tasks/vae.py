"""Train the small VAE for the tiny scale (KL-VAE of latent diffusion, arXiv 2112.10752, section 3.1)."""

from typing import Any

import torch
from einops import rearrange
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.metrics.image import psnr
from glassine.nn.compositing import PLAIN, composite_on, random_backgrounds, random_placement
from glassine.nn.diffusion import enable_checkpointing
from glassine.nn.losses import PatchDiscriminator, PerceptualLoss
from glassine.tasks.base import StickerTask

NAMES = {1.0: "white", 0.5: "gray", 0.0: "black"}


class VAETask(StickerTask):
    """Reconstruction of opaque images through 8x downsampled latents.

    L = |x - x'| + edge_weight * |grad x - grad x'| + kl_weight * KL + perceptual_weight * L_p
    + adversarial_weight * L_disc. The gradient term is ours: stickers are mostly outlines and flat areas.

    A batch has either `clip` (`b f 3 h w`, opaque) or `rgba` (`b f 4 h w`, straight, color-padded), which is
    composited on random backgrounds here.

    Args:
        vae: the network to train; diffusers interface.
        optimizer: see `StickerTask`; another one is created for the discriminator.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        kl_weight: weight of the KL divergence, summed over latents and divided by the number of pixel values, small as
            in the paper.
        edge_weight: weight of the gradient term.
        perceptual: feature distance of a frozen network; None trains without L_p.
        perceptual_weight: its weight.
        discriminator: PatchGAN on RGB with hinge losses; None trains without L_disc. With it the task clips gradients
            itself (`trainer.gradient_clip_val` must be unset).
        adversarial_weight: weight of L_disc.
        adversarial_start: batches before L_disc starts; earlier reconstructions are too poor.
        resized_share: fraction of steps that decode latents resized to a half or three quarters and compare with the
            resized image (EQ-VAE, arXiv 2502.09509, section 3.2), which makes latents easier to generate.
        decoder_only: freeze the encoder, so that latents do not change.
        channels_last: memory layout of the network, the faster one for bfloat16 convolutions on CPUs.
        gradient_checkpointing: saves memory, costs time.
    """

    def __init__(
        self,
        vae: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        kl_weight: float = 1e-5,
        edge_weight: float = 1.0,
        perceptual: PerceptualLoss | None = None,
        perceptual_weight: float = 0.1,
        discriminator: PatchDiscriminator | None = None,
        adversarial_weight: float = 0.01,
        adversarial_start: int = 0,
        resized_share: float = 0.0,
        decoder_only: bool = False,
        channels_last: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if gradient_checkpointing:
            enable_checkpointing(vae)
        self.vae, self.kl_weight, self.edge_weight = vae, kl_weight, edge_weight
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.frozen = ("perceptual",) if perceptual is not None else ()
        self.discriminator, self.adversarial_weight = discriminator, adversarial_weight
        self.adversarial_start, self.resized_share = adversarial_start, resized_share
        self.automatic_optimization = discriminator is None  # otherwise two optimizers alternate
        if decoder_only:
            self.vae.encoder.requires_grad_(False)
        if channels_last:
            self.vae.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> Any:
        """One optimizer for the VAE, and one for the discriminator if there is one, each with its schedule."""
        if self.discriminator is None:
            return super().configure_optimizers()
        learned = [p for p in self.vae.parameters() if p.requires_grad]
        optimizers = [self.optimizer_callable(p) for p in (learned, self.discriminator.parameters())]
        if self.lr_scheduler_callable is None:
            return optimizers
        return optimizers, [{"scheduler": self.lr_scheduler_callable(o), "interval": "step"} for o in optimizers]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """One step of the VAE, then one of the discriminator."""
        x = self.pictures(batch)
        named, y = self.losses(x)
        if self.discriminator is None:
            loss = torch.stack(list(named.values())).sum()
            self.log_dict({"train/loss": loss} | {f"train/{name}": value for name, value in named.items()})
            return loss
        self.take_turns(named, x, y)
        return None

    def losses(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Named and weighted losses for images `n 3 h w` in [-1, 1], and the reconstruction."""
        posterior = self.vae.encode(x).latent_dist  # type: ignore[operator]
        latents, target = posterior.sample(), x
        if self.resized_share and torch.rand(()) < self.resized_share:
            scale = 0.5 if torch.rand(()) < 0.5 else 0.75
            latents = F.interpolate(latents.float(), scale_factor=scale, mode="bilinear", antialias=True)
            target = F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=True)
        y = self.vae.decode(latents).sample.float()  # type: ignore[operator]
        edges = torch.stack([F.l1_loss(torch.diff(y, dim=d), torch.diff(target, dim=d)) for d in (-1, -2)]).sum()
        named = {
            "pixels": F.l1_loss(y, target),
            "edges": self.edge_weight * edges,
            "kl": self.kl_weight * posterior.kl().sum() / x.numel(),
        }
        if self.perceptual is not None:
            named["perceptual"] = self.perceptual_weight * self.perceptual(y / 2 + 0.5, target / 2 + 0.5)
        return named, y

    def take_turns(self, named: dict[str, Tensor], x: Tensor, y: Tensor) -> None:
        """Step the VAE's optimizer, then the discriminator's once it has started."""
        assert self.discriminator is not None
        optimizers: Any = self.optimizers()
        schedulers: Any = self.lr_schedulers() or []
        # not global_step: Lightning counts the steps of both optimizers there
        started = self.trainer.fit_loop.total_batch_idx >= self.adversarial_start
        if started:
            named["adversarial"] = -self.adversarial_weight * self.discriminator(y).float().mean()
        self.descend(optimizers[0], torch.stack(list(named.values())).sum())
        if started:
            real = x if x.shape == y.shape else F.interpolate(x, y.shape[-2:], mode="bilinear", antialias=True)
            judged = self.discriminator.hinge_loss(real, y)
            self.descend(optimizers[1], judged)
            named["discriminator"] = judged
        for scheduler in schedulers[: 2 if started else 1]:
            scheduler.step()
        self.log_dict({f"train/{name}": loss for name, loss in named.items()})

    def pictures(self, batch: dict[str, Any]) -> Tensor:
        """The images of a batch, `n 3 h w` in [-1, 1]."""
        if "rgba" not in batch:
            return rearrange(batch["clip"], "b f c h w -> (b f) c h w") * 2 - 1
        rgba = random_placement(rearrange(batch["rgba"], "b f c h w -> (b f) c h w"))
        return composite_on(rgba, random_backgrounds(rgba)) * 2 - 1

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """PSNR of the reconstruction, in dB, averaged over frames."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log the reconstruction's PSNR; for `rgba` on white, mid gray and black, and their mean."""
        clips = {"": batch["clip"]} if "clip" in batch else on_plain(batch["rgba"])
        values = {name: psnr(self.reconstruct(clip), clip).mean() for name, clip in clips.items()}
        if "" not in values:
            values[""] = torch.stack(list(values.values())).mean()
        logged = {f"{stage}/psnr{'_' * bool(name)}{name}": value for name, value in values.items()}
        self.log_dict(logged, batch_size=len(next(iter(clips.values()))), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The `reconstruction`, `b f 3 h w` in [0, 1], with its `key`."""
        clip = batch["clip"] if "clip" in batch else on_plain(batch["rgba"])["white"]
        return {"reconstruction": self.reconstruct(clip), "key": batch["key"]}

    def reconstruct(self, clip: Tensor) -> Tensor:
        """Encode to latent means and decode, `b f 3 h w` in [0, 1]; in float32 for any training precision."""
        with torch.autocast(clip.device.type, enabled=False):
            y = self.vae(rearrange(clip.float(), "b f c h w -> (b f) c h w") * 2 - 1) / 2 + 0.5
        return rearrange(y.clamp(0, 1), "(b f) c h w -> b f c h w", f=clip.shape[1])

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Input and reconstruction."""
        clip = batch["clip"] if "clip" in batch else on_plain(batch["rgba"])["white"]
        return {"input": clip, "reconstruction": self.reconstruct(clip)}


def on_plain(rgba: Tensor) -> dict[str, Tensor]:
    """Composite `b f 4 h w` on white, mid gray and black: `b f 3 h w` each, by name."""
    flat = rearrange(rgba, "b f c h w -> (b f) c h w")
    levels = {NAMES[level]: composite_on(flat, flat.new_full((1, 3, 1, 1), level)) for level in PLAIN}
    return {name: rearrange(one, "(b f) c h w -> b f c h w", f=rgba.shape[1]) for name, one in levels.items()}

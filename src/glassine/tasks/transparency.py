"""Train the latent transparency VAE (LayerDiffuse, arXiv 2402.17113, section 3.1); there is no public code for it."""

from typing import Any

import torch
from einops import rearrange
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.metrics.image import psnr
from glassine.models.transparency import TransparencyVAE
from glassine.nn.compositing import composite_on, random_backgrounds, random_placement
from glassine.nn.diffusion import enable_checkpointing
from glassine.nn.losses import PatchDiscriminator
from glassine.tasks.base import StickerTask


class TransparencyTask(StickerTask):
    """L = L_recon + identity_weight * L_identity + adversarial_weight * L_disc.

    L_recon is the squared error of alpha and of the color-padded straight color. L_identity (harmlessness) is the
    squared error between the frozen VAE's decoding of the adjusted latents and the image on mid gray, so that the
    latents remain valid for the diffusion model. L_disc is a PatchGAN on RGBA with hinge losses. All pixels are in
    [0, 1], as in ILDiff's L_p, so that weights compare; errors in [-1, 1] would count four times as much.

    Args:
        codec: frozen VAE, transparency encoder and decoder.
        optimizer: used for encoder and decoder, and again for the discriminator.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        discriminator: None trains without L_disc.
        adversarial_weight: 0.01 in the paper.
        adversarial_start: batches before L_disc and the training of the discriminator start (not given in the paper;
            earlier reconstructions are too poor).
        identity_weight: 1 in the paper.
        opaque_share: fraction of steps in which the decoder sees an opaque clip, composited on a flat color, with plain
            latents. 0 in the paper; above 0 the decoder also learns the use case that ILDiff compares with (table II,
            "Layer Diffusion"): alpha of a sticker whose latents carry none.
        l1_weight: weight of an additional absolute error of alpha and color; 0 in the paper. Squared errors alone leave
            small errors all over flat areas.
        channels_last: memory layout of the networks, the faster one for bfloat16 convolutions on CPUs.
        gradient_checkpointing: of the decoder and the VAE; saves memory, costs time.

    A batch has `clip`, `alpha` and `foreground`, and `color` where that is blended (see `ColorPadding`); or `rgba`
    (`b f 4 h w`, straight, color-padded).
    """

    frozen = ("codec.vae",)

    def __init__(
        self,
        codec: TransparencyVAE,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        discriminator: PatchDiscriminator | None = None,
        adversarial_weight: float = 0.01,
        adversarial_start: int = 0,
        identity_weight: float = 1.0,
        opaque_share: float = 0.0,
        l1_weight: float = 0.0,
        channels_last: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if gradient_checkpointing:
            enable_checkpointing(codec.decoder, codec.vae)
        self.codec, self.discriminator = codec, discriminator
        self.adversarial_weight, self.adversarial_start = adversarial_weight, adversarial_start
        self.identity_weight, self.opaque_share = identity_weight, opaque_share
        self.l1_weight = l1_weight
        if channels_last:
            self.codec.to(memory_format=torch.channels_last)
        self.automatic_optimization = False  # two optimizers alternate

    def configure_optimizers(self) -> Any:
        """One optimizer for the codec, one for the discriminator, each with its schedule."""
        parts: list[nn.Module] = [nn.ModuleList([self.codec.encoder, self.codec.decoder])]
        parts += [self.discriminator] if self.discriminator is not None else []
        optimizers = [self.optimizer_callable(part.parameters()) for part in parts]
        if self.lr_scheduler_callable is None:
            return optimizers
        return optimizers, [{"scheduler": self.lr_scheduler_callable(o), "interval": "step"} for o in optimizers]

    def losses(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Named losses, the true and the decoded RGBA (`(b f) 4 h w`, alpha first)."""
        clip, alpha, foreground, color = self.training_inputs(batch)
        if self.opaque_share and torch.rand((), device=clip.device) < self.opaque_share:
            latents = self.codec.vae.encode(clip * 2 - 1).latent_dist.mean  # type: ignore[operator]
            decoded = self.codec.vae.decode(latents).sample  # type: ignore[operator]
            identity = latents.new_zeros(())  # no offset, so nothing to keep harmless
        else:
            latents = self.codec.encode(foreground, alpha, color)
            decoded = self.codec.vae.decode(latents).sample  # type: ignore[operator]
            identity = F.mse_loss(decoded.float() / 2 + 0.5, (color - 0.5) * alpha + 0.5)
        rgba = self.codec.decoder((decoded / 2 + 0.5).clamp(0, 1), latents).float()  # (b f) 4 h w, alpha first
        named = {
            "alpha": F.mse_loss(rgba[:, :1], alpha),
            "color": F.mse_loss(rgba[:, 1:], foreground),
            "identity": self.identity_weight * identity,
        }
        if self.l1_weight:
            absolute = F.l1_loss(rgba[:, :1], alpha) + F.l1_loss(rgba[:, 1:], foreground)
            named["absolute"] = self.l1_weight * absolute
        return named, torch.cat([alpha, foreground], dim=1), rgba

    def training_inputs(self, batch: dict[str, Any]) -> list[Tensor]:
        """Opaque clip, alpha, color-padded and composited color, frames in the batch: `n 3|1|3|3 h w` in [0, 1]."""
        if "rgba" not in batch:
            keys = ("clip", "alpha", "foreground", "color" if "color" in batch else "foreground")
            return [rearrange(batch[key], "b f c h w -> (b f) c h w") for key in keys]
        rgba = random_placement(rearrange(batch["rgba"], "b f c h w -> (b f) c h w"))
        return [composite_on(rgba, random_backgrounds(rgba)), rgba[:, 3:], rgba[:, :3], rgba[:, :3]]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """One step of the codec, then one of the discriminator."""
        optimizers, schedulers = self.optimizers(), self.lr_schedulers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        schedulers = schedulers if isinstance(schedulers, list) else [schedulers] if schedulers else []
        named, real, fake = self.losses(batch)
        # not global_step: Lightning counts the steps of both optimizers there
        adversarial = self.trainer.fit_loop.total_batch_idx >= self.adversarial_start
        if self.discriminator is not None and adversarial:
            named["adversarial"] = -self.adversarial_weight * self.discriminator(fake).mean()
        self.descend(optimizers[0], torch.stack(list(named.values())).sum())
        if self.discriminator is not None and adversarial:
            judged = self.discriminator.hinge_loss(real, fake)
            self.descend(optimizers[1], judged)
            named["discriminator"] = judged
        for scheduler in schedulers[: 2 if adversarial else 1]:
            scheduler.step()  # type: ignore[call-arg]
        self.log_dict({f"train/{name}": loss for name, loss in named.items()})

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Alpha PSNR of the round trip (true alpha encoded into the latents and decoded) and of harmlessness, in dB."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log the round trip's PSNR, averaged over frames."""
        alpha, foreground, color = alpha_and_colors(batch)
        with torch.autocast(alpha.device.type, enabled=False):  # evaluate in float32 for any training precision
            latents = self.codec.encode(foreground, alpha, color)
            picture = self.codec.reconstruct(latents)
            decoded = self.codec.decoder(picture, latents)[:, :1].clamp(0, 1)
        on_gray = (color - 0.5) * alpha + 0.5
        for name, result, truth in (("alpha", decoded, alpha), ("identity", picture, on_gray)):
            quality = psnr(result[None], truth[None]).mean()
            self.log(f"{stage}/{name}_psnr", quality, batch_size=len(alpha), sync_dist=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The round trip through the latents: `rgba` `b f 4 h w` in [0, 1], straight, with its `key`."""
        return {"rgba": self.round_trip(batch), "key": batch["key"]}

    def round_trip(self, batch: dict[str, Any]) -> Tensor:
        """The batch's stickers, encoded and decoded: RGBA `b f 4 h w` in [0, 1], straight."""
        alpha, foreground, color = alpha_and_colors(batch)
        with torch.autocast(alpha.device.type, enabled=False):
            alpha, foreground = self.codec.decode(self.codec.encode(foreground, alpha, color))
        frames = batch["rgba" if "rgba" in batch else "alpha"].shape[1]
        return rearrange(torch.cat([foreground, alpha], dim=1), "(b f) c h w -> b f c h w", f=frames)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The true sticker and its reconstruction."""
        truth = batch["rgba"] if "rgba" in batch else torch.cat([batch["foreground"], batch["alpha"]], dim=2)
        return {"truth": truth, "round trip": self.round_trip(batch)}


def alpha_and_colors(batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha, color-padded and composited straight color of a batch, frames in it: `n 1|3|3 h w` in [0, 1]."""
    if "rgba" in batch:
        rgba = rearrange(batch["rgba"], "b f c h w -> (b f) c h w")
        return rgba[:, 3:], rgba[:, :3], rgba[:, :3]
    keys = ("alpha", "foreground", "color" if "color" in batch else "foreground")
    alpha, foreground, color = (rearrange(batch[k], "b f c h w -> (b f) c h w") for k in keys)
    return alpha, foreground, color

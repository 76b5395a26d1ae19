"""Train the prior of an image network separately: the mean latents for a text."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.text_to_video import TextToVideo
from glassine.nn.priors import LatentPrior
from glassine.pretrained.priors import check_latents
from glassine.tasks.base import StickerTask
from glassine.utils.errors import UserError


class LatentPriorTask(StickerTask):
    """Squared error of a `LatentPrior` (see there for the papers), on cached latents.

    `StickerVideoTask` trains it together with the UNet, at the UNet's speed; a few linear layers alone train a thousand
    times faster, and the UNet then starts with a trained prior.

    Args:
        prior: the network.
        generator: a `TextToVideo` with the VAE and text encoder that produced the cache; it is used to normalize and
            decode latents. Its UNet is not used, and no part of it is trained or saved.
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        drop_prompt: probability of dropping the prompt, as in UNet training.

    Raises:
        TypeError: a prior or generator of the wrong type.
    """

    frozen = ("generator",)

    def __init__(
        self,
        prior: nn.Module,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        drop_prompt: float = 0.05,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(prior, LatentPrior) or not isinstance(generator, TextToVideo):
            kinds = f"{type(prior).__name__} and {type(generator).__name__}"
            raise TypeError(f"prior and generator must be a LatentPrior and a TextToVideo, got {kinds}")
        self.prior, self.drop_prompt = prior, drop_prompt
        self._no_prompt: Tensor | None = None
        self.generator = generator.requires_grad_(False).eval()

    def on_fit_start(self) -> None:
        """Reject cached latents of other networks.

        Raises:
            UserError: there is such a cache, or no cache.
        """
        super().on_fit_start()
        cached = getattr(getattr(self.trainer, "datamodule", None), "latents_identity", None)
        if cached is None:
            raise UserError("data.train must be a glassine.data.latent_cache.CachedLatents, got another dataset")
        check_latents(cached, self.generator.vae, self.generator.text_encoder)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on `latents` (`b f c h w`, not normalized) and `prompt_embeds` (`b n d`)."""
        latents, embeds = self.generator.normalize(batch["latents"]), batch["prompt_embeds"]
        dropped = torch.rand(len(embeds), 1, 1, device=embeds.device) < self.drop_prompt
        if self._no_prompt is None:  # encoded once: the encoder takes longer than a step of these layers
            self._no_prompt = self.generator.text_encoder([""]).detach()
        embeds = torch.where(dropped, self._no_prompt.to(embeds), embeds)
        loss = self.error(latents, embeds)
        self.log("train/loss", loss)
        return loss

    def error(self, latents: Tensor, embeds: Tensor) -> Tensor:
        """Mean squared error; a constant prediction gives 1."""
        size = (latents.shape[-2], latents.shape[-1])
        return (self.prior.of_frames(embeds, latents.shape[1], size) - latents).square().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The error for `clip` (`b f 3 h w`) and `caption`."""
        latents = self.generator.encode(batch["clip"])
        embeds = self.generator.text_encoder(batch["caption"]).to(latents)
        self.log("val/loss", self.error(latents, embeds), batch_size=len(latents), sync_dist=True)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The stickers, and the decoded predictions of the prior."""
        clip = batch["clip"]
        embeds = self.generator.text_encoder(batch["caption"])
        mean = self.prior.of_frames(embeds, clip.shape[1], (clip.shape[-2] // 8, clip.shape[-1] // 8))
        return {"sticker": clip, "prior": self.generator.decode(mean)}

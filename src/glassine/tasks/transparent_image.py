"""Train text-to-transparent-image generation (LayerDiffuse, arXiv 2402.17113; Layer-Animate's first stage)."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.sampling import SamplerConfig
from glassine.models.transparent_video import TransparentVideo
from glassine.pretrained.priors import check_latents
from glassine.tasks.base import StickerTask
from glassine.tasks.sticker_video import StickerVideoTask
from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest


class TransparentImageTask(StickerVideoTask):
    """The usual noise prediction loss, on latents adjusted by the transparency encoder.

    There is no public training code. All parameters of a `FrameUNet` or `ImageUNet` are trained, or only LoRA (see
    `glassine.nn.lora.with_lora`); so is a `latent_mean`, if there is one. Every frame of a clip is treated as an
    independent image.

    A batch has `foreground` (straight, color-padded, `b f 3 h w`) and `alpha` (`b f 1 h w`), or cached adjusted
    `latents` (`b f c h w`, not normalized), and `caption` or cached `prompt_embeds`.

    Args:
        generator: a `TransparentVideo` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        drop_prompt: probability of dropping the prompt, for classifier-free guidance.
        min_snr_gamma: see `StickerVideoTask`.
        gradient_checkpointing: saves memory at the cost of time.
        preview_sampling: sampling settings of the previews; None is 8 steps of DPM-Solver++.
        timestep_shift: see `StickerVideoTask`.
    """

    frozen: tuple[str, ...] = ("generator.codec", "generator.text_encoder", "generator.image_unet")
    generator: TransparentVideo
    transparent = True

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        drop_prompt: float = 0.1,
        min_snr_gamma: float | None = None,
        gradient_checkpointing: bool = False,
        preview_sampling: SamplerConfig | None = None,
        timestep_shift: float = 1.0,
    ) -> None:
        if not isinstance(generator, TransparentVideo):
            raise TypeError(f"generator must be a TransparentVideo, got a {type(generator).__name__}")
        super().__init__(
            generator,
            optimizer,
            lr_scheduler,
            init_from,
            drop_prompt=drop_prompt,
            min_snr_gamma=min_snr_gamma,
            gradient_checkpointing=gradient_checkpointing,
            preview_sampling=preview_sampling,
            timestep_shift=timestep_shift,
        )

    def on_fit_start(self) -> None:
        """Reject cached latents of other networks, and opaque ones."""
        StickerTask.on_fit_start(self)
        cached = getattr(getattr(self.trainer, "datamodule", None), "latents_identity", None)
        check_cache(cached, self.generator, self.transparent)

    def inputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Adjusted latents `b f c h w` and prompt embeddings `b n d`, from the cache if available."""
        if "latents" in batch or not self.transparent:
            return super().inputs(batch)
        latents = self.generator.adjusted_latents(batch["foreground"], batch["alpha"], batch.get("color"))
        return super().inputs({**batch, "latents": latents})

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """`rgba` `b f 4 h w` in [0, 1] for each caption, with `caption` and `key`; the seed is the sticker's row."""
        seeds = self.rows(batch_idx, len(batch["caption"]))
        rgba = self.sampled(batch, seeds, self.generator.usual_sampling)
        return {"rgba": rgba, "caption": batch["caption"], "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The stickers, their reconstructions, and samples for their captions with fixed seeds."""
        foreground, alpha = batch["foreground"], batch["alpha"]
        kept = self.generator.decode_transparent(self.generator.encode_transparent(foreground, alpha))
        made = self.sampled(batch, list(range(len(alpha))), self.preview_sampling)
        return {"sticker": torch.cat([foreground, alpha], dim=2), "through the codec": kept, "made": made}

    def sampled(self, batch: dict[str, Any], seeds: list[int], sampling: SamplerConfig) -> Tensor:
        """RGBA `b f 4 h w` for the captions of a batch."""
        frames, _, height, width = batch["alpha"].shape[1:]
        return self.generator.sample(batch["caption"], seeds, (height, width), frames, sampling=sampling)


def check_cache(cached: Mapping[str, str] | None, generator: TransparentVideo, transparent: bool) -> None:
    """Reject cached latents of other networks; the identity of latents with alpha includes their encoder's digest.

    Args:
        cached: `identity` of the cache, including `transparency` if it carries alpha; None if there is no cache.
        generator: network to be trained on it.
        transparent: whether it is trained on latents with alpha.

    Raises:
        UserError: the cache is from another VAE, text encoder or transparency encoder, or of the wrong kind.
    """
    if cached is None:
        return
    needed = weights_digest(generator.codec.encoder) if transparent else None
    if cached.get("transparency") != needed:
        kind = "this transparency encoder" if transparent else "opaque clips"
        raise UserError(
            f"the cached latents are not from {kind}: rebuild them, or train on glassine.data.dataset.Stickers"
        )
    plain = {name: value for name, value in cached.items() if name != "transparency"}
    check_latents(plain, generator.vae, generator.text_encoder)

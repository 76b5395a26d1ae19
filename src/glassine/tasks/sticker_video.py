"""Train text-to-sticker video generation (VSD2M, arXiv 2412.08259, "Methodology" and "Experimental Setups")."""

from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.sampling import SamplerConfig
from glassine.models.text_to_video import TextToVideo
from glassine.nn.conditioning import FrameMasks
from glassine.nn.diffusion import draw_timesteps, min_snr_weight, prediction_target, share_noise, signal_to_noise
from glassine.pretrained.priors import check_latents, load_latent_prior
from glassine.pretrained.video_unet import load_spatial_part
from glassine.tasks.base import StickerTask


class StickerVideoTask(StickerTask):
    """Noise prediction on latents, equation 2 of the paper; its diffusion methods only differ in the UNet.

    A trainable `latent_mean` adds its own squared error to the loss, logged as `train/latent_mean`.

    A batch has `clip` (`b f 3 h w`, opaque) or cached `latents` (`b f c h w`, not normalized), and `caption`
    (`[Domain]\\t[Description]`) or cached `prompt_embeds` (`b n d`).

    Args:
        generator: a `TextToVideo` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        spatial_from: `TextToVideo` whose UNet's spatial part, and `latent_mean`, are used to initialize training, see
            `load_spatial_part`; None keeps the weights of the networks.
        train_spatial: whether the UNet's spatial part and `latent_mean` are trained, too (a `MotionPrior`'s motion
            always is); the paper only trains "the 3D convolution layer", on Stable Diffusion's spatial part. When
            training from scratch there is nothing to freeze.
        drop_prompt: probability of dropping the prompt, for classifier-free guidance.
        min_snr_gamma: gamma of min-SNR weighting (arXiv 2303.09556), 5 there; None is unweighted, as in the paper.
        stills: how to train on still stickers: `repeat` repeats the frame, as provided; `frame` uses a single one, as
            in Video Diffusion Models (arXiv 2204.03458, section 3), which does not teach standing still.
        frame_masks: samples given frames, for a UNet that takes them; None gives none.
        gradient_checkpointing: saves memory at the cost of time.
        preview_sampling: sampling settings of the previews; None is 8 steps of DPM-Solver++.
        timestep_shift: above 1 trains more at high noise, see `draw_timesteps`.
    """

    frozen: tuple[str, ...] = ("generator.vae", "generator.text_encoder")

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        spatial_from: str | None = None,
        train_spatial: bool = True,
        drop_prompt: float = 0.1,
        min_snr_gamma: float | None = None,
        stills: Literal["repeat", "frame"] = "repeat",
        frame_masks: FrameMasks | None = None,
        gradient_checkpointing: bool = False,
        preview_sampling: SamplerConfig | None = None,
        timestep_shift: float = 1.0,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(generator, TextToVideo):
            raise TypeError(f"generator must be a TextToVideo, got a {type(generator).__name__}")
        if frame_masks is not None and not generator.takes_cond_mask:
            needed = int(generator.unet.config["in_channels"]) + 1  # type: ignore[index]
            raise ValueError(f"in_channels of the UNet must be {needed} for frame_masks, got {needed - 1}")
        self.generator, self.drop_prompt, self.min_snr_gamma = generator, drop_prompt, min_snr_gamma
        self.stills, self.frame_masks = stills, frame_masks
        self.spatial_from = spatial_from
        self.timestep_shift = timestep_shift
        self.preview_sampling = preview_sampling or SamplerConfig(num_inference_steps=8, solver="dpm++")
        if not train_spatial:
            generator.unet.freeze_spatial()  # type: ignore[operator]
            if generator.latent_mean is not None:
                generator.latent_mean.freeze_spatial()  # type: ignore[operator]
        if gradient_checkpointing:
            generator.unet.enable_gradient_checkpointing()  # type: ignore[operator]

    def on_fit_start(self) -> None:
        """Load the initial spatial part; reject cached latents of other networks."""
        super().on_fit_start()
        if self.spatial_from is not None and self.trainer.ckpt_path is None:
            self.print(load_spatial_part(self.generator.unet, self.spatial_from))
            if self.generator.latent_mean is not None:
                self.print(load_latent_prior(self.generator.latent_mean, self.spatial_from))
        cached = getattr(getattr(self.trainer, "datamodule", None), "latents_identity", None)
        check_latents(cached, self.generator.vae, self.generator.text_encoder)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of clips."""
        latents, prompt_embeds = self.inputs(batch)
        dropped = torch.rand(len(latents), 1, 1, device=latents.device) < self.drop_prompt
        prompt_embeds = torch.where(dropped, self.empty_prompt(prompt_embeds), prompt_embeds)
        steps = self.generator.scheduler.config["num_train_timesteps"]
        timesteps = draw_timesteps(len(latents), steps, self.timestep_shift, latents.device)
        noise = self.draw_noise(latents)
        losses = torch.cat(
            [
                self.losses(latents[rows, :frames], noise[rows, :frames], timesteps[rows], prompt_embeds[rows])
                for rows, frames in self.groups(latents)
            ]
        )  # b
        self.log("train/loss", losses.mean())
        return losses.mean() + self.mean_loss(latents, prompt_embeds)

    def draw_noise(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise for `latents` `b f c h w`, of which frames have `shared_noise` in common.

        Args:
            latents: gives shape, type and device.
            generator: draws the noise, on the CPU; None for the global generator of the device.
        """
        device = latents.device if generator is None else None

        def drawn(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=device).to(like)

        noise, share = drawn(latents), self.generator.shared_noise
        return share_noise(noise, drawn(latents[:, 0]), share) if share and latents.shape[1] > 1 else noise

    def mean_loss(self, latents: Tensor, prompt_embeds: Tensor) -> Tensor:
        """Squared error of `latent_mean`, 0 if there is none or it is not trained."""
        mean: Any = self.generator.latent_mean
        if mean is None or not any(parameter.requires_grad for parameter in mean.parameters()):
            return latents.new_zeros(())
        size = (latents.shape[-2], latents.shape[-1])
        loss = (mean.of_frames(prompt_embeds, latents.shape[1], size) - latents).square().mean()
        self.log("train/latent_mean", loss)
        return loss

    def groups(self, latents: Tensor) -> list[tuple[Tensor | slice, int]]:
        """Rows that the UNet processes together, and their number of frames."""
        frames = latents.shape[1]
        if self.stills == "repeat":
            return [(slice(None), frames)]
        still = (latents == latents[:, :1]).flatten(1).all(1)  # b
        return [(rows, number) for rows, number in [(~still, frames), (still, 1)] if rows.any()]

    def losses(
        self,
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor | None = None,
        motion: Tensor | None = None,
    ) -> Tensor:
        """The weighted squared error `b` over frames that are not given; None samples the mask from `frame_masks`."""
        cond_mask = self.masks(latents) if cond_mask is None else cond_mask  # b f
        errors = self.errors(latents, noise, timesteps, prompt_embeds, cond_mask, motion)  # b f
        if cond_mask is None:
            losses = errors.mean(dim=1)  # b
        else:
            losses = (errors * ~cond_mask).sum(dim=1) / (~cond_mask).sum(dim=1)  # b
        if self.min_snr_gamma is not None:
            snr = signal_to_noise(self.generator.scheduler.alphas_cumprod, timesteps)
            kind = self.generator.scheduler.config["prediction_type"]
            losses = losses * min_snr_weight(snr, self.min_snr_gamma, kind)
        return losses

    def masks(self, latents: Tensor) -> Tensor | None:
        """`b f` bool: given frames, drawn by `frame_masks` if there is one."""
        if self.frame_masks is None:
            return None
        return self.frame_masks(*latents.shape[:2]).to(latents.device)

    def errors(
        self,
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor | None = None,
        motion: Tensor | None = None,
        **more: Tensor,
    ) -> Tensor:
        """Squared error of the prediction `b f`, mean over channels and pixels."""
        preds, target = self.predictions(latents, noise, timesteps, prompt_embeds, cond_mask, motion, **more)
        return (preds - target).square().flatten(2).mean(2)

    def predictions(
        self,
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor | None = None,
        motion: Tensor | None = None,
        **more: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The prediction and its target, `b f c h w` float32; `more` are additional conditions of the network.

        Noise is added in float32 for any training precision: the 8 bits of bfloat16 are too few for the remaining
        signal at high noise, or for the noise at low noise.
        """
        latents, noise = latents.float(), noise.float()
        scheduler = self.generator.scheduler
        noisy = scheduler.add_noise(latents, noise, timesteps)  # b f c h w
        target = prediction_target(scheduler, latents, noise, timesteps)
        condition = more if motion is None else {**more, "motion": motion}
        dtype = next(self.generator.unet.parameters()).dtype  # differs from float32 only under bf16-true
        given = (noisy.to(dtype), timesteps, prompt_embeds.to(dtype), latents.to(dtype), cond_mask)
        preds = self.generator(*given, **condition)
        return preds.float(), target.float()

    def inputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Latents `b f c h w` and prompt embeddings `b n d`, float32, from the cache if the batch has them."""
        if "latents" in batch:
            latents = self.generator.normalize(batch["latents"].float())
        else:
            latents = self.generator.encode(batch["clip"]).float()
        with torch.no_grad():
            embeds = batch.get("prompt_embeds")
            embeds = self.generator.text_encoder(batch["caption"]) if embeds is None else embeds
        return latents, embeds.to(latents)

    @torch.no_grad()
    def empty_prompt(self, like: Tensor) -> Tensor:
        """The embedding of the empty prompt, `1 n d`, on the device of `like`."""
        return self.generator.text_encoder([""]).to(like)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss, with the same noise in every validation."""
        self.evaluation_step(batch, batch_idx, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The loss, with the same noise in every test."""
        self.evaluation_step(batch, batch_idx, "test")

    def evaluation_step(self, batch: dict[str, Any], batch_idx: int, stage: str) -> None:
        """Log the unweighted loss at evenly spaced timesteps, without dropping conditions."""
        latents, prompt_embeds = self.inputs(batch)
        noise = self.draw_noise(latents, torch.Generator().manual_seed(batch_idx))
        steps = self.generator.scheduler.config["num_train_timesteps"]
        places = (torch.arange(len(latents)) + 0.5) / len(latents)  # b
        timesteps = (places * steps).long().to(latents.device)
        cond_mask, motion = self.conditions(batch, latents)
        more = self.more_conditions(batch, latents)
        errors = self.errors(latents, noise, timesteps, prompt_embeds, cond_mask, motion, **more)
        self.log(f"{stage}/loss", errors[~cond_mask].mean(), batch_size=len(latents), sync_dist=True)

    def conditions(self, batch: dict[str, Any], latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """In evaluation: `cond_mask` `b f` bool, and the amount of motion `b` for networks conditioned on it."""
        return torch.zeros(latents.shape[:2], dtype=torch.bool, device=latents.device), None

    def more_conditions(self, batch: dict[str, Any], latents: Tensor) -> dict[str, Tensor]:
        """In evaluation: additional conditions of the network by name, `b ...` each."""
        return {}

    def predict_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """A `clip` `b f 3 h w` in [0, 1] for each caption, with `caption` and `key`; the seed is the sticker's row."""
        seeds = self.rows(batch_idx, len(batch["caption"]))
        shape = batch["clip"].shape
        clip = self.generator.sample(
            batch["caption"], seeds, (shape[-2], shape[-1]), shape[1], sampling=SamplerConfig()
        )
        return {"clip": clip, "caption": batch["caption"], "key": batch["key"]}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The stickers, their reconstructions, and clips sampled for their captions with fixed seeds."""
        clip = batch["clip"]
        size, seeds = (clip.shape[-2], clip.shape[-1]), list(range(len(clip)))
        sampled = self.generator.sample(batch["caption"], seeds, size, clip.shape[1], sampling=self.preview_sampling)
        return {"sticker": clip, "through the VAE": self.generator.decode(self.generator.encode(clip)), "made": sampled}

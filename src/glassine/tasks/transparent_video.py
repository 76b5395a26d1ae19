"""Train the second stage of Layer-Animate (section III-B), and the methods it is compared with."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.motion_unet import MotionUNet, Part
from glassine.models.sampling import SamplerConfig
from glassine.nn.conditioning import EIGHT_FRAMES, motion_amount, motion_bucket
from glassine.nn.diffusion import draw_timesteps
from glassine.tasks.transparent_image import TransparentImageTask
from glassine.utils.errors import UserError


class TransparentVideoTask(TransparentImageTask):
    """Noise prediction on clips, with a reference frame that is noise-free and excluded from the loss.

    Settings for the methods in table I of the paper:

    | | `train_parts` | other settings |
    | --- | --- | --- |
    | Layer-Animate | `[inter_frame_attention]` | |
    | motion modules, fine-tuned directly or trained from scratch | `[motion_modules]` | `drop_image: 1` |
    | the same on opaque clips, as in AnimateDiff | `[motion_modules]` | `drop_image: 1`, `transparent: false` |
    | Still-Moving, 1: motion adapters | `[motion_adapters]` | `drop_image: 1`, `repeat_frames: true` |
    | Still-Moving, 2: spatial adapters | `[spatial_adapters]` | `drop_image: 1`, `repeat_frames: true`, `init_from` |

    Still-Moving (arXiv 2407.08674) has no public code; as its abstract says, spatial adapters are trained on "frozen
    videos (i.e., repeated images)"; motion adapters preserve motion during this, and are removed for sampling.
    Training motion adapters first, and both as LoRA, is our interpretation of Layer-Animate's comparison.

    Batches are those of `TransparentImageTask`; for opaque clips, those of `StickerVideoTask`. The amount of motion, if
    it is a condition of the network, is measured on `foreground` and `alpha`, or cached as `motion` (`b`, see
    `motion_amount`).

    Args:
        generator: a `TransparentVideo` around a `MotionUNet` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        train_parts: parts of the `MotionUNet` to train; all others are frozen, except the motion of a `MotionPrior`.
            The paper only trains Inter-Frame Attention.
        transparent: True trains on latents with alpha, False on opaque clips.
        drop_prompt: probability of dropping the prompt, for classifier-free guidance. Half of these samples also have
            no reference frame, as far as `drop_image` allows: guidance by text and image needs a prediction without
            both.
        drop_image: probability of treating the reference frame like the others, noisy and included in the loss, for
            guidance by the image (as in InstructPix2Pix); 1 trains without base images. The paper drops none.
        drop_motion: probability of dropping the amount of motion.
        motion_thresholds: see `motion_bucket`; one fewer than the network has buckets. The default fits 8 frames.
        repeat_frames: train on one random frame of each clip, repeated.
        min_snr_gamma: see `StickerVideoTask`.
        gradient_checkpointing: saves memory at the cost of time.
        preview_sampling: see `TransparentImageTask`.
        timestep_shift: see `StickerVideoTask`.

    Raises:
        UserError: a part that the network does not have, thresholds that do not increase or are of the wrong number; in
            training, single-frame clips with a base image, or clips without a required amount of motion.
    """

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        train_parts: tuple[Part, ...] = ("inter_frame_attention",),
        transparent: bool = True,
        drop_prompt: float = 0.1,
        drop_image: float = 0.1,
        drop_motion: float = 0.1,
        motion_thresholds: tuple[float, ...] = EIGHT_FRAMES,
        repeat_frames: bool = False,
        min_snr_gamma: float | None = None,
        gradient_checkpointing: bool = False,
        preview_sampling: SamplerConfig | None = None,
        timestep_shift: float = 1.0,
    ) -> None:
        super().__init__(
            generator,
            optimizer,
            lr_scheduler,
            init_from,
            drop_prompt,
            min_snr_gamma,
            gradient_checkpointing,
            preview_sampling,
            timestep_shift,
        )
        unet = self.generator.unet
        if not isinstance(unet, MotionUNet):
            raise TypeError(f"unet must be a MotionUNet, got a {type(unet).__name__}")
        self.buckets = int(unet.config["motion_buckets"])
        if self.buckets not in (0, len(motion_thresholds) + 1):
            needed, got = self.buckets - 1, len(motion_thresholds)
            raise UserError(f"there must be {needed} motion_thresholds for {self.buckets} motion_buckets, got {got}")
        motion_bucket(torch.zeros(1), motion_thresholds)  # raises if they do not increase
        unet.train_only(*train_parts)
        if self.generator.latent_mean is not None:
            self.generator.latent_mean.freeze_spatial()  # type: ignore[operator]
        self.transparent, self.repeat_frames = transparent, repeat_frames
        self.drop_image, self.drop_motion, self.motion_thresholds = drop_image, drop_motion, motion_thresholds

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of clips with captions."""
        latents, prompt_embeds = self.inputs(batch)
        motion = self.motion(batch, latents)
        if self.repeat_frames:
            chosen = torch.randint(latents.shape[1], (len(latents),), device=latents.device)  # b
            latents = latents[torch.arange(len(latents)), chosen][:, None].expand_as(latents)
        drawn, moves = torch.rand(2, len(latents), device=latents.device)  # b each
        prompt_embeds = torch.where(
            (drawn < self.drop_prompt)[:, None, None], self.empty_prompt(prompt_embeds), prompt_embeds
        )
        # one random number for both, as in InstructPix2Pix: with 10% and 10%, 5% drop only the text, 5% only the image,
        # 5% both
        image = (drawn - self.drop_prompt / 2) % 1
        if motion is not None:
            motion = torch.where(moves < self.drop_motion, self.buckets, motion)
        cond_mask = self.cond_mask(latents, image >= self.drop_image)
        steps = self.generator.scheduler.config["num_train_timesteps"]
        timesteps = draw_timesteps(len(latents), steps, self.timestep_shift, latents.device)
        losses = self.losses(latents, self.draw_noise(latents), timesteps, prompt_embeds, cond_mask, motion)
        self.log("train/loss", losses.mean())
        return losses.mean() + self.mean_loss(latents, prompt_embeds)

    def cond_mask(self, latents: Tensor, shown: Tensor) -> Tensor:
        """`b f` bool: the reference frame of the clips where `shown` `b` is true."""
        frames = latents.shape[1]
        if frames < 2 and self.drop_image < 1:
            raise UserError(
                "clips must have at least 2 frames, since one is the base image: set data.num_frames to 8 or 16"
            )
        reference = torch.arange(frames, device=latents.device) == self.generator.reference_index(frames)
        return shown[:, None] & reference

    def motion(self, batch: dict[str, Any], latents: Tensor) -> Tensor | None:
        """Buckets `b` of the amount of motion; None for a network without that condition."""
        if not self.buckets:
            return None
        if self.repeat_frames:
            return torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        if "motion" not in batch and "alpha" not in batch:
            raise UserError(
                "cached latents must have the amount of motion, a condition of this network: rebuild the cache"
            )
        amount = batch["motion"] if "motion" in batch else motion_amount(batch["foreground"], batch["alpha"])
        return motion_bucket(amount.to(latents.device).float(), self.motion_thresholds)

    def conditions(self, batch: dict[str, Any], latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """The reference frames, unless training does not use them, and the amount of motion."""
        shown = torch.full((len(latents),), self.drop_image < 1, device=latents.device)
        return self.cond_mask(latents, shown), self.motion(batch, latents)

    def sampled(self, batch: dict[str, Any], seeds: list[int], sampling: SamplerConfig) -> Tensor:
        """RGBA `b f 4 h w` for the captions of a batch, around the stickers' own reference frames."""
        frames, _, height, width = batch["alpha"].shape[1:]
        base = None
        if self.drop_image < 1:
            index = self.generator.reference_index(frames)
            base = torch.cat([batch["foreground"], batch["alpha"]], dim=2)[:, index]  # b 4 h w
        return self.generator.sample(batch["caption"], seeds, (height, width), frames, sampling=sampling, base=base)

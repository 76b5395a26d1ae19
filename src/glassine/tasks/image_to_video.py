"""Train the stages of Animated Stickers (arXiv 2402.06088) that use clips as data: base, teachers and student."""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.image_to_video import ImageToVideo
from glassine.models.sampling import SamplerConfig
from glassine.nn.conditioning import EIGHT_FRAMES, motion_amount, motion_bucket
from glassine.nn.diffusion import draw_timesteps, min_snr_weight, signal_to_noise
from glassine.nn.looping import neighbor_changes
from glassine.pretrained.video_unet import load_spatial_part
from glassine.tasks.transparent_image import TransparentImageTask
from glassine.utils.errors import UserError

Place = Literal["first", "middle", "random"]


class ImageToVideoTask(TransparentImageTask):
    """Noise prediction on clips, conditioned on one of their frames, the still.

    Batches are those of `TransparentImageTask`; for opaque clips (`transparent: false`), those of `StickerVideoTask`.
    In addition, a network with `frame_rate` needs `fps` (`b`), and cached batches for a network with `motion_buckets`
    need `motion` (`b`).

    The recipes of the paper's teachers "vary by data order and sampling framerate". Ours vary by seed, `init_from`,
    data folders, `strides`, `reference` and the UNet's temporal layers.

    Args:
        generator: an `ImageToVideo` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        spatial_from: see `StickerVideoTask`: the image network, or a run with other temporal layers. Ignored with
            `init_from`.
        train_spatial: False only trains the temporal layers, the first convolution and the embeddings of conditions.
        transparent: True trains on latents with alpha, False on opaque clips.
        drop_prompt: probability of dropping the prompt. Half of these clips also drop the still, as far as `drop_image`
            allows, as in InstructPix2Pix.
        drop_image: probability of dropping the still.
        drop_motion: probability of dropping the amount of motion.
        drop_rate: probability of dropping the frame rate.
        reference: which frame is the still: `first`, `middle` (index f // 2) or `random`.
        num_frames: frames of a training clip; None uses all frames of the data.
        strides: a training clip consists of every n-th frame, with n sampled from these; the frame rate is divided by
            n.
        loops: whether the data are whole loops. A clip can then start at any frame and wrap around, and in a clip that
            spans the whole loop, the last and first frame count as neighbors in the loss.
        change_weight: weight of the error of the change from frame to frame, in addition to that of the frames.
        motion_thresholds: see `motion_bucket`; one fewer than the network has buckets. The default fits 8 frames.
        min_snr_gamma: see `StickerVideoTask`.
        gradient_checkpointing: saves memory at the cost of time.
        preview_sampling: see `TransparentImageTask`.
        timestep_shift: see `StickerVideoTask`.

    Raises:
        TypeError: `generator` is not an `ImageToVideo`.
        UserError: settings out of range, or a wrong number of thresholds; in training, clips that are too short or lack
            a condition of the network.
    """

    generator: ImageToVideo

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        spatial_from: str | None = None,
        train_spatial: bool = True,
        transparent: bool = True,
        drop_prompt: float = 0.1,
        drop_image: float = 0.1,
        drop_motion: float = 0.1,
        drop_rate: float = 0.1,
        reference: Place = "middle",
        num_frames: int | None = None,
        strides: tuple[int, ...] = (1,),
        loops: bool = False,
        change_weight: float = 0.0,
        motion_thresholds: tuple[float, ...] = EIGHT_FRAMES,
        min_snr_gamma: float | None = None,
        gradient_checkpointing: bool = False,
        preview_sampling: SamplerConfig | None = None,
        timestep_shift: float = 1.0,
    ) -> None:
        if not isinstance(generator, ImageToVideo):
            raise TypeError(f"generator must be an ImageToVideo, got a {type(generator).__name__}")
        super().__init__(
            generator,
            optimizer,
            lr_scheduler,
            init_from,
            drop_prompt,
            min_snr_gamma,
            gradient_checkpointing,
            preview_sampling or (None if generator.distilled is None else generator.usual_sampling),
            timestep_shift,
        )
        if reference not in get_args(Place):
            raise UserError(f"reference must be {', '.join(get_args(Place))}, got {reference!r}")
        if not strides or min(strides) < 1:
            raise UserError(f"strides must be at least 1, got {list(strides)}")
        if num_frames is not None and num_frames < 2:
            raise UserError(f"num_frames must be at least 2, got {num_frames}")
        if change_weight < 0:
            raise UserError(f"change_weight must be at least 0, got {change_weight}")
        config: Any = generator.unet.config
        self.buckets, self.takes_rate = int(config["motion_buckets"]), bool(config["frame_rate"])
        if self.buckets not in (0, len(motion_thresholds) + 1):
            needed, got = self.buckets - 1, len(motion_thresholds)
            raise UserError(f"there must be {needed} motion_thresholds for {self.buckets} motion_buckets, got {got}")
        motion_bucket(torch.zeros(1), motion_thresholds)  # raises if they do not increase
        if not train_spatial:
            generator.unet.freeze_spatial()  # type: ignore[operator]
        if generator.latent_mean is not None:
            generator.latent_mean.requires_grad_(False)
        self.spatial_from, self.transparent, self.reference = spatial_from, transparent, reference
        self.drop_image, self.drop_motion, self.drop_rate = drop_image, drop_motion, drop_rate
        self.num_frames, self.strides, self.loops = num_frames, tuple(strides), loops
        self.change_weight, self.motion_thresholds = change_weight, tuple(motion_thresholds)

    def on_fit_start(self) -> None:
        """Load the initial spatial part; reject cached latents of other networks."""
        super().on_fit_start()
        if self.spatial_from is not None and self.init_from is None and self.trainer.ckpt_path is None:
            self.print(load_spatial_part(self.generator.unet, self.spatial_from))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of clips with captions."""
        latents, prompt_embeds = self.inputs(batch)
        latents, wraps, conditions = self.clips(batch, latents)
        self.drop(conditions, len(latents))
        drawn = torch.rand(len(latents), device=latents.device)  # b
        prompt_embeds = torch.where(
            (drawn < self.drop_prompt)[:, None, None], self.empty_prompt(prompt_embeds), prompt_embeds
        )
        # one random number for both, as in InstructPix2Pix: with 10% and 10%, 5% drop only the text, 5% only the image,
        # 5% both
        shown = (drawn - self.drop_prompt / 2) % 1 >= self.drop_image
        cond_mask = self.still_frames(latents, self.reference) & shown[:, None]
        steps = self.generator.scheduler.config["num_train_timesteps"]
        timesteps = draw_timesteps(len(latents), steps, self.timestep_shift, latents.device)
        noise = self.draw_noise(latents)
        preds, target = self.predictions(latents, noise, timesteps, prompt_embeds, cond_mask, **conditions)
        loss = self.clip_loss(preds - target, timesteps, wraps)
        self.log("train/loss", loss)
        return loss

    def drop(self, conditions: dict[str, Tensor], clips: int) -> None:
        """Randomly replace amounts of motion and frame rates of some clips by unknown, in place."""
        moves, rates = torch.rand(2, clips, device=self.device)  # b each
        if "motion" in conditions:
            conditions["motion"] = torch.where(moves < self.drop_motion, self.buckets, conditions["motion"])
        if "rate" in conditions:
            conditions["rate"] = torch.where(rates < self.drop_rate, 0.0, conditions["rate"])

    def clip_loss(self, error: Tensor, timesteps: Tensor, wraps: bool) -> Tensor:
        """The loss, a scalar: weighted squared error of frames and, with `change_weight`, of their changes.

        Args:
            error: prediction minus target, `b f c h w`.
            timesteps: `b`.
            wraps: whether last and first frame are neighbors.
        """
        losses = error.square().flatten(1).mean(1)  # b
        if self.change_weight and error.shape[1] > 1:
            losses = losses + self.change_weight * neighbor_changes(error, wraps).square().flatten(1).mean(1)
        if self.min_snr_gamma is not None:
            snr = signal_to_noise(self.generator.scheduler.alphas_cumprod, timesteps)
            losses = losses * min_snr_weight(
                snr, self.min_snr_gamma, self.generator.scheduler.config["prediction_type"]
            )
        return losses.mean()

    def clips(self, batch: dict[str, Any], latents: Tensor) -> tuple[Tensor, bool, dict[str, Tensor]]:
        """Random training clips `b f c h w`, whether they are closed loops, and their conditions by name.

        The amount of motion is that of the whole clip, scaled by the ratio of mean changes in the latents.
        """
        frames = latents.shape[1]
        wanted = frames if self.num_frames is None else self.num_frames
        fitting = [n for n in self.strides if (wanted * n if self.loops else (wanted - 1) * n + 1) <= frames]
        if not fitting or wanted < 2:
            stride = min(self.strides)
            least = max(2, wanted * stride if self.loops else (wanted - 1) * stride + 1)
            raise UserError(
                f"clips must have at least {least} frames for num_frames and strides, got {frames}: set data.num_frames"
            )
        stride = fitting[int(torch.randint(len(fitting), ())) if len(fitting) > 1 else 0]
        span = frames if self.loops else frames - (wanted - 1) * stride
        start = torch.randint(span, (len(latents), 1), device=latents.device)  # b 1
        places = (start + stride * torch.arange(wanted, device=latents.device)) % frames  # b f
        chosen = latents[torch.arange(len(latents), device=latents.device)[:, None], places]
        closes = self.loops and wanted * stride == frames
        conditions = self.measured(batch, latents)
        if "rate" in conditions:
            conditions["rate"] = conditions["rate"] / stride
        if self.buckets:
            before, after = (changes(part, self.loops and part is latents) for part in (latents, chosen))
            amount = self.amount(batch).to(latents) * after / before.clamp(min=1e-6)
            conditions["motion"] = motion_bucket(amount, self.motion_thresholds)
        return chosen, closes, conditions

    def measured(self, batch: dict[str, Any], latents: Tensor) -> dict[str, Tensor]:
        """Conditions of the whole clips of the batch."""
        conditions = {}
        if self.buckets:
            conditions["motion"] = motion_bucket(self.amount(batch).to(latents), self.motion_thresholds)
        if self.takes_rate:
            if "fps" not in batch:
                raise UserError("clips must have fps, a condition of this network: rebuild the cache")
            conditions["rate"] = batch["fps"].to(latents)
        return conditions

    def amount(self, batch: dict[str, Any]) -> Tensor:
        """The amount of motion of each clip, `b`, measured or from the cache."""
        if "motion" in batch:
            return batch["motion"]
        if "alpha" in batch:
            return motion_amount(batch["foreground"], batch["alpha"])
        if "clip" in batch:
            return motion_amount(batch["clip"], torch.ones_like(batch["clip"][:, :, :1]))
        raise UserError("cached latents must have the amount of motion, a condition of this network: rebuild the cache")

    def still_frames(self, latents: Tensor, reference: Place) -> Tensor:
        """`b f` bool: the frame of each clip that is its still."""
        clips, frames = latents.shape[:2]
        if reference == "random":
            place = torch.randint(frames, (clips,), device=latents.device)
        else:
            index = self.generator.reference_index(frames, reference)
            place = torch.full((clips,), index, device=latents.device)
        return torch.arange(frames, device=latents.device) == place[:, None]

    def conditions(self, batch: dict[str, Any], latents: Tensor) -> tuple[Tensor, Tensor | None]:
        """In evaluation: the frames that are stills (for `random` the middle one), and the amount of motion."""
        place: Place = "middle" if self.reference == "random" else self.reference
        return self.still_frames(latents, place), self.measured(batch, latents).get("motion")

    def more_conditions(self, batch: dict[str, Any], latents: Tensor) -> dict[str, Tensor]:
        """In evaluation: the frame rate, if it is a condition."""
        return {name: value for name, value in self.measured(batch, latents).items() if name != "motion"}

    def sampled(self, batch: dict[str, Any], seeds: list[int], sampling: SamplerConfig) -> Tensor:
        """RGBA `b f 4 h w` for the captions of a batch, with the stickers' own frames as stills."""
        frames, _, height, width = batch["alpha"].shape[1:]
        place = self.generator.reference_index(frames, None if self.reference == "random" else self.reference)
        base = torch.cat([batch["foreground"], batch["alpha"]], dim=2)[:, place]  # b 4 h w
        reference = None if self.reference == "random" else self.reference
        return self.generator.sample(
            batch["caption"], seeds, (height, width), frames, sampling=sampling, base=base, reference=reference
        )


def changes(latents: Tensor, wraps: bool) -> Tensor:
    """Mean absolute change from frame to frame, `b`."""
    return neighbor_changes(latents, wraps).abs().flatten(1).mean(1)

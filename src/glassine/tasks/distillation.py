"""Distill an `ImageToVideo`: first guidance into a single pass, then many solver steps into few."""

from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from glassine.models.image_to_video import ImageToVideo
from glassine.models.sampling import Distilled, SamplerConfig, make_solver
from glassine.nn.conditioning import EIGHT_FRAMES
from glassine.nn.diffusion import RESCALE, clean_and_noise, draw_timesteps, prediction_for, rescale_noise_cfg
from glassine.pretrained.image_unet import load_own
from glassine.pretrained.partial_loading import load_partial
from glassine.tasks.image_to_video import ImageToVideoTask, Place, changes
from glassine.utils.errors import UserError

INPUTS = "time_embedding.scales."  # weights that a student with guidance scales as inputs has, but not its teacher


class DistillationTask(ImageToVideoTask):
    """Train a student to predict in one step the result of several steps or passes of its teacher.

    The student's attribute `distilled` determines the kind of distillation. Without `num_inference_steps`, only
    guidance is distilled (Meng et al., arXiv 2210.03142, section 3.1): at every timestep, the target of the student's
    single prediction is the guided combination of the teacher's three. With `num_inference_steps`, the target of one
    DDIM step of the student is the result of `substeps` steps of the teacher (progressive distillation, Salimans and
    Ho, arXiv 2202.00512). They use two substeps; we go from 24 steps (close to the usual 25) to 8 with three substeps,
    and from 8 to 4 with two. The student of one run is the teacher of the next.

    Consistency distillation (LCM, arXiv 2310.04378; TCD, arXiv 2402.19159) was not tried, for these reasons. Its
    multistep sampler adds new noise to the clean prediction, which loses motion that was already determined. Its target
    is a moving average of the student, which needs many training steps. A progressively distilled student is
    deterministic given its seed, generates the same clip as its teacher and only needs DDIM; v-prediction on a schedule
    that ends in pure noise is what Salimans and Ho propose.

    Distillation tends to reduce motion. Therefore `motion` is logged, the change from frame to frame in the student's
    clean prediction relative to that of its target, and `change_weight` adds the error of this change to the loss.

    Args:
        generator: the student, an `ImageToVideo` with `distilled`.
        optimizer: see `StickerTask`.
        teacher: bundle (`glassine:NAME` or a folder) or checkpoint of an `ImageToVideo`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`; None starts from the teacher's weights, which must then have the same sizes.
        substeps: solver steps of the teacher per step of the student.
        guidance_rescale: rescaling of the teacher's guided prediction, see `SamplerConfig`.
        transparent: see `ImageToVideoTask`, as for the following arguments.
        drop_motion: probability of dropping the amount of motion.
        drop_rate: probability of dropping the frame rate.
        reference: which frame is the still.
        num_frames: frames of a clip.
        strides: steps between the frames of a clip.
        loops: whether the data are whole loops.
        change_weight: weight of the error of the change from frame to frame.
        motion_thresholds: see `motion_bucket`.
        gradient_checkpointing: saves memory at the cost of time.
        preview_sampling: sampling settings of the previews; None uses the settings in `distilled`.

    Raises:
        UserError: `distilled` is missing, does not fit `substeps` or the teacher, or the teacher is missing or has
            another noise schedule.
    """

    frozen: tuple[str, ...] = (*ImageToVideoTask.frozen, "teacher")

    def __init__(
        self,
        generator: nn.Module,
        optimizer: OptimizerCallable,
        teacher: str,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        substeps: int = 3,
        guidance_rescale: float = RESCALE,
        transparent: bool = True,
        drop_motion: float = 0.1,
        drop_rate: float = 0.1,
        reference: Place = "middle",
        num_frames: int | None = None,
        strides: tuple[int, ...] = (1,),
        loops: bool = False,
        change_weight: float = 0.0,
        motion_thresholds: tuple[float, ...] = EIGHT_FRAMES,
        gradient_checkpointing: bool = False,
        preview_sampling: SamplerConfig | None = None,
    ) -> None:
        super().__init__(
            generator,
            optimizer,
            lr_scheduler,
            init_from,
            transparent=transparent,
            drop_motion=drop_motion,
            drop_rate=drop_rate,
            reference=reference,
            num_frames=num_frames,
            strides=strides,
            loops=loops,
            change_weight=change_weight,
            motion_thresholds=motion_thresholds,
            gradient_checkpointing=gradient_checkpointing,
            preview_sampling=preview_sampling,
        )
        made_for = self.generator.distilled
        if made_for is None:
            raise UserError("distilled must be given in the generator of a distillation: the steps that it is made for")
        self.made_for: Distilled = made_for
        self.teacher = self.checked_teacher(teacher)
        self.source, self.substeps, self.guidance_rescale = teacher, substeps, guidance_rescale
        steps = made_for.num_inference_steps
        if substeps < 1 or (steps is not None and made_for.teacher_steps not in (None, steps * substeps)):
            wanted = f"{steps} x substeps" if steps else "left out"
            raise UserError(f"teacher_steps must be {wanted}, got {made_for.teacher_steps} for substeps {substeps}")
        if made_for.solver != "ddim":
            raise UserError(f"solver must be ddim for a progressively distilled network, got {made_for.solver}")

    def checked_teacher(self, source: str) -> ImageToVideo:
        """Load and freeze the teacher; raises UserError if it is not compatible with the student."""
        teacher = load_own(source)
        if not isinstance(teacher, ImageToVideo):
            what = "nothing" if teacher is None else f"a {type(teacher).__name__}"
            raise UserError(f"teacher must be a bundle or checkpoint of an ImageToVideo, got {what} at {source}")
        ours, theirs = self.generator, teacher
        for name in ("prediction_type", "num_train_timesteps", "beta_schedule", "rescale_betas_zero_snr"):
            one, other = ours.scheduler.config.get(name), theirs.scheduler.config.get(name)
            if one != other:
                raise UserError(f"{name} of the student's scheduler must be its teacher's {other}, got {one}")
        guided = theirs.distilled
        if guided is not None and guided.scales != self.made_for.scales:
            raise UserError(
                f"guidance scales must be those that are distilled into the teacher, {guided.scales}, got "
                f"{self.made_for.scales}"
            )
        teacher.codec, teacher.text_encoder = ours.codec, ours.text_encoder  # share them to save memory
        return teacher.requires_grad_(False).eval()

    def on_fit_start(self) -> None:
        """Start from the teacher's weights; reject cached latents of other networks."""
        super().on_fit_start()
        if self.init_from is None and self.trainer.ckpt_path is None:
            state = self.teacher.unet.state_dict()
            report = load_partial(
                self.generator.unet, state, None, lambda name: name.startswith(INPUTS), f"the teacher {self.source}"
            )
            self.print(report)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of clips with captions."""
        latents, prompt_embeds = self.inputs(batch)
        latents, wraps, conditions = self.clips(batch, latents)
        self.drop(conditions, len(latents))
        cond_mask = self.still_frames(latents, self.reference)
        noise, places = self.draw_noise(latents), torch.rand(len(latents), device=latents.device)
        error, timesteps, motion = self.distill(latents, noise, places, prompt_embeds, cond_mask, conditions)
        loss = self.clip_loss(error, timesteps, wraps)
        self.log_dict({"train/loss": loss, "train/motion": motion})
        return loss

    def evaluation_step(self, batch: dict[str, Any], batch_idx: int, stage: str) -> None:
        """Log the distance to the teacher, with the same noise each time, and the relative amount of motion."""
        latents, prompt_embeds = self.inputs(batch)
        noise = self.draw_noise(latents, torch.Generator().manual_seed(batch_idx))
        places = (torch.arange(len(latents), device=latents.device) + 0.5) / len(latents)
        cond_mask, moves = self.conditions(batch, latents)
        conditions = self.more_conditions(batch, latents) | ({} if moves is None else {"motion": moves})
        error, _, motion = self.distill(latents, noise, places, prompt_embeds, cond_mask, conditions)
        scores = {f"{stage}/loss": error.square().mean(), f"{stage}/motion": motion}
        self.log_dict(scores, batch_size=len(latents), sync_dist=True)

    def distill(
        self,
        latents: Tensor,
        noise: Tensor,
        places: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor,
        conditions: dict[str, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The student's error `b f c h w`, its timesteps `b`, and its motion relative to the target's, a number.

        Args:
            latents: clean latents `b f c h w`.
            noise: the same shape.
            places: `b` in [0, 1), mapped evenly to the student's timesteps.
            prompt_embeds: `b n d`.
            cond_mask: `b f` bool, true for the still's frame.
            conditions: conditions by name, `b ...` each.
        """
        scheduler = self.generator.scheduler
        kept, kind = scheduler.alphas_cumprod.to(latents.device), scheduler.config["prediction_type"]
        starts, ends = self.timesteps(places)
        noisy = scheduler.add_noise(latents, noise, starts)
        scales = self.draw_scales(len(latents))
        with torch.no_grad():
            target = self.target(noisy, starts, ends, latents, prompt_embeds, cond_mask, scales, conditions)
        inputs = {"scales": scales} if self.generator.unet.config["guidance_inputs"] else {}  # type: ignore[index]
        made = self.generator(noisy, starts, prompt_embeds, latents, cond_mask, **conditions, **inputs).float()
        clean, wanted = (clean_and_noise(one.detach(), noisy, kept[starts], kind)[0] for one in (made, target))
        motion = changes(clean, False).mean() / changes(wanted, False).mean().clamp(min=1e-6)
        return made - target, starts, motion

    def timesteps(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """First and last timestep `b` of a step of the student, as taken by the solver in sampling.

        The last timestep is -1 if the step ends at the clean clip. If only guidance is distilled, it equals the first.
        """
        scheduler, steps = self.generator.scheduler, self.made_for.num_inference_steps
        count = int(scheduler.config["num_train_timesteps"])
        if steps is None:
            starts = draw_timesteps(len(places), count, self.timestep_shift, places.device)
            if not self.training:
                starts = (places * count).long()
            return starts, starts
        solver = make_solver(scheduler, SamplerConfig(num_inference_steps=steps), places.device)
        starts = solver.timesteps[(places * steps).long().clamp(max=steps - 1)]
        return starts, (starts - count // steps).clamp(min=-1)

    def draw_scales(self, clips: int) -> Tensor:
        """Guidance scales `b 2` for text and image: in training sampled uniformly from their ranges, else defaults."""
        if not self.training:
            return torch.tensor([[usual for _, usual, _ in self.made_for.scales]] * clips, device=self.device)
        drawn = torch.rand(clips, 2, device=self.device)
        ends = [bounds or (usual, usual) for _, usual, bounds in self.made_for.scales]
        low, high = torch.tensor(ends, device=self.device).unbind(dim=1)  # 2 each
        return low + drawn * (high - low)

    def target(
        self,
        noisy: Tensor,
        starts: Tensor,
        ends: Tensor,
        latents: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor,
        scales: Tensor,
        conditions: dict[str, Tensor],
    ) -> Tensor:
        """The target of the student's prediction, `b f c h w`, such that its step ends where the teacher's steps end.

        A DDIM step leads from z_t to z_s = a_s x + o_s e, where x and e are the predicted clean sample and noise. So a
        single step ends at z_s for x = (z_s - o_s / o_t z_t) / (a_s - o_s / o_t a_t).
        """
        scheduler = self.generator.scheduler
        kind = scheduler.config["prediction_type"]
        # an additional last entry, which index -1 selects: no noise
        kept = torch.cat([scheduler.alphas_cumprod.float(), torch.ones(1)]).to(noisy.device)
        given = (latents, prompt_embeds, cond_mask, scales, conditions)
        if torch.equal(starts, ends):
            return self.guided(noisy, starts, *given)
        moving, here = noisy, starts
        for step in range(1, self.substeps + 1):
            there = (starts + (ends - starts) * step / self.substeps).round().long()
            predicted = self.guided(moving, here, *given)
            clean, noise = clean_and_noise(predicted, moving, kept[here], kind)
            left = kept[there].view(-1, 1, 1, 1, 1)
            moving, here = left.sqrt() * clean + (1 - left).sqrt() * noise, there
        first, last = (kept[place].view(-1, 1, 1, 1, 1) for place in (starts, ends))
        ratio = ((1 - last) / (1 - first)).sqrt()
        clean = (moving - ratio * noisy) / (last.sqrt() - ratio * first.sqrt())
        return prediction_for(clean, noisy, kept[starts], kind)

    def guided(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        latents: Tensor,
        prompt_embeds: Tensor,
        cond_mask: Tensor,
        scales: Tensor,
        conditions: dict[str, Tensor],
    ) -> Tensor:
        """The teacher's guided prediction `b f c h w`; a distilled teacher predicts it directly."""
        teacher = self.teacher
        if teacher.distilled is not None:
            inputs = {"scales": scales} if teacher.unet.config["guidance_inputs"] else {}  # type: ignore[index]
            made: Tensor = teacher(noisy, timesteps, prompt_embeds, latents, cond_mask, **conditions, **inputs)
            return made.float()
        empty, nowhere = self.empty_prompt(prompt_embeds).expand_as(prompt_embeds), torch.zeros_like(cond_mask)
        predictions = teacher(
            torch.cat([noisy] * 3),
            timesteps.repeat(3),
            torch.cat([empty, empty, prompt_embeds]),
            torch.cat([latents] * 3),
            torch.cat([nowhere, cond_mask, cond_mask]),
            **{name: torch.cat([value] * 3) for name, value in conditions.items()},
        )
        nothing, image, both = predictions.float().chunk(3)
        text_scale, image_scale = (scale.view(-1, 1, 1, 1, 1) for scale in scales.unbind(dim=1))
        guided = nothing + image_scale * (image - nothing) + text_scale * (both - image)
        return rescale_noise_cfg(guided, both, self.guidance_rescale, cond_mask)

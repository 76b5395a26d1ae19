"""Animating a still by moving it: the field of its motion is generated, its pixels are its own (`ImageDynamics`)."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch

from glassine.data.codecs import MAX_STICKER_PIXELS
from glassine.data.sticker import Sticker
from glassine.models.image_dynamics import SHRINK, ImageDynamics
from glassine.models.sampling import Progress, SamplerConfig, Solver
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.diffusion import RESCALE
from glassine.nn.motion_fields import GRID
from glassine.pipelines.animate import AnimatePipeline
from glassine.pipelines.backgrounds import settle_alpha
from glassine.pipelines.fitted_still import FittedStill
from glassine.pipelines.stills import check_still, is_opaque
from glassine.pipelines.text_to_sticker import (
    AUTO,
    DOMAIN,
    FPS,
    SIZE,
    GenerationPipeline,
    batches,
    captions_and_seeds,
    frame_duration,
    load_for,
    part_of,
)
from glassine.pretrained.weights import kind_of
from glassine.utils.errors import UserError

FIELDS = "glassine:motion-fields"
LONGEST = 32_000  # pixels; OpenCV's limit for images that are warped
STEPS = 12  # of DPM-Solver++; more change little


class MotionPipeline(GenerationPipeline[ImageDynamics]):
    """Moves an image in a loop, at its own size: lines, colors and alpha stay as sharp as they are.

    The image is the middle frame, bit for bit unless it had to be shifted or made smaller to have room to move.

    Args:
        model: the network.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, only needed by `save_pretrained`.
    """

    @classmethod
    def from_pretrained(cls, source: str = FIELDS, device: str = "auto") -> Self:
        """The pipeline with shipped weights, or those in a folder of `save_pretrained` or `glassine export weights`.

        Raises:
            UserError: there are no weights at `source`, or they do not belong to an ImageDynamics.
        """
        network, config = load_for(source, ImageDynamics, FIELDS)
        return cls(network, device, config)

    def __call__(
        self,
        prompt: str | Sequence[str],
        image: np.ndarray,
        num_frames: int | None = None,
        num_inference_steps: int = STEPS,
        guidance_scale: float | None = None,
        *,
        seed: int | Sequence[int] = 0,
        negative_prompt: str = "",
        motion: int | None = None,
        solver: Solver = "dpm++",
        fps: float = FPS,
        domain: str = DOMAIN,
        batch_size: int = 1,
        progress: Progress = lambda *_: None,
    ) -> list[Sticker]:
        """One sticker of the image's size for each seed.

        Args:
            prompt: the motion (`waves hello`); one for all stickers, or one for each.
            image: `h w 4` uint8, straight RGBA, of any size.
            num_frames: frames per sticker, at least 2; None is 16. The loop is the same, whatever their number.
            num_inference_steps: see `SamplerConfig`, also for `guidance_scale` and `solver`.
            guidance_scale: None is 1, no guidance.
            seed: one per sticker; an int stands for `seed`, `seed + 1`, ..., one per prompt.
            negative_prompt: prompt that guidance steers away from.
            motion: amount of motion, 0 to 9 for the shipped network: from the calmest to the liveliest tenth of the
                stickers that it learned from. None is the network's own, which moves about as much as true stickers.
            fps: frames per second.
            domain: `cartoon` or `real`, prepended to the prompt as in training captions; empty for none.
            batch_size: stickers per batch. With 1, the result for a seed does not depend on the others, bit for bit.
            progress: called with the number of solver steps done and their total over all stickers.

        Raises:
            UserError: an empty or too long prompt, an image that is fully opaque or transparent, a sticker that does
                not fit in memory, or a setting out of range.
        """
        num_frames = self.checked_frames(num_frames, GRID, GRID)
        check_still(image)
        check_room(num_frames, *image.shape[:2])
        sampling = SamplerConfig(num_inference_steps, guidance_scale, solver)
        captions, seeds = captions_and_seeds(prompt, seed, domain, "waves hello", AUTO, ())
        duration, reference = frame_duration(fps), num_frames // 2
        fitted = FittedStill(image, (SHRINK * GRID, SHRINK * GRID))
        still = torch.from_numpy(fitted.shrink()[0]).permute(2, 0, 1).float().to(self.device) / 255  # 4 h w
        parts = batches(len(seeds), batch_size)
        stickers: list[Sticker] = []
        for number, rows in enumerate(parts):
            told = part_of(progress, number, len(parts))
            fields = self.model.sample(captions[rows], seeds[rows], still, negative_prompt, sampling, motion, told)
            for field in fields.numpy():
                frames = fitted.moved(field, num_frames, reference)
                for index, frame in enumerate(frames):
                    if index != reference:  # which stays as it is
                        frame[..., 3] = settle_alpha(frame[..., 3])
                        frame[frame[..., 3] == 0] = 0
                stickers.append(Sticker(frames, (duration,) * num_frames))
        return stickers


def check_room(num_frames: int, height: int, width: int) -> None:
    """Raise UserError if a sticker of this size does not fit in memory, or cannot be moved."""
    if num_frames * height * width > MAX_STICKER_PIXELS:
        raise UserError(
            f"{num_frames} frames of {width}x{height} do not fit in memory: make fewer, or scale the image down first"
        )
    if max(height, width) > LONGEST:
        raise UserError(f"height and width must be at most {LONGEST} to be moved, got {height} and {width}")


class MovedStickerPipeline:
    """Transparent stickers from text: a transparent image (Layer-Animate's first stage), moved by a motion field.

    Args:
        images: generates the images.
        motion: moves them.
    """

    def __init__(self, images: AnimatePipeline, motion: MotionPipeline) -> None:
        self.images, self.motion = images, motion

    @property
    def model(self) -> TransparentVideo:
        """The network of the images."""
        return self.images.model

    def __call__(
        self,
        prompt: str | Sequence[str],
        num_frames: int | None = None,
        height: int = SIZE,
        width: int = SIZE,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        *,
        seed: int | Sequence[int] = 0,
        negative_prompt: str = "",
        motion: int | None = None,
        solver: Solver | None = None,
        guidance_rescale: float = RESCALE,
        fps: float = FPS,
        domain: str = DOMAIN,
        style: str = AUTO,
        batch_size: int = 1,
        progress: Progress = lambda *_: None,
    ) -> list[Sticker]:
        """One sticker for each seed.

        Args:
            prompt: what the sticker shows; also what moves. One for all stickers, or one for each.
            num_frames: frames per sticker; 1 leaves the image as it is, None is 16.
            height: of the image in pixels.
            width: likewise.
            num_inference_steps: for the image, see `AnimatePipeline`, also for the settings up to `batch_size`.
            guidance_scale: for the image.
            seed: of image and motion.
            negative_prompt: for the image.
            motion: amount of motion, see `MotionPipeline`.
            solver: for the image.
            guidance_rescale: for the image.
            fps: frames per second.
            domain: see `AnimatePipeline`.
            style: see `AnimatePipeline`.
            batch_size: images per batch.
            progress: called with the number of solver steps done for the images, and their total.

        Raises:
            UserError: see both pipelines; what the image network makes is never refused.
        """
        self.motion.model.amount(motion)  # before an image is made
        if num_frames != 1:
            num_frames = self.motion.checked_frames(num_frames, height, width)
            check_room(num_frames, height, width)
        stills = self.images(
            prompt, None, 1, height, width, num_inference_steps, guidance_scale, seed=seed,
            negative_prompt=negative_prompt, solver=solver, guidance_rescale=guidance_rescale, fps=fps, domain=domain,
            style=style, batch_size=batch_size, progress=progress,
        )  # fmt: skip
        if num_frames == 1:
            return stills
        texts, seeds = captions_and_seeds(prompt, seed, "", "a waving panda", "", ())
        moved = []
        for text, number, still in zip(texts, seeds, stills, strict=True):
            if is_opaque(still.frames[0]) or not still.frames[0, ..., 3].any():  # nothing that could be moved
                moved.append(Sticker(still.frames.repeat(num_frames, 0), (frame_duration(fps),) * num_frames))
                continue
            how: dict[str, Any] = {"seed": [number], "motion": motion, "fps": fps, "domain": domain}
            moved += self.motion(text, still.frames[0], num_frames, **how)
        return moved


def load_animator(source: str, device: str = "auto") -> MotionPipeline | AnimatePipeline:
    """The pipeline for any weights that animate a still; raises UserError for others."""
    if kind_of(source) == ImageDynamics.__name__:
        return MotionPipeline.from_pretrained(source, device)
    return AnimatePipeline.from_pretrained(source, device)

"""Stickers with alpha in the latents (Layer-Animate): from an image and a text, or from the text alone.

The user's image is read, checked and fitted into the network's frame; the result is converted back to the image's size
and colors.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from glassine.data.codecs import MAX_STICKER_PIXELS
from glassine.data.sticker import Sticker
from glassine.data.transforms.clip_sample import make_sample, sticker_floats
from glassine.models.animation import MOTION_GUIDANCE, Animation
from glassine.models.image_to_video import ImageToVideo
from glassine.models.sampling import Progress, Solver
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.diffusion import RESCALE
from glassine.nn.inter_frame_attention import Reference
from glassine.pipelines.backgrounds import give_back_colors, settle_alpha
from glassine.pipelines.fitted_still import FittedStill
from glassine.pipelines.stills import check_still
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
    to_bytes,
)
from glassine.utils.errors import UserError

TINY = "glassine:layer-animate"


class AnimatePipeline(GenerationPipeline[TransparentVideo]):
    """Layer-Animate and Animated Stickers: animates an image; the former also generates a sticker from text alone.

    The image is the reference frame (the middle one); Layer-Animate sees it free of noise. The network sees it after a
    round trip through the TransparencyVAE; the color shift of this round trip is removed from all frames. Without an
    image, Layer-Animate's first stage generates one from the text if the network needs one.

    Args:
        model: the network.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, only needed by `save_pretrained`.
    """

    @classmethod
    def from_pretrained(cls, source: str = TINY, device: str = "auto") -> Self:
        """The pipeline with shipped weights, or those in a folder of `save_pretrained` or `glassine export weights`.

        Raises:
            UserError: there are no weights at `source`, or they do not belong to a TransparentVideo.
        """
        network, config = load_for(source, TransparentVideo, TINY)
        return cls(network, device, config)

    def __call__(
        self,
        prompt: str | Sequence[str],
        image: np.ndarray | None = None,
        num_frames: int | None = None,
        height: int = SIZE,
        width: int = SIZE,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        *,
        seed: int | Sequence[int] = 0,
        negative_prompt: str = "",
        motion: int | None = None,
        image_guidance_scale: float = 1.0,
        motion_guidance_scale: float = MOTION_GUIDANCE,
        motion_adapter_scale: float = 0.0,
        solver: Solver | None = None,
        guidance_rescale: float = RESCALE,
        rate: float | None = None,
        reference: Reference | None = None,
        fps: float = FPS,
        domain: str = DOMAIN,
        style: str = AUTO,
        batch_size: int = 1,
        progress: Progress = lambda *_: None,
    ) -> list[Sticker]:
        """One sticker for each seed.

        Args:
            prompt: the motion (`waves hello`), or the content of the sticker if there is no image; one for all
                stickers, or one for each.
            image: `h w 4` uint8, straight RGBA, of any size; None generates one.
            num_frames: frames per sticker, at most the number of positions of the motion modules; 1 generates
                transparent images with the first stage only. None is the number used in training.
            height: height of the network's frame, in pixels. An image is fitted and padded with transparent pixels, and
                the sticker has the image's own size.
            width: likewise.
            num_inference_steps: see `Animation`, also for the following sampler settings; None is 25, or what a
                distilled network is made for.
            guidance_scale: None is the network's default for each stage.
            seed: one per sticker; an int stands for `seed`, `seed + 1`, ..., one per prompt.
            negative_prompt: prompt that guidance steers away from.
            motion: amount of motion, 0 to 9 for the shipped network; None leaves it to the network.
            image_guidance_scale: guidance scale for the image; 1 is off.
            motion_guidance_scale: guidance scale for `motion`; 1 is off.
            motion_adapter_scale: scale of Still-Moving's motion adapters, if the network has them.
            solver: `ddim` or `dpm++`; None is `ddim`, or what a distilled network is made for.
            guidance_rescale: in [0, 1].
            rate: frames per second at which clips of training were sampled, for an `ImageToVideo`: a low one moves more
                from frame to frame. None leaves it open.
            reference: frame of the image, `first`, `middle` or a number, for an `ImageToVideo`; None is its own.
            fps: frames per second.
            domain: `cartoon` or `real`, prepended to the prompt as in training captions; empty for none.
            style: one of the network's `styles`; `auto` goes through them with the seeds, or names none beside an
                image; empty names none.
            batch_size: stickers per batch. With 1, the result for a seed does not depend on the others, bit for
                bit.
            progress: called with the number of solver steps done and their total over all stickers.

        Raises:
            UserError: an empty or too long prompt, a single frame of an image, an image that is fully opaque or
                transparent, a sticker that does not fit in memory, a size or number of frames that the network does not
                support, or a setting out of range.
        """
        usual = self.model.usual_sampling
        steps = usual.num_inference_steps if num_inference_steps is None else num_inference_steps
        sampling = Animation(
            steps, guidance_scale, solver or usual.solver, guidance_rescale,
            image_guidance_scale, motion_guidance_scale, motion_adapter_scale,
        )  # fmt: skip
        size, duration = (height, width), frame_duration(fps)
        further: dict[str, Any] = {
            name: value for name, value in (("rate", rate), ("reference", reference)) if value is not None
        }
        if further and not isinstance(self.model, ImageToVideo):
            name, value = next(iter(further.items()))
            raise UserError(f"{name} must be left out for this network, which is no ImageToVideo, got {value}")
        if image is None and isinstance(self.model, ImageToVideo):
            raise UserError("image must be given to this network, which animates pictures and generates none")
        if not self.model.animates and num_frames not in (None, 1):
            raise UserError(
                f"num_frames must be 1 for this network, which generates single images, got {num_frames}: to animate, "
                f"use one with motion modules such as {TINY}"
            )
        num_frames = self.checked_frames(num_frames, height, width)
        if image is not None and num_frames == 1:
            raise UserError("num_frames must be at least 2 to animate an image, got 1")
        captions, seeds = captions_and_seeds(
            prompt, seed, domain, "waves hello", "" if image is not None and style == AUTO else style, self.model.styles
        )
        fitted = None if image is None else self.fit(image, num_frames, size)
        base = None if fitted is None else self.base(fitted.shrink())  # 4 h w
        place = {} if reference is None else {"reference": reference}
        shown = self.model.reference_index(num_frames, **place)
        parts = batches(len(seeds), batch_size)
        stickers: list[Sticker] = []
        for number, rows in enumerate(parts):
            clips = self.model.sample(
                captions[rows],
                seeds[rows],
                size,
                num_frames,
                negative_prompt,
                sampling,
                progress=part_of(progress, number, len(parts)),
                base=None if base is None else base.expand(len(seeds[rows]), -1, -1, -1),
                motion=motion,
                **further,
            )
            if base is not None:
                clips = give_back_colors(clips, base, shown)
            stickers += [finish(frames, fitted, shown, duration) for frames in to_bytes(clips)]
        return stickers

    def fit(self, image: np.ndarray, num_frames: int, size: tuple[int, int]) -> FittedStill:
        """How the image is fitted into a frame of `size`; raises UserError if it cannot be animated."""
        height, width = image.shape[:2]
        if num_frames * height * width > MAX_STICKER_PIXELS:
            raise UserError(f"{num_frames} frames of {width}x{height} do not fit in memory: scale the image down first")
        check_still(image)
        return FittedStill(image, size)

    def base(self, frames: np.ndarray) -> Tensor:
        """The base image `4 h w` in [0, 1], color-padded as in training, from `1 h w 4` uint8."""
        nowhere = np.zeros(3, np.float32)
        sample = make_sample(sticker_floats(frames), nowhere, (), np.random.default_rng(0), "")
        return torch.cat([sample["foreground"], sample["alpha"]], dim=1)[0].to(self.device)


def finish(frames: np.ndarray, fitted: FittedStill | None, reference: int, duration: int) -> Sticker:
    """The sticker of one clip `f h w 4` uint8, at the size of the image if there is one; clear pixels have no color."""
    frames = np.where(frames[..., 3:] > 0, frames, 0).astype(np.uint8)
    if fitted is not None:
        frames = fitted.enlarge(frames, reference)
    frames[..., 3] = settle_alpha(frames[..., 3])
    frames[frames[..., 3] == 0] = 0
    return Sticker(frames, (duration,) * len(frames))

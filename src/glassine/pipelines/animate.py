"""Transparent animated stickers that carry alpha in the latents: from a still and a text, or from the text alone.

TODO-DOC
The picture that a user wants animated: read, checked, fitted into what the network sees, and the way back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from glassine.data.codecs import MAX_STICKER_PIXELS, open_sticker
from glassine.data.shards import resize_frames
from glassine.data.sticker import Sticker
from glassine.data.transforms.clip_sample import make_sample, sticker_floats
from glassine.models.animation import Animation
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.diffusion import RESCALE
from glassine.pipelines.backgrounds import OPAQUE_FROM, give_back_colors, settle_alpha
from glassine.pipelines.text_to_sticker import GenerationPipeline, Progress, to_bytes
from glassine.pretrained.weights import load_bundle, locate
from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError

Frame = np.ndarray


def read_still(path: Path) -> tuple[Frame, int, int]:
    """A picture in any format that is read; of an animation the middle frame.

    Returns:
        `h w 4` uint8, straight RGBA; its number, from 0; and how many frames there are.

    Raises:
        UserError: as `open_sticker`.
    """
    with open_sticker(path) as reader:
        # a video's header may be wrong about their number
        frames = reader.num_frames if reader.durations and reader.num_frames else sum(1 for _ in reader)
        return reader.frames_at([frames // 2])[0], frames // 2, frames


def is_opaque(frame: Frame) -> bool:
    """Whether `h w 4` uint8 has no transparency that anybody would see."""
    return bool((frame[..., 3] >= OPAQUE_FROM).all())


def check_still(frame: Frame, name: str = "the picture") -> None:
    """Refuse what cannot be a base image.

    Args:
        frame: `h w 4` uint8, straight RGBA.
        name: what messages call it.

    Raises:
        UserError: another kind of array, one without transparency, or one that is clear everywhere.
    """
    if frame.ndim != 3 or frame.shape[-1] != 4 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise UserError(f"{name} came as {frame.dtype} {frame.shape}; it must be uint8 (height, width, 4), RGBA")
    if is_opaque(frame):
        raise UserError(
            f"{name} has no transparency, and animating needs to know what belongs to the sticker: give a picture with "
            "an alpha channel, or cut it out of its background first (--cut-out)"
        )
    if not frame[..., 3].any():
        raise UserError(f"{name} is clear everywhere, so there is nothing to animate; give one that shows something")


@dataclass(frozen=True)
class FittedStill:
    """Sizes in pixels, height first, of a picture that is fitted into a frame as training clips are.

    Attributes:
        full: of the picture.
        frame: that the network sees; the picture's shape is kept, clear pixels fill the rest on both sides.
    """

    full: tuple[int, int]
    frame: tuple[int, int]

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that the picture covers."""
        scale = min(one / other for one, other in zip(self.frame, self.full, strict=True))
        sides = [max(1, round(side * scale)) for side in self.full]
        starts = [(room - side) // 2 for room, side in zip(self.frame, sides, strict=True)]
        rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
        return rows, columns

    def shrink(self, picture: Frame) -> Frame:
        """`h w 4` uint8, straight, into the frame, `1 h' w' 4`."""
        return resize_frames(picture[None], *self.frame, keep_shape=True)

    def enlarge(self, frames: Frame) -> Frame:
        """Frames `f h' w' 4` uint8 as the network made them, at the picture's size `f h w 4`."""
        return resize_frames(np.ascontiguousarray(frames[:, *self.box]), *self.full)


TINY = "glassine:tiny-layer-animate"


class AnimatePipeline(GenerationPipeline[TransparentVideo, Animation]):
    """Layer-Animate as people call it.

    A still of their own is the reference frame (the middle one), which stays free of noise; it is shown as the codec
    brings it back, and what that changes of its colors is given back to all frames. Without a still the first stage
    makes one from the text, where the network looks at one.

    Args:
        generator: a `TransparentVideo` that animates.
        size: height and width that the network sees, in pixels. A still is fitted in, with clear pixels around it, and
            the sticker gets the still's size again.
        num_frames: of each sticker; at most as many as the motion modules have positions. 1 makes transparent pictures,
            by the first stage alone. None is the network's `usual_frames`.
        fps: frames a second.
        domain: what stands before the prompt, as in training captions (`Cartoon\\ta waving panda`); empty for nothing.
        sampling: None for 25 steps of DDIM without guidance by the image.
        batch_size: stickers made at a time. With 1, what a seed gives does not depend on the others by a single bit.
        device: `auto` is CUDA if there is any, else the CPU.
        config: `class_path` and `init_args` of the generator, for `save_pretrained`.

    Raises:
        UserError: a size or a number of frames that the networks cannot take, or more than one frame of a network that
            makes single pictures.
    """

    def __init__(
        self,
        generator: TransparentVideo,
        size: tuple[int, int] = (128, 128),
        num_frames: int | None = None,
        fps: float = 8.0,
        domain: str = "cartoon",
        sampling: Animation | None = None,
        batch_size: int = 1,
        device: str = "auto",
        config: dict | None = None,
    ) -> None:
        if not generator.animates and num_frames not in (None, 1):
            raise UserError(
                f"this network makes single pictures: ask for 1 frame; animating needs motion modules, as {TINY} has "
                "them"
            )
        how = sampling or Animation(guidance_rescale=RESCALE)
        super().__init__(generator, size, num_frames, fps, domain, how, batch_size, device, config)

    @classmethod
    def from_pretrained(
        cls,
        source: str = TINY,
        size: tuple[int, int] = (128, 128),
        num_frames: int | None = None,
        fps: float = 8.0,
        domain: str = "cartoon",
        sampling: Animation | None = None,
        batch_size: int = 1,
        device: str = "auto",
    ) -> Self:
        """The pipeline with weights from a folder of `save_pretrained` or `glassine export weights`, or shipped ones.

        Raises:
            UserError: there are no weights at `source`, or they are not a TransparentVideo's; see above, too.
        """
        network = load_bundle(source)
        if not isinstance(network, TransparentVideo):
            raise UserError(f"{source} holds a {type(network).__name__}; this needs a TransparentVideo, such as {TINY}")
        config = read_yaml(locate(source) / "config.yaml")
        return cls(network, size, num_frames, fps, domain, sampling, batch_size, device, config)

    def __call__(
        self,
        prompt: str,
        seeds: Sequence[int],
        still: np.ndarray | None = None,
        negative_prompt: str = "",
        motion: int | None = None,
        progress: Progress = lambda *_: None,
    ) -> list[Sticker]:
        """One sticker for each seed.

        Args:
            prompt: what happens (`waves hello`), or what the sticker shows where there is no still.
            seeds: at least one.
            still: `h w 4` uint8, straight RGBA, of any size; None lets the network make one.
            negative_prompt: what guidance leads away from.
            motion: amount of motion, 0 to 9 where the network has ten; None does not tell.
            progress: called with the solver's steps done and how many there are, over all stickers.

        Raises:
            UserError: an empty or over-long prompt, a single frame of a still, a still that is opaque or clear
                everywhere, a sticker that does not fit in memory, or motion that the network is not told.
        """
        if still is not None and self.num_frames == 1:
            raise UserError("a still and 1 frame came: there is nothing to be animated; ask for 2 frames or more")
        if not prompt.strip():
            raise UserError("an empty prompt came; say what the sticker does, for instance 'waves hello'")
        fitted = FittedStill(self.size, self.size) if still is None else self.fit(still)
        base = None if still is None else self.base(fitted.shrink(still))  # 4 h w
        stickers: list[Sticker] = []
        batches = -(-len(seeds) // self.batch_size)
        for number in range(batches):
            part = seeds[number * self.batch_size : (number + 1) * self.batch_size]
            clips = self.generator.sample(
                [self.caption(prompt)] * len(part),
                part,
                self.size,
                self.num_frames,
                negative_prompt,
                self.sampling,
                progress=lambda done, of, start=number: progress(start * of + done, batches * of),  # type: ignore[misc]
                base=None if base is None else base.expand(len(part), -1, -1, -1),
                motion=motion,
            )
            if base is not None:
                clips = give_back_colors(clips, base, self.generator.reference_index(self.num_frames))
            stickers += [self.finish(frames, fitted) for frames in to_bytes(clips)]
        return stickers

    def fit(self, still: np.ndarray) -> FittedStill:
        """How the still is fitted in; UserError where it cannot be animated."""
        height, width = still.shape[:2]
        if self.num_frames * height * width > MAX_STICKER_PIXELS:
            raise UserError(
                f"{self.num_frames} frames of {width}x{height} do not fit in memory; scale the picture down first"
            )
        check_still(still)
        return FittedStill((height, width), self.size)

    def base(self, frames: np.ndarray) -> Tensor:
        """The base image `4 h w` in [0, 1], color-padded as in training, of `1 h w 4` uint8."""
        nowhere = np.zeros(3, np.float32)
        sample = make_sample(sticker_floats(frames), nowhere, (), np.random.default_rng(0), "")
        return torch.cat([sample["foreground"], sample["alpha"]], dim=1)[0].to(self.device)

    def finish(self, frames: np.ndarray, fitted: FittedStill) -> Sticker:
        """The sticker of one clip `f h w 4` uint8, at the still's size; what is clear has no color."""
        frames = fitted.enlarge(np.where(frames[..., 3:] > 0, frames, 0).astype(np.uint8))
        frames[..., 3] = settle_alpha(frames[..., 3])
        frames[frames[..., 3] == 0] = 0
        return Sticker(frames, (self.duration,) * len(frames))

"""Stickers from text: the pipeline around a text-to-video network, and code shared with `AnimatePipeline`.

As in diffusers, a pipeline is built from weights and a device; everything that may differ between stickers is an
argument of the call. Prompts get the domain prefix of VSD2M's training captions ("Experimental Setups").
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

import numpy as np
from einops import rearrange
from torch import Tensor

from glassine.data.sticker import Sticker
from glassine.models.image_dynamics import ImageDynamics
from glassine.models.sampling import Progress, SamplerConfig, Solver
from glassine.models.text_to_video import TextToVideo
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.diffusion import RESCALE
from glassine.pipelines.cutout import CutoutPipeline
from glassine.pretrained.weights import load_bundle, locate, save_bundle
from glassine.utils.class_paths import read_yaml
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError

Network = TypeVar("Network", bound=TextToVideo | ImageDynamics)
SIZE = 128
FPS = 8.0
DOMAIN = "cartoon"
AUTO = "auto"
CHINESE = re.compile("[\u4e00-\u9fff]")


class GenerationPipeline(Generic[Network]):
    """Base class of the generating pipelines: a network on its device, and saving it.

    Args:
        model: the network; it is moved to `device` and set to eval mode.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, only needed by `save_pretrained`.

    Raises:
        UserError: the device does not exist.
    """

    def __init__(self, model: Network, device: str = "auto", config: dict | None = None) -> None:
        self.device = pick_device(device)
        self.model = cast(Network, model.to(self.device).eval())
        self.model.fast = True
        self.config = config

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.yaml` and `model.safetensors` (half precision) into `folder`, which is created if needed.

        Raises:
            ValueError: the pipeline was built from a network without its `config`.
        """
        if self.config is None:
            raise ValueError("save_pretrained needs the network's class_path and init_args: pass them as config")
        save_bundle(self.model, self.config, Path(folder))

    def checked_frames(self, num_frames: int | None, height: int, width: int) -> int:
        """`num_frames`, or the number that the network was trained with.

        Raises:
            UserError: the network cannot generate clips of this length or size.
        """
        num_frames = self.model.usual_frames if num_frames is None else num_frames
        self.model.check_size((height, width), num_frames)
        return num_frames


def load_for(source: str, kind: type[Network], usual: str) -> tuple[Network, Any]:
    """A network from shipped weights or a folder of weights, and the content of its `config.yaml`.

    Args:
        source: `glassine:NAME` or a folder.
        kind: class that it must have.
        usual: weights of this kind, as an example in the error.

    Raises:
        UserError: there are no weights at `source`, or they belong to a network of another kind.
    """
    network = load_bundle(source)
    if not isinstance(network, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise UserError(f"{source} must hold {article} {kind.__name__} such as {usual}, got a {type(network).__name__}")
    return network, read_yaml(locate(source) / "config.yaml")


def captions_and_seeds(
    prompt: str | Sequence[str],
    seed: int | Sequence[int],
    domain: str,
    example: str,
    style: str = AUTO,
    styles: Sequence[str] = (),
) -> tuple[list[str], list[int]]:
    """One caption and one seed per sticker.

    Args:
        prompt: one for all stickers, or one for each.
        seed: one per sticker; an int stands for `seed`, `seed + 1`, ..., one per prompt.
        domain: prepended to each prompt as in training captions; empty for none.
        example: example prompt for error messages.
        style: one of `styles`, `auto` to go through them with the seeds, or empty for none.
        styles: that the network knows.

    Raises:
        UserError: an empty prompt, an unknown style, or different numbers of prompts and seeds.
    """
    if style not in (AUTO, "", *styles):
        known = f"one of {', '.join(styles)}" if styles else "left out, since this network knows none"
        raise UserError(f"style must be {known}, got {style!r}")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    seeds = [seed + number for number in range(len(prompts))] if isinstance(seed, int) else list(seed)
    prompts = prompts * len(seeds) if isinstance(prompt, str) else prompts
    if not prompts or not all(one.strip() for one in prompts):
        raise UserError(f"prompt must not be empty: describe the sticker, for instance {example!r}")
    if len(prompts) != len(seeds):
        raise UserError(f"there must be one seed for each prompt, got {len(prompts)} prompts and {len(seeds)} seeds")
    turns = (styles or ("",)) if style == AUTO else (style,)
    return [caption(one, domain, turns[its % len(turns)]) for one, its in zip(prompts, seeds, strict=True)], seeds


def caption(prompt: str, domain: str = DOMAIN, style: str = "") -> str:
    """The prompt as a training caption of VSD2M: `Cartoon\\ta waving panda`, with a style `Cartoon\\ta panda, 3D`."""
    text = prompt.strip()
    if style:
        text += f"，{style}" if CHINESE.search(text) else f", {style}"
    return f"{domain.capitalize()}\t{text}" if domain else text


def frame_duration(fps: float) -> int:
    """Duration of a frame in ms.

    Raises:
        UserError: `fps` is out of range.
    """
    if not 0.1 <= fps <= 100:
        raise UserError(f"fps must be in [0.1, 100], got {fps:g}")
    return max(1, round(1000 / fps))


def batches(count: int, batch_size: int) -> list[slice]:
    """Slices of `count` items, `batch_size` at a time.

    Raises:
        UserError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {batch_size}")
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def part_of(progress: Progress, number: int, count: int) -> Progress:
    """Wrap `progress` over all batches, to be called with the steps of batch `number` of `count`."""
    return lambda done, total: progress(number * total + done, count * total)


def to_bytes(clips: Tensor) -> np.ndarray:
    """`b f c h w` in [0, 1] to `b f h w c` uint8."""
    return rearrange((clips * 255).round().byte(), "b f c h w -> b f h w c").cpu().numpy()


TINY = "glassine:sti"
STILL = "glassine:image"  # single pictures


class TextToStickerPipeline(GenerationPipeline[TextToVideo]):
    """Text to opaque stickers, made transparent by `cut_out` if given.

    Args:
        model: the text-to-video network.
        cut_out: makes an opaque sticker transparent, for instance a `CutoutPipeline`; None leaves stickers opaque.
        device: `auto` is CUDA if available, else the CPU.
        config: `class_path` and `init_args` of the network, only needed by `save_pretrained`.
    """

    def __init__(
        self,
        model: TextToVideo,
        cut_out: Callable[[Sticker], Sticker] | None = None,
        device: str = "auto",
        config: dict | None = None,
    ) -> None:
        super().__init__(model, device, config)
        self.cut_out = cut_out

    @classmethod
    def from_pretrained(
        cls, source: str = TINY, cut_out: Callable[[Sticker], Sticker] | None = None, device: str = "auto"
    ) -> Self:
        """The pipeline with shipped weights, or those in a folder of `save_pretrained` or `glassine export weights`.

        Raises:
            UserError: there are no weights at `source`, or they do not belong to a TextToVideo.
        """
        network, config = load_for(source, TextToVideo, TINY)
        if isinstance(network, TransparentVideo):
            raise UserError(
                f"{source} generates alpha in the latents: use AnimatePipeline, or `glassine generate --transparent "
                "--transparency latents`"
            )
        return cls(network, cut_out, device, config)

    def __call__(
        self,
        prompt: str | Sequence[str],
        num_frames: int | None = None,
        height: int = SIZE,
        width: int = SIZE,
        num_inference_steps: int = 25,
        guidance_scale: float | None = None,
        *,
        seed: int | Sequence[int] = 0,
        negative_prompt: str = "",
        solver: Solver = "ddim",
        guidance_rescale: float = RESCALE,
        fps: float = FPS,
        domain: str = DOMAIN,
        style: str = AUTO,
        batch_size: int = 1,
        progress: Progress = lambda *_: None,
    ) -> list[Sticker]:
        """One sticker for each seed.

        Args:
            prompt: one for all stickers, or one for each.
            num_frames: frames per sticker; None is the number used in training.
            height: height of the stickers in pixels.
            width: width of the stickers in pixels.
            num_inference_steps: see `SamplerConfig`, also for the following sampler settings.
            guidance_scale: None is the network's default.
            seed: one per sticker; an int stands for `seed`, `seed + 1`, ..., one per prompt.
            negative_prompt: prompt that guidance steers away from.
            solver: `ddim` or `dpm++`.
            guidance_rescale: in [0, 1].
            fps: frames per second.
            domain: `cartoon` or `real`, prepended to the prompt as in training captions; empty for none.
            style: one of the network's `styles`; `auto` goes through them with the seeds; empty names none.
            batch_size: stickers per batch. With 1, the result for a seed does not depend on the others, bit for
                bit.
            progress: called with the number of solver steps done and their total over all stickers.

        Raises:
            UserError: an empty or too long prompt, different numbers of prompts and seeds, a size or number of frames
                that the network does not support, or a setting out of range.
        """
        sampling = SamplerConfig(num_inference_steps, guidance_scale, solver, guidance_rescale)
        duration, num_frames = frame_duration(fps), self.checked_frames(num_frames, height, width)
        captions, seeds = captions_and_seeds(prompt, seed, domain, "a waving panda", style, self.model.styles)
        parts = batches(len(seeds), batch_size)
        stickers: list[Sticker] = []
        for number, rows in enumerate(parts):
            clips = self.model.sample(
                captions[rows],
                seeds[rows],
                (height, width),
                num_frames,
                negative_prompt,
                sampling,
                progress=part_of(progress, number, len(parts)),
            )
            stickers += [self.finish(frames, duration) for frames in to_bytes(clips)]
        return stickers

    def finish(self, frames: np.ndarray, duration: int) -> Sticker:
        """The sticker of one clip `f h w 3` uint8, cut out if there is a `cut_out`; `duration` of a frame in ms."""
        opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)  # f h w 4
        sticker = Sticker(opaque, (duration,) * len(frames))
        if self.cut_out is None:
            return sticker
        if isinstance(self.cut_out, CutoutPipeline):  # a VAE's backgrounds are nowhere exact, as closed form needs it
            return self.cut_out(sticker, method="network")
        return self.cut_out(sticker)

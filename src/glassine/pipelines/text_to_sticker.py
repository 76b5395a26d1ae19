"""Stickers from text.

TODO-DOC
What pipelines that make stickers share: settings and their checks, captions, saving.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
from einops import rearrange
from torch import Tensor

from glassine.data.sticker import Sticker
from glassine.models.sampling import SamplerConfig
from glassine.models.text_to_video import TextToVideo
from glassine.models.transparent_video import TransparentVideo
from glassine.nn.diffusion import RESCALE
from glassine.pretrained.weights import load_bundle, locate, save_bundle
from glassine.utils.class_paths import read_yaml
from glassine.utils.devices import pick_device
from glassine.utils.errors import UserError

Network = TypeVar("Network", bound=TextToVideo)
How = TypeVar("How", bound=SamplerConfig)


class GenerationPipeline(Generic[Network, How]):
    """Settings of a pipeline around a generator; the pipelines themselves say what each is.

    Raises:
        UserError: a size or a number of frames that the networks cannot take, or a rate or a batch out of range.
    """

    def __init__(
        self,
        generator: Network,
        size: tuple[int, int],
        num_frames: int | None,
        fps: float,
        domain: str,
        sampling: How,
        batch_size: int,
        device: str,
        config: dict | None,
    ) -> None:
        if not 0.1 <= fps <= 100:
            raise UserError(f"{fps:g} frames a second came; give 0.1 to 100")
        if batch_size < 1:
            raise UserError(f"a batch of {batch_size} came; give at least 1")
        num_frames = generator.usual_frames if num_frames is None else num_frames
        generator.check_size(size, num_frames)
        self.device = pick_device(device)
        self.generator = generator.to(self.device).eval()
        self.size, self.num_frames, self.domain = size, num_frames, domain
        self.duration = max(1, round(1000 / fps))  # ms
        self.sampling, self.batch_size, self.config = sampling, batch_size, config

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.yaml` and `model.safetensors` (half precision) into `folder`, which is made if need be.

        Raises:
            ValueError: the pipeline was made from networks without their `config`.
        """
        if self.config is None:
            raise ValueError("save_pretrained needs the generator's class_path and init_args; pass them as config")
        save_bundle(self.generator, self.config, Path(folder))

    def caption(self, prompt: str) -> str:
        """The prompt as training captions have it, see VSD2M, "Experimental Setups"."""
        return f"{self.domain.capitalize()}\t{prompt.strip()}" if self.domain else prompt.strip()


def to_bytes(clips: Tensor) -> np.ndarray:
    """`b f c h w` in [0, 1] to `b f h w c` uint8."""
    return rearrange((clips * 255).round().byte(), "b f c h w -> b f h w c").cpu().numpy()


TINY = "glassine:tiny-sti"
Progress = Callable[[int, int], None]


class TextToStickerPipeline(GenerationPipeline[TextToVideo, SamplerConfig]):
    """Text-to-video as people call it.

    Args:
        generator: the networks.
        cut_out: makes opaque stickers transparent, for instance a `CutoutPipeline`; None leaves them opaque.
        size: height and width of the stickers in pixels.
        num_frames: of each sticker; None for the network's `usual_frames`.
        fps: frames a second.
        domain: what stands before the prompt, as in training captions (`Cartoon\\ta waving panda`); empty for nothing.
        sampling: None for 25 steps of DDIM, as `glassine generate`.
        batch_size: stickers made at a time. With 1, what a seed gives does not depend on the others by a single bit.
        device: `auto` is CUDA if there is any, else the CPU.
        config: `class_path` and `init_args` of the generator, for `save_pretrained`.

    Raises:
        UserError: a size or a number of frames that the networks cannot take.
    """

    def __init__(
        self,
        generator: TextToVideo,
        cut_out: Callable[[Sticker], Sticker] | None = None,
        size: tuple[int, int] = (128, 128),
        num_frames: int | None = None,
        fps: float = 8.0,
        domain: str = "cartoon",
        sampling: SamplerConfig | None = None,
        batch_size: int = 1,
        device: str = "auto",
        config: dict | None = None,
    ) -> None:
        how = sampling or SamplerConfig(guidance_rescale=RESCALE)
        super().__init__(generator, size, num_frames, fps, domain, how, batch_size, device, config)
        self.cut_out = cut_out

    @classmethod
    def from_pretrained(
        cls,
        source: str = TINY,
        cut_out: Callable[[Sticker], Sticker] | None = None,
        size: tuple[int, int] = (128, 128),
        num_frames: int | None = None,
        fps: float = 8.0,
        domain: str = "cartoon",
        sampling: SamplerConfig | None = None,
        batch_size: int = 1,
        device: str = "auto",
    ) -> Self:
        """The pipeline with weights from a folder of `save_pretrained` or `glassine export weights`, or shipped ones.

        Raises:
            UserError: there are no weights at `source`, or they are not a TextToVideo's.
        """
        network = load_bundle(source)
        if not isinstance(network, TextToVideo):
            raise UserError(f"{source} holds a {type(network).__name__}; text needs a TextToVideo, such as {TINY}")
        if isinstance(network, TransparentVideo):
            raise UserError(
                f"{source} makes stickers that are transparent from the start: AnimatePipeline takes it, and `glassine "
                "generate --transparent --transparency latents`"
            )
        config = read_yaml(locate(source) / "config.yaml")
        return cls(network, cut_out, size, num_frames, fps, domain, sampling, batch_size, device, config)

    def __call__(
        self, prompts: list[str], seeds: list[int], negative_prompt: str = "", progress: Progress = lambda *_: None
    ) -> list[Sticker]:
        """One sticker for each prompt and seed.

        Args:
            prompts: each with at least one letter.
            seeds: one a prompt.
            negative_prompt: what guidance leads away from.
            progress: called with the solver's steps done and how many there are, over all stickers.

        Raises:
            UserError: an empty or over-long prompt, or not one seed for each.
        """
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise UserError("an empty prompt came; say what the sticker shows, for instance 'a waving panda'")
        stickers: list[Sticker] = []
        steps, batches = self.sampling.steps, -(-len(prompts) // self.batch_size)
        for number in range(batches):
            rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
            clips = self.generator.sample(
                [self.caption(prompt) for prompt in prompts[rows]],
                seeds[rows],
                self.size,
                self.num_frames,
                negative_prompt,
                self.sampling,
                progress=lambda done, of, start=number: progress(start * steps + done, batches * of),  # type: ignore[misc]
            )
            stickers += [self.finish(frames) for frames in to_bytes(clips)]
        return stickers

    def finish(self, frames: np.ndarray) -> Sticker:
        """The sticker of one clip `f h w 3` uint8, cut out where that is wanted."""
        opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)  # f h w 4
        sticker = Sticker(opaque, (self.duration,) * len(frames))
        return sticker if self.cut_out is None else self.cut_out(sticker)

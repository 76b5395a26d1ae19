"""What pipelines that make stickers share: settings and their checks, captions, saving."""

from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from einops import rearrange
from torch import Tensor

from glassine.errors import UserError
from glassine.hardware import pick_device
from glassine.models.sampling import Sampling
from glassine.models.text_to_video import TextToVideo
from glassine.pretrained.weights import save_bundle

Network = TypeVar("Network", bound=TextToVideo)
How = TypeVar("How", bound=Sampling)


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

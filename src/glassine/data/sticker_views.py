"""Stickers as a cache of latents sees them: on one flat colour or transparent, whole or in several random parts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from glassine.data.alpha import composite_frames
from glassine.data.clips import Clips
from glassine.data.dataset import StickerDataset
from glassine.data.sampler import SampleId
from glassine.data.shards import StickerInfo
from glassine.data.transforms.sample import make_sample, sticker_floats

Motion = Callable[[Tensor, Tensor], Tensor]


class StickerViews(Dataset[dict[str, Any]]):
    """Sample (view, row) is the sticker `row`, its frames drawn as training draws them in pass `view`.

    Samples are those of `StickerDataset`, with `clip` `f 3 h w` in [0, 1] and `caption_zh`, which is empty where there
    is none; and with `motion` `f-1`, the amount of each step from frame to frame, where it is measured.

    Args:
        stickers: which; their transform is left out.
        background: red, green, blue in 0..255. With None a clip is `f 4 h w`: straight, colour-padded, alpha last.
        motion: measures `b` amounts of motion of straight colours `b f 3 h w` and alpha `b f 1 h w`, as
            `glassine.nn.motion_amount.motion_amount`.
        whole: spread the frames over the whole sticker, the same in every view.

    Attributes:
        stickers: what is read.
    """

    def __init__(
        self,
        stickers: StickerDataset,
        background: tuple[int, int, int] | None,
        motion: Motion | None = None,
        whole: bool = False,
    ) -> None:
        self.parts = [_OnePass(part) for part in stickers.parts]
        transform = _View(background, motion)
        how = (stickers.num_frames, stickers.size, transform, stickers.seed)
        self.stickers = StickerDataset(self.parts, *how, training=not whole)

    def __len__(self) -> int:
        return len(self.stickers)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        sample = self.stickers[item]
        chinese = next(part.chinese[sample["key"]] for part in self.parts if sample["key"] in part.chinese)
        return {**sample, "caption_zh": chinese}


@dataclass
class _OnePass:
    """The same stickers in every pass, rendered ones too, and what they are called in Chinese, by key."""

    part: Clips
    chinese: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.part)

    def name(self, row: int) -> str:
        return self.part.name(row)

    def clip(
        self, row: int, pass_number: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        frames, fps, info = self.part.clip(row, 0, num_frames, generator)
        self.chinese[info.key] = info.caption_zh
        return frames, fps, info


@dataclass(frozen=True)
class _View:
    background: tuple[int, int, int] | None
    motion: Motion | None

    def __call__(self, frames: np.ndarray, generator: torch.Generator) -> dict[str, Tensor]:
        sample = {"clip": self._clip(frames)}
        if self.motion is not None:
            rgba = rearrange(torch.from_numpy(sticker_floats(frames)), "f h w c -> f c h w")
            steps = torch.stack([rgba[:-1], rgba[1:]], dim=1)  # f-1 2 4 h w
            sample["motion"] = self.motion(steps[:, :, :3], steps[:, :, 3:])
        return sample

    def _clip(self, frames: np.ndarray) -> Tensor:
        if self.background is not None:
            opaque = torch.from_numpy(composite_frames(frames, self.background))
            return rearrange(opaque, "f h w c -> f c h w").float() / 255
        sample = make_sample(sticker_floats(frames), np.zeros(3, np.float32), (), np.random.default_rng(0), "")
        return torch.cat([sample["foreground"], sample["alpha"]], dim=1)  # f 4 h w

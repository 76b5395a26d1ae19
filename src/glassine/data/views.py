"""Stickers as input of a latent cache: sample (view, row), on a flat color or transparent.

:class:`StickerViews` samples random parts of stickers from shards, :class:`FrameViews` reads cached frames.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from glassine.data.alpha import composite, composite_frames
from glassine.data.clips import Clips
from glassine.data.dataset import StickerDataset
from glassine.data.frame_cache import ABOUT, CachedFrames
from glassine.data.sampler import SampleId
from glassine.data.shards import StickerInfo
from glassine.data.transforms.clip_sample import make_sample, sticker_floats

Motion = Callable[[Tensor, Tensor], Tensor]


class StickerViews(Dataset[dict[str, Any]]):
    """Sample (view, row) is sticker `row`, with frames sampled as in training epoch `view`.

    Samples are those of `StickerDataset`, with `clip` `f 3 h w` in [0, 1] and `caption_zh`, which is empty if there is
    none; and, if measured, `motion` `f-1`, the amount of motion between consecutive frames.

    Args:
        stickers: stickers to read; their transform is not applied.
        background: red, green, blue in 0..255. With None a clip is `f 4 h w`: straight, color-padded, alpha last.
        motion: measures the amounts of motion `b` from straight colors `b f 3 h w` and alpha `b f 1 h w`, such as
            `glassine.nn.conditioning.motion_amount`.
        whole: space the frames over the whole sticker, the same in every view.

    Attributes:
        stickers: stickers to read.
    """

    def __init__(
        self,
        stickers: StickerDataset,
        background: tuple[int, int, int] | None,
        motion: Motion | None = None,
        whole: bool = False,
    ) -> None:
        self.parts = [_OnePass(part) for part in stickers.setup().parts]
        transform = _View(background, motion)
        how = (stickers.num_frames, stickers.size, transform, stickers.seed or 0)
        self.stickers = StickerDataset(self.parts, *how, training=not whole)

    def __len__(self) -> int:
        return len(self.stickers)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        sample = self.stickers[item]
        chinese = next(part.chinese[sample["key"]] for part in self.parts if sample["key"] in part.chinese)
        return {**sample, "caption_zh": chinese}


@dataclass
class _OnePass:
    """The same stickers in every epoch, including rendered ones, and their Chinese captions by key."""

    part: Clips
    chinese: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.part)

    def name(self, row: int) -> str:
        return self.part.name(row)

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
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


class FrameViews(Dataset[dict[str, Any]]):
    """Cached frames as input of `write_latents`: sample (view, row) is a sticker, or one of its frames.

    A sample has `clip` (`f 3 h w` on the background, or with None `f 4 h w` straight RGBA), `motion` (`f-1`, if
    measured), `fps`, `captions` and `captions_zh` (with and without the style), and the fields of `CachedFrames`.

    Args:
        frames: cached frames, one sample per sticker, not per subject.
        views: for single frames, the number per sticker, evenly spaced.
        background: red, green, blue in 0..255; None keeps alpha.
        motion: see `StickerViews`.
    """

    def __init__(
        self,
        frames: CachedFrames,
        views: int,
        background: tuple[int, int, int] | None,
        motion: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.frames, self.views, self.background, self.motion = frames, views, background, motion

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, item: SampleId) -> dict[str, Any]:
        view, row = item
        rgba, known = self.frames.read(row, view, self.views)
        clip = rgba
        if self.background is not None:
            clip = composite(rgba[:, :3], rgba[:, 3:], torch.tensor(self.background) / 255)
        sample = {
            "clip": clip,
            **{name: known[name] for name in (*ABOUT, "subject", "caption", "caption_zh", "trigger_words", "fps")},
        }
        sample["captions"] = list(dict.fromkeys([known["caption"], known["plain"]]))
        sample["captions_zh"] = list(dict.fromkeys(filter(None, [known["caption_zh"], known["plain_zh"]])))
        if self.motion is not None and len(rgba) > 1:
            steps = torch.stack([rgba[:-1], rgba[1:]], dim=1)  # f-1 2 4 h w
            sample["motion"] = self.motion(steps[:, :, :3], steps[:, :, 3:])
        return sample

    def fingerprint(self) -> str:
        """Changes with the stickers and their order."""
        keys = [known["key"] for members in self.frames.members for _, _, known in members]
        return hashlib.blake2b(repr(keys).encode(), digest_size=6).hexdigest()

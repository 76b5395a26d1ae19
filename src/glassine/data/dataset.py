"""Stickers as a map-style dataset: read, choose frames, resize, transform; damaged ones are replaced and named.

TODO-DOC
Stickers as a cache of latents sees them: on one flat color or transparent, whole or in several random parts.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from glassine.data.alpha import composite_frames
from glassine.data.clips import Clips
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.shards import StickerInfo, resize_frames
from glassine.data.transforms.clip_sample import make_sample, sticker_floats
from glassine.utils.errors import UserError, printable

ClipTransform = Callable[[np.ndarray, torch.Generator], Mapping[str, Any]]
"""Frames `f h w 4` uint8 and a generator to a dict of tensors (and strings)."""

_MOST_REPLACEMENTS = 100


class StickerDataset(Dataset[dict[str, Any]]):
    """Samples as tasks take them.

    A sample is the transform's dict plus ``caption`` (``[Domain]\\t[Description]``), ``trigger_words`` (list of str),
    ``domain``, ``fps`` (float), ``key`` and ``group``.

    A damaged sticker is replaced by the next readable one (row + 1, row + 2, ..., from the first after the last), with
    that one's own randomness; so the same rows give the same batches in every run. It is counted in shared memory,
    whichever worker met it, and named by :attr:`damaged`.

    Args:
        parts: where stickers come from, one after the other.
        num_frames: frames of a clip.
        size: height and width of a clip in pixels; stickers of another shape are fitted in and padded with clear.
        transform: see :data:`ClipTransform`; its generator depends on (seed, pass, row) alone.
        seed: of all chance.
        training: choose frames at random; otherwise evenly over the whole sticker, see
            :func:`glassine.data.frame_sampling.sample_frames`.

    Raises:
        UserError: no sticker at all; on reading, a hundred damaged stickers in a row.
    """

    def __init__(
        self,
        parts: Sequence[Clips],
        num_frames: int,
        size: tuple[int, int],
        transform: ClipTransform,
        seed: int = 0,
        training: bool = False,
    ) -> None:
        self.parts = list(parts)
        self.num_frames = num_frames
        self.size = size
        self.transform = transform
        self.seed = seed
        self.training = training
        self._ends = np.cumsum([len(part) for part in self.parts])
        if not self.parts or not self._ends[-1]:
            raise UserError("there is no sticker to load; check `root`, the split names, `limit` and `procedural`")
        # Shared with worker processes, so that damage met there is known here
        self._flags = torch.zeros(len(self), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def fingerprint(self) -> str:
        """Changes with the stickers, their order, and the seed."""
        names = [self.seed, *(self._name(row) for row in range(len(self)))]
        return hashlib.blake2b(repr(names).encode(), digest_size=6).hexdigest()

    @property
    def num_damaged(self) -> int:
        """How many damaged stickers have been met so far, in all workers of this process."""
        return int(self._flags.sum())

    @property
    def damaged(self) -> dict[str, str]:
        """Name -> reason, of the damaged stickers met so far (each is read once more to find the reason)."""
        return {self._name(row): self._reason(row) for row in self._flags.nonzero().flatten().tolist()}

    def damage_line(self, most: int = 10) -> str:
        """One line that counts and names them."""
        damaged = self.damaged
        named = [f"{name} ({reason})" for name, reason in list(damaged.items())[:most]]
        more = f" and {len(damaged) - most} more" if len(damaged) > most else ""
        return f"{len(damaged)} of {len(self)} are damaged, the next one stood in: {printable(', '.join(named))}{more}"

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        pass_number, row = (0, item) if isinstance(item, int) else item
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} asked for; there are {len(self)}")
        for candidate in range(row % len(self), row % len(self) + min(len(self), _MOST_REPLACEMENTS)):
            candidate %= len(self)
            if self._flags[candidate]:
                continue
            try:
                return self._sample(pass_number, candidate)
            except _Damaged:
                self._flags[candidate] = 1
        raise UserError(f"no readable sticker near {self._name(row)}: {self._reason(row)}; check or rebuild the shards")

    def _sample(self, pass_number: int, row: int) -> dict[str, Any]:
        generator = sample_generator(self.seed, pass_number, row)
        frames, fps, info = self._read(pass_number, row, generator if self.training else None)
        frames = resize_frames(frames, *self.size, keep_shape=True)
        return {
            **self.transform(frames, generator),
            "caption": info.caption,
            "trigger_words": list(info.trigger_words),
            "domain": info.domain,
            "fps": fps,
            "key": info.key,
            "group": info.group,
        }

    def _read(
        self, pass_number: int, row: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        part, place = self._find(row)
        try:
            return part.clip(place, pass_number, self.num_frames, generator)
        except (ValueError, OSError, UserError) as error:
            raise _Damaged(str(error)) from error

    def _find(self, row: int) -> tuple[Clips, int]:
        number = int(np.searchsorted(self._ends, row, side="right"))
        return self.parts[number], row - int(self._ends[number] - len(self.parts[number]))

    def _name(self, row: int) -> str:
        part, place = self._find(row)
        return part.name(place)

    def _reason(self, row: int) -> str:
        try:
            self._read(0, row, None)
        except _Damaged as error:
            return str(error)
        return "readable again"


class _Damaged(Exception):
    """A sticker that cannot be read, as opposed to a transform that fails: that is an error of the program."""


def collate_stickers(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack tensors (`b ...`), make numbers one tensor `b`, and gather everything else into lists."""
    batch: dict[str, Any] = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        if isinstance(first, torch.Tensor):
            batch[name] = torch.stack(values)
        elif isinstance(first, int | float):
            batch[name] = torch.tensor(values)
        else:
            batch[name] = values
    return batch


def one_thread(worker: int) -> None:
    """For `worker_init_fn`: workers run side by side already; more threads would only fight over the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


Motion = Callable[[Tensor, Tensor], Tensor]


class StickerViews(Dataset[dict[str, Any]]):
    """Sample (view, row) is the sticker `row`, its frames drawn as training draws them in pass `view`.

    Samples are those of `StickerDataset`, with `clip` `f 3 h w` in [0, 1] and `caption_zh`, which is empty where there
    is none; and with `motion` `f-1`, the amount of each step from frame to frame, where it is measured.

    Args:
        stickers: which; their transform is left out.
        background: red, green, blue in 0..255. With None a clip is `f 4 h w`: straight, color-padded, alpha last.
        motion: measures `b` amounts of motion of straight colors `b f 3 h w` and alpha `b f 1 h w`, as
            `glassine.nn.conditioning.motion_amount`.
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

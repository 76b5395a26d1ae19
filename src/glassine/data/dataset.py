"""Stickers as a map-style dataset: read, choose frames, resize, transform; damaged ones are replaced and named."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from glassine.data.clips import Clips
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.shards import StickerInfo, resize_frames
from glassine.errors import UserError, printable

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

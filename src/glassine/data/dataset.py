"""Stickers as map-style datasets: read, choose frames, resize, transform; damaged stickers are replaced and named.

:class:`Stickers` is the one to use in YAMLs (shards, rendered stickers, or both); :class:`StickerDataset` is the
implementation below it, over any :class:`~glassine.data.clips.Clips`; :class:`LazyDataset` is the base class of all
datasets of the data module.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from glassine.data.clips import Clips, ProceduralClips, ShardClips, spread_rows
from glassine.data.frame_sampling import Span, check_rate
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.shards import StickerInfo, StickerShards, resize_frames
from glassine.data.sticker import SPLITS, Stills, checked_split
from glassine.data.transforms import ColorPadding, StickerTransform, evaluation_conditions
from glassine.utils.errors import UserError, printable

ClipTransform = Callable[[np.ndarray, torch.Generator], Mapping[str, Any]]
"""Frames `f h w 4` uint8 and a generator to a dict of tensors (and strings)."""

_MOST_REPLACEMENTS = 100


class LazyDataset(Dataset[dict[str, Any]]):
    """A dataset that opens its files on first use, so that a YAML may name data that a verb does not need.

    Samples are indexed by row, or by (epoch, row) as in :class:`~glassine.data.sampler.ResumableSampler`.

    Attributes:
        seed: random seed; None uses the data module's, or 0 without one.
        num_damaged: damaged samples found so far, in all workers of this process.
    """

    seed: int | None = 0
    num_damaged = 0
    _is_open = False

    def setup(self) -> Self:
        """Open the files, unless they are open; returns the dataset itself.

        Raises:
            UserError: the data is missing or does not match the arguments.
        """
        if not self._is_open:
            self.seed = self.seed or 0
            self._open()
            self._is_open = True
        return self

    @abstractmethod
    def _open(self) -> None:
        """Open the underlying data."""

    def evaluation(self, split: str) -> "LazyDataset":
        """The default evaluation dataset if a YAML gives none.

        Args:
            split: `val` or `test`.

        Raises:
            UserError: there is no such dataset.
        """
        raise UserError(f"data.{split} must be a dataset where {type(self).__name__} stands before it, got null")

    def damage_line(self) -> str:
        """One line that counts and names damaged samples; empty if there are none or damage is an error."""
        return ""


class StickerDataset(LazyDataset):
    """Samples for tasks.

    A sample is the transform's dict plus ``caption`` (``[Domain]\\t[Description]``), ``trigger_words`` (list of str),
    ``domain``, ``fps`` (float), ``key`` and ``group``.

    A damaged sticker is replaced by the next readable one (row + 1, row + 2, ..., wrapping around), with that one's own
    randomness, so the same rows always give the same batches. It is counted in shared memory across workers, and named
    by :attr:`damaged`.

    Args:
        parts: sources of stickers, concatenated.
        num_frames: frames per clip.
        size: height and width of a clip in pixels; stickers with another aspect ratio are fitted and padded with
            transparency.
        transform: see :data:`ClipTransform`; its generator only depends on (seed, epoch, row).
        seed: random seed.
        training: choose frames at random; otherwise evenly over the whole sticker, see
            :func:`glassine.data.frame_sampling.sample_frames`.

    Raises:
        UserError: no stickers; on reading, a hundred damaged stickers in a row.
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
        self.setup()

    def _open(self) -> None:
        self._ends = np.cumsum([len(part) for part in self.parts])
        if not self.parts or not self._ends[-1]:
            raise UserError("there must be at least one sticker, got none: check root, split, limit and procedural")
        # shared with worker processes, so that damage found there is known here
        self._flags = torch.zeros(int(self._ends[-1]), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        self.setup()
        return int(self._ends[-1])

    def fingerprint(self) -> str:
        """Changes with the stickers, their order, and the seed."""
        names = [self.seed, *(self._name(row) for row in range(len(self)))]
        return hashlib.blake2b(repr(names).encode(), digest_size=6).hexdigest()

    @property
    def num_damaged(self) -> int:  # type: ignore[override]
        """Number of damaged stickers found so far, in all workers of this process."""
        return int(self._flags.sum()) if self._is_open else 0

    @property
    def damaged(self) -> dict[str, str]:
        """Name -> reason for the damaged stickers found so far (each is read again to find the reason)."""
        return {self._name(row): self._reason(row) for row in self._flags.nonzero().flatten().tolist()}

    def damage_line(self, most: int = 10) -> str:
        """One line that counts and names them."""
        damaged = self.damaged
        named = [f"{name} ({reason})" for name, reason in list(damaged.items())[:most]]
        more = f" and {len(damaged) - most} more" if len(damaged) > most else ""
        return f"{len(damaged)} of {len(self)} are damaged, replaced by the next: {printable(', '.join(named))}{more}"

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        epoch, row = (0, item) if isinstance(item, int) else item
        if not -len(self) <= row < len(self):
            raise IndexError(f"row must be below {len(self)}, got {row}")
        for candidate in range(row % len(self), row % len(self) + min(len(self), _MOST_REPLACEMENTS)):
            candidate %= len(self)
            if self._flags[candidate]:
                continue
            try:
                return self._sample(epoch, candidate)
            except _Damaged:
                self._flags[candidate] = 1
        raise UserError(f"no readable sticker near {self._name(row)}: {self._reason(row)}; check or rebuild the shards")

    def _sample(self, epoch: int, row: int) -> dict[str, Any]:
        generator = sample_generator(self.seed or 0, epoch, row)
        frames, fps, info = self._read(epoch, row, generator if self.training else None)
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

    def _read(self, epoch: int, row: int, generator: torch.Generator | None) -> tuple[np.ndarray, float, StickerInfo]:
        part, place = self._find(row)
        try:
            return part.clip(place, epoch, self.num_frames, generator)
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
    """A sticker that cannot be read, as opposed to a failing transform, which is a bug."""


class Stickers(StickerDataset):
    """Stickers from shards, rendered ones, or both, for use in YAMLs; samples are those of :class:`StickerDataset`.

    Args:
        root: shard folder or folders; None for rendered stickers only.
        split: `train`, `val` or `test`.
        size: height and width of a clip in pixels.
        num_frames: frames of a clip; 8 as in VSD2M and ILDiff.
        transform: None is :class:`~glassine.data.transforms.StickerTransform` with its defaults for training, and the
            evaluation condition `white` otherwise.
        stills: also use single-frame stickers, or `only` those.
        limit: maximum number of stickers from `root`, evenly spaced; None for all.
        procedural: rendered stickers to add; in training new ones in every epoch.
        families: which kinds of them; None for all.
        training: choose frames at random; None: where the split is `train`.
        seed: of frames, transforms and rendered stickers; None takes the data module's.
        domains: of the stickers from `root` only those of these domains, such as `cartoon` and `real`; None for all.
        fps: frames per second of a clip, for networks that know one rate, such as AnimateDiff's motion modules; None
            spreads the frames over the chosen part of the sticker, see `span`.
        span: `part` takes a random part of the sticker in training, `whole` always all of it.

    Raises:
        UserError: neither `root` nor `procedural`, an unknown split, numbers out of range; when opened, errors of
            :class:`~glassine.data.shards.StickerShards`, or a split without stickers.
    """

    def __init__(
        self,
        root: str | list[str] | None = None,
        split: str = "train",
        size: tuple[int, int] = (256, 256),
        num_frames: int = 8,
        transform: ClipTransform | None = None,
        stills: Stills = False,
        limit: int | None = None,
        procedural: int = 0,
        families: list[str] | None = None,
        training: bool | None = None,
        seed: int | None = None,
        domains: list[str] | None = None,
        fps: float | None = None,
        span: Span = "part",
    ) -> None:
        if procedural < 0:
            raise UserError(f"procedural must be 0 or more, got {procedural}")
        if root is None and procedural == 0:
            raise UserError("root must be a folder of shards or procedural at least 1, got neither")
        for name, value in (("num_frames", num_frames), ("size", min(size)), ("limit", limit)):
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {size if name == 'size' else value}")
        check_rate(fps, span)
        self.domains, self.fps, self.span = domains, fps, span
        self.root, self.split = root, checked_split(split)
        self.size, self.num_frames = (int(size[0]), int(size[1])), num_frames
        self.stills, self.limit, self.procedural, self.families = stills, limit, procedural, families
        self.training = split == "train" if training is None else training
        usual = StickerTransform() if self.training else evaluation_conditions()[0]
        self.transform: ClipTransform = transform or usual
        self.padding: ColorPadding | None = getattr(transform, "padding", None)
        self.seed = seed

    def _open(self) -> None:
        self.parts = []
        if self.root is not None:
            shards = StickerShards(self.root)
            rows = spread_rows(shards.select(self.split, self.stills, self.domains), self.limit)
            if not len(rows):
                of = "" if self.domains is None else f" and domain {' or '.join(map(repr, self.domains))}"
                raise UserError(
                    f"{self.root} has no sticker of split {self.split!r}{of}: see `glassine data info`, or set stills "
                    "where all are of one frame"
                )
            self.parts.append(ShardClips(shards, rows, self.fps, self.span))
        if self.procedural:
            # a separate series per split: test stickers are never trained on
            series = (self.seed or 0) * len(SPLITS) + SPLITS.index(self.split)
            how = (max(self.size), self.families, self.fps, self.span)
            self.parts.append(ProceduralClips(self.procedural, series, *how))
        super()._open()

    def evaluation(self, split: str) -> "Stickers":
        """All stickers of the split, without augmentation and in order.

        After a dataset for training it has no stills and the transform is the default with its color padding; where
        all are rendered, it has an eighth as many, at least 8. After one for evaluation transform, stills and number
        are the same. Domains, frame rate and span are the same after both.
        """
        procedural = 0 if self.root is not None else self.procedural
        transform, stills = self.transform, self.stills
        if self.training:
            usual = evaluation_conditions(padding=self.padding)[0] if self.padding is not None else None
            transform, stills = usual, False  # type: ignore[assignment]
        if procedural and self.training:
            procedural = max(8, procedural // 8)
        return Stickers(
            self.root, split, self.size, self.num_frames, transform, stills, None, procedural, self.families,
            training=False, seed=self.seed, domains=self.domains, fps=self.fps, span=self.span,
        )  # fmt: skip


def collate_stickers(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack tensors (`b ...`), turn numbers into one tensor `b`, and collect everything else in lists."""
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
    """For `worker_init_fn`: workers already run in parallel; more threads would only compete for cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)

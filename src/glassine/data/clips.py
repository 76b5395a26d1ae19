"""Sources of a dataset's stickers: rows of shards, or the unlimited procedural source."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from glassine.data.frame_sampling import Span, sample_frames
from glassine.data.shards import StickerInfo, StickerShards
from glassine.data.sources.procedural import ProceduralStickers

_NO_END = 2**40


class Clips(Protocol):
    """The interface a dataset reads from: sticker `row` in an epoch."""

    def __len__(self) -> int:
        """Number of stickers."""
        ...

    def name(self, row: int) -> str:
        """Name of a sticker, for messages."""
        ...

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """Chosen frames `f h w 4` uint8, their frames per second, and the metadata; raises ValueError if damaged."""
        ...


class ShardClips:
    """Stickers from shards.

    Args:
        shards: where they are.
        rows: which of them.
        fps: see :func:`~glassine.data.frame_sampling.sample_frames`.
        span: likewise.
    """

    def __init__(
        self,
        shards: StickerShards,
        rows: Sequence[int] | np.ndarray,
        fps: float | None = None,
        span: Span = "part",
    ) -> None:
        self.shards, self.fps, self.span = shards, fps, span
        self.rows = np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, row: int) -> str:
        """Shard and key."""
        return self.shards.name(int(self.rows[row]))

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See :class:`Clips`; the same stickers in every epoch."""
        place = int(self.rows[row])
        frames, fps = sample_frames(self.shards.durations(place), num_frames, generator, self.fps, self.span)
        return self.shards.read(place, frames), fps, self.shards.metadata(place)


class ProceduralClips:
    """Rendered stickers; new ones in every epoch, so training never sees one twice.

    Args:
        length: number of stickers per epoch.
        seed: seed of the series; use a different one for each split.
        size: longer side in pixels.
        families: see :class:`~glassine.data.sources.procedural.ProceduralStickers`; None for all.
        fps: see :func:`~glassine.data.frame_sampling.sample_frames`.
        span: likewise.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        size: int,
        families: Sequence[str] | None = None,
        fps: float | None = None,
        span: Span = "part",
    ) -> None:
        self.length, self.fps, self.span = length, fps, span
        self.source = ProceduralStickers(seed=seed, size=size, length=_NO_END, families=families)

    def __len__(self) -> int:
        return self.length

    def name(self, row: int) -> str:
        """Its number."""
        return f"procedural {row}"

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See :class:`Clips`; epoch e starts at sticker e * length."""
        number = (epoch * self.length + row) % _NO_END
        about = self.source.info(number)
        frames, fps = sample_frames(about["durations"], num_frames, generator, self.fps, self.span)
        side = self.source.size
        info = StickerInfo.from_json(about["group"], about, tuple(about["durations"]), side, side)
        return self.source.render(number, frames), fps, info


def spread_rows(rows: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` of the `rows`, evenly spaced; None for all."""
    if limit is None or len(rows) <= limit:
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]

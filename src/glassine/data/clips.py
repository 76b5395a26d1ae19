"""Where a dataset's stickers come from: rows of shards, or the endless procedural source."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from glassine.data.frame_sampling import frames_at, sample_frames
from glassine.data.shards import StickerInfo, StickerShards
from glassine.data.sources.procedural import ProceduralStickers

_NO_END = 2**40


class Clips(Protocol):
    """What a dataset reads from: sticker `row` in an epoch."""

    def __len__(self) -> int:
        """How many stickers there are."""
        ...

    def name(self, row: int) -> str:
        """For messages."""
        ...

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """Chosen frames `f h w 4` uint8, their frames per second, and the metadata; ValueError where damaged."""
        ...


class ShardClips:
    """Stickers from shards.

    Args:
        shards: where they are.
        rows: which of them.
        fps: frames a second of the clips, from the sticker's start; None spreads them, see `sample_frames`.
    """

    def __init__(self, shards: StickerShards, rows: Sequence[int] | np.ndarray, fps: float | None = None) -> None:
        self.shards, self.fps = shards, fps
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
        frames, fps = chosen_frames(self.shards.durations(place), num_frames, generator, self.fps)
        return self.shards.read(place, frames), fps, self.shards.metadata(place)


class ProceduralClips:
    """Rendered stickers; new ones in every epoch, so a training never sees one twice.

    Args:
        length: how many there are in an epoch.
        seed: of the series; give each split its own.
        size: longer side in pixels.
        families: see :class:`~glassine.data.sources.procedural.ProceduralStickers`; None for all.
        fps: see :class:`ShardClips`.
    """

    def __init__(
        self, length: int, seed: int, size: int, families: Sequence[str] | None = None, fps: float | None = None
    ) -> None:
        self.length, self.fps = length, fps
        self.source = ProceduralStickers(seed=seed, size=size, length=_NO_END, families=families)

    def __len__(self) -> int:
        return self.length

    def name(self, row: int) -> str:
        """Its number."""
        return f"procedural {row}"

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See :class:`Clips`; epoch e shows the stickers from e * length on."""
        number = (epoch * self.length + row) % _NO_END
        about = self.source.info(number)
        frames, fps = chosen_frames(about["durations"], num_frames, generator, self.fps)
        side = self.source.size
        info = StickerInfo.from_json(about["group"], about, tuple(about["durations"]), side, side)
        return self.source.render(number, frames), fps, info


def chosen_frames(
    durations: Sequence[int], num_frames: int, generator: torch.Generator | None, fps: float | None
) -> tuple[list[int], float]:
    """Frames and their rate: `frames_at` where a rate is asked for, `sample_frames` otherwise."""
    if fps is None:
        return sample_frames(durations, num_frames, generator)
    return frames_at(durations, num_frames, fps), fps


def spread_rows(rows: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` of the `rows`, evenly spread over all; None for all."""
    if limit is None or len(rows) <= limit:
        return rows
    return rows[np.linspace(0, len(rows) - 1, limit).round().astype(np.int64)]

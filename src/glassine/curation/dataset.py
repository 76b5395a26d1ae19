"""Curated stickers for training, drawn by their keyframes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glassine.curation.keyframes import sample_keyframes
from glassine.data.clips import ShardClips
from glassine.data.dataset import Stickers
from glassine.data.shards import StickerInfo, StickerShards
from glassine.data.shards.index import parse_info
from glassine.data.shards.tar_members import BLOCK
from glassine.utils.errors import UserError


class KeyframeClips(ShardClips):
    """Stickers of shards, whose clips are their keyframes in a share of the draws.

    Args:
        clips: the same stickers, drawn evenly in time; so are those without keyframes.
        share: of the draws that take keyframes, 0 to 1.
    """

    def __init__(self, clips: ShardClips, share: float = 1.0) -> None:
        super().__init__(clips.shards, clips.rows, clips.fps, clips.span)
        self.share = share

    def clip(
        self, row: int, epoch: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See `glassine.data.clips.Clips`."""
        place = int(self.rows[row])
        index = keyframe_index(self.shards, place) if self.share else []
        if not index:
            return super().clip(row, epoch, num_frames, generator)
        frames, fps = sample_keyframes(self.shards.durations(place), index, num_frames, generator, self.share)
        return self.shards.read(place, frames), fps, self.shards.metadata(place)


def keyframe_index(shards: StickerShards, row: int) -> list[int]:
    """The keyframes in a sticker's JSON, none where it has no index."""
    offset, size = shards._infos[row].tolist()
    if not size:
        return []
    content = parse_info(shards._pread(row, [(offset - BLOCK, size + BLOCK)])[0][BLOCK:])
    index = content.get("keyframes")
    return [place for place in index if isinstance(place, int)] if isinstance(index, list) else []


class CuratedStickers(Stickers):
    """A split of a curated data set whose clips are keyframes in a share of the draws, for `data.train` of a YAML.

    Args:
        keyframes: share of the draws that take keyframes, 0 to 1. Evaluation takes none: its frames are evenly spaced.
        **others: as for `glassine.data.dataset.Stickers`; `domains` chooses real or cartoon stickers.

    Raises:
        UserError: see `glassine.data.dataset.Stickers`; a share outside of [0, 1].
    """

    def __init__(self, keyframes: float = 0.5, **others: Any) -> None:
        if not 0 <= keyframes <= 1:
            raise UserError(f"keyframes must be in [0, 1], got {keyframes:g}")
        self.keyframes = keyframes
        super().__init__(**others)

    def _open(self) -> None:
        super()._open()
        self.parts = [
            KeyframeClips(part, self.keyframes) if isinstance(part, ShardClips) else part for part in self.parts
        ]

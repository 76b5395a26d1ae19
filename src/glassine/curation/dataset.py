"""Curated stickers for training: of some domains, by their keyframes, without a test set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from glassine.curation.keyframes import sample_keyframes
from glassine.data.clips import ShardClips
from glassine.data.dataset import ClipTransform, StickerDataset
from glassine.data.shards import StickerInfo, StickerShards
from glassine.data.shards.index import parse_info
from glassine.data.shards.tar_members import BLOCK
from glassine.data.sticker import Stills, checked_split
from glassine.data.transforms import StickerTransform
from glassine.utils.errors import UserError


class KeyframeClips(ShardClips):
    """Stickers of shards, whose clips are their keyframes in a share of the draws.

    Args:
        shards: where they are.
        rows: which of them.
        share: of the draws that take keyframes, 0 to 1; stickers without such are drawn evenly in time.
    """

    def __init__(self, shards: StickerShards, rows: Sequence[int] | np.ndarray, share: float = 1.0) -> None:
        super().__init__(shards, rows)
        if not 0 <= share <= 1:
            raise UserError(f"share must be in [0, 1], got {share:g}")
        self.share = share

    def clip(
        self, row: int, pass_number: int, num_frames: int, generator: torch.Generator | None
    ) -> tuple[np.ndarray, float, StickerInfo]:
        """See `glassine.data.clips.Clips`."""
        place = int(self.rows[row])
        index = keyframe_index(self.shards, place) if self.share else []
        if not index:
            return super().clip(row, pass_number, num_frames, generator)
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


class CuratedStickers(StickerDataset):
    """A split of a curated data set, for `data.train`, `data.val` or `data.test` of a training's YAML.

    VSD2M, "Datasets": "the cartoon and real GIFs in VSD2M are used separately as training sets".

    Args:
        root: the data set's folder.
        domains: of which domains; None for all.
        split: `train`, `val` or `test`.
        num_frames: frames of a clip.
        size: height and width of a clip in pixels.
        keyframes: share of the draws that take keyframes.
        stills: whether stickers of one frame are taken, or `only` those.
        transform: None is `glassine.data.transforms.StickerTransform`.
        seed: of all chance.
        training: choose frames at random.

    Raises:
        UserError: no shards, or no sticker of these domains in the split.
    """

    def __init__(
        self,
        root: str | list[str],
        domains: list[str] | None = None,
        split: str = "train",
        num_frames: int = 8,
        size: tuple[int, int] = (256, 256),
        keyframes: float = 0.0,
        stills: Stills = False,
        transform: ClipTransform | None = None,
        seed: int = 0,
        training: bool = True,
    ) -> None:
        shards = StickerShards(root)
        rows = shards.select(checked_split(split), stills)
        if domains is not None:
            rows = np.array([row for row in rows.tolist() if shards.metadata(row).domain in domains], np.int64)
        if not len(rows):
            raise UserError(
                f"{root} has no sticker of domains {domains} in split {split!r}; see `glassine data report`"
            )
        clips = KeyframeClips(shards, rows, keyframes)
        super().__init__(
            [clips], num_frames, (int(size[0]), int(size[1])), transform or StickerTransform(), seed, training
        )

"""What generated clips are compared with: held-out stickers with their captions."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from glassine.bench.held_out import unique_samples
from glassine.data.clips import Clips, ProceduralClips, ShardClips, spread_rows
from glassine.data.dataset import StickerDataset
from glassine.data.shards import StickerShards
from glassine.data.sticker import SPLITS, Split
from glassine.data.transforms import EvalCondition, FlatBackground
from glassine.utils.errors import UserError

SETS = {"stickers": "real stickers", "procedural": "procedural stickers"}
WHITE = FlatBackground((1.0, 1.0, 1.0), "white")


@dataclass(frozen=True)
class CaptionedClip:
    """One held-out sticker.

    Attributes:
        key: of the sticker.
        caption: `[Domain]\\t[Description]`.
        trigger_words: its search words.
        clip: `f 3 h w` in [0, 1], on white.
        rgba: `f 4 h w` in [0, 1]: straight colors, padded where it is clear (`glassine.data.alpha.pad_color`).
        fps: frames a second of these, which are spread over the whole sticker.
    """

    key: str
    caption: str
    trigger_words: tuple[str, ...]
    clip: Tensor
    rgba: Tensor
    fps: float = 8.0


class TestSet:
    """Animated stickers of a held-out split, on white, evenly spread over all.

    VSD2M has two test sets, of real scenes (VSD-R) and of cartoons (VSD-C); here they are `stickers`, the shards' own,
    and `procedural`, rendered ones of a series that training never meets.

    Args:
        name: key of `SETS`.
        root: shard folder, for `stickers`.
        split: `test`; `val` for choosing settings.
        count: how many clips; fewer where the split has fewer.
        size: height and width in pixels.
        num_frames: of each clip, evenly spaced over the sticker.

    Raises:
        UserError: an unknown name, no such folder, no sticker in the split, or numbers out of range.
    """

    __test__ = False  # pytest takes the name for one of its own

    def __init__(
        self,
        name: str,
        root: str = "data/fluent",
        split: Split = "test",
        count: int = 96,
        size: int = 128,
        num_frames: int = 8,
    ) -> None:
        if name not in SETS:
            raise UserError(f"test set {name!r} came; choose from {', '.join(SETS)}")
        if count < 2 or num_frames < 1 or size < 16:
            raise UserError(f"{count} clips of {num_frames} frames and {size} px came; give at least 2, 1 and 16")
        self.name, self.title, self.split, self.size, self.num_frames = name, SETS[name], split, size, num_frames
        part: Clips
        if name == "procedural":
            part = ProceduralClips(count, SPLITS.index(split), size)
        else:
            shards = StickerShards(root)
            rows = spread_rows(shards.select(split, stills=False), count)
            if not len(rows):
                raise UserError(f"{root} has no animated sticker in split {split!r}; see `glassine data info {root}`")
            part = ShardClips(shards, rows)
        self.dataset = StickerDataset([part], num_frames, (size, size), EvalCondition("white", WHITE))

    @cached_property
    def clips(self) -> list[CaptionedClip]:
        """All clips; a damaged sticker is left out."""
        samples = unique_samples([self.dataset[row] for row in range(len(self.dataset))])
        return [captioned(sample) for sample in samples]

    def stacked(self) -> Tensor:
        """All clips, `n f 3 h w`."""
        return torch.stack([one.clip for one in self.clips])

    def fingerprint(self) -> str:
        """Changes with the stickers and with how they are shown."""
        what = [(one.key, one.caption) for one in self.clips], self.size, self.num_frames
        state = hashlib.blake2b(repr(what).encode(), digest_size=6)
        state.update((self.clips[0].clip * 255).round().byte().numpy().tobytes())
        return state.hexdigest()


def captioned(sample: dict[str, Any]) -> CaptionedClip:
    """A sample of the data set."""
    rgba = torch.cat([sample["foreground"], sample["alpha"]], dim=1)  # f 4 h w
    return CaptionedClip(
        sample["key"], sample["caption"], tuple(sample["trigger_words"]), sample["clip"], rgba, float(sample["fps"])
    )

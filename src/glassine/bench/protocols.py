"""What methods are compared on: evaluation sets, their conditions, and intervals of the means.

An `EvalSet` has conditions, the columns or pages of a table: for mattes, what held-out stickers lie on and how
they are damaged (`AlphaEvalSet`); for generated clips, sets of held-out stickers whose captions are prompts
(`VideoEvalSet`).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glassine.data.clips import Clips, ProceduralClips, ShardClips, spread_rows
from glassine.data.dataset import StickerDataset
from glassine.data.shards import StickerShards
from glassine.data.sticker import SPLITS, Split
from glassine.data.transforms import EvalCondition, FlatBackground, evaluation_conditions
from glassine.utils.errors import UserError

GLASS = "procedural_glass"
CONDITION_TITLES = {
    "white": "white",
    "gray": "gray",
    "own_color": "own color",
    "own_color_jpeg75": "own color, JPEG 75",
    "white_gif_palette": "GIF palette on white",
    "vae_decoded": "VAE-decoded on white",
    "faded": "faded on white",
    "moving_background": "moving background",
    GLASS: "procedural glass on white",
    "procedural_line_art": "procedural line art on white",
    "procedural_flat": "procedural flat drawing on white",
    "procedural_photo": "procedural photo cut-out on white",
    "procedural_group": "procedural, several see-through things on white",
}
PROCEDURAL = "procedural_"  # followed by a family of the procedural source
SETS = {"stickers": "real stickers", "procedural": "procedural stickers"}
WHITE = FlatBackground((1.0, 1.0, 1.0), "white")


class EvalSet(ABC):
    """Held-out stickers under named conditions.

    Attributes:
        split: of the stickers.
        size: height and width, pixels.
        num_frames: of each clip.
        conditions: names, in the order of the table.
    """

    split: Split
    size: int
    num_frames: int
    conditions: tuple[str, ...]

    @abstractmethod
    def keys(self) -> list[str]:
        """The stickers' keys that records name."""

    @abstractmethod
    def fingerprint(self, condition: str) -> str:
        """Changes with the stickers and with what the condition makes of them."""


class AlphaEvalSet(EvalSet):
    """One animated sticker of each held-out group (its first), so that skin tones do not count sixfold.

    Args:
        root: folder of shards, or several.
        split: `test`; `val` for choosing settings.
        size: height and width in pixels.
        num_frames: frames of each clip, evenly spaced over the sticker.
        limit: most groups, evenly spread over all; None for all.
        round_trip: encodes and decodes `f 3 h w` in [0, 1]; None leaves the condition `vae_decoded` out.

    Attributes:
        name: of the folder, or of all of them.
        rows: the stickers' rows in the shards.
        conditions: names, in the table's order.

    Raises:
        UserError: no such folder, no sticker in the split, or numbers out of range.
    """

    def __init__(
        self,
        root: str | Sequence[str],
        split: Split = "test",
        size: int = 256,
        num_frames: int = 8,
        limit: int | None = None,
        round_trip: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if size < 16 or size % 16 or num_frames < 1 or (limit is not None and limit < 1):
            raise UserError(
                f"size must be a multiple of 16, num_frames and limit at least 1, got {size}, {num_frames} and {limit}"
            )
        self.split, self.size, self.num_frames = split, size, num_frames
        roots = [root] if isinstance(root, str) else list(root)
        self.name = "+".join(Path(folder).name for folder in roots)
        self.shards = StickerShards(roots)
        self.rows = first_of_groups(self.shards, split, limit)
        if not len(self.rows):
            raise UserError(
                f"{root} must have animated stickers in split {split!r}, got none: see `glassine data info`"
            )
        self._transforms = {condition.name: condition for condition in evaluation_conditions(round_trip)}
        known = self._transforms.keys()
        self.conditions = tuple(n for n in CONDITION_TITLES if n in known or n.startswith(PROCEDURAL))

    def __len__(self) -> int:
        return len(self.rows)

    def dataset(self, condition: str) -> StickerDataset:
        """The clips of one condition, as samples of the data module.

        Raises:
            UserError: an unknown condition.
        """
        if condition not in self.conditions:
            raise UserError(f"condition must be one of {', '.join(self.conditions)}, got {condition!r}")
        if condition.startswith(PROCEDURAL):
            return self.procedural(condition.removeprefix(PROCEDURAL))
        clips = ShardClips(self.shards, self.rows)
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def procedural(self, family: str, condition: str = "white") -> StickerDataset:
        """As many procedural stickers of a family as there are real ones, under a condition for those."""
        # the seed of this split in the data module, whose training split has another
        clips = ProceduralClips(len(self), SPLITS.index(self.split), self.size, [family])
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def keys(self) -> list[str]:
        """The stickers' keys."""
        return [self.shards.key(int(row)) for row in self.rows]

    def fingerprint(self, condition: str) -> str:
        """Changes with the stickers, and with what the condition makes of the first of them."""
        sample = self.dataset(condition)[0]
        state = hashlib.blake2b(repr((self.keys(), self.size, self.num_frames)).encode(), digest_size=6)
        for name in ("clip", "alpha"):
            state.update((sample[name] * 255).round().byte().numpy().tobytes())
        return state.hexdigest()


def first_of_groups(shards: StickerShards, split: Split, limit: int | None = None) -> np.ndarray:
    """Rows of the first animated sticker of each group of a split; at most `limit`, evenly spread. `n` int64."""
    first: dict[str, int] = {}
    for row in shards.select(split, stills=False).tolist():
        first.setdefault(shards.group(row), row)
    return spread_rows(np.array(list(first.values()), np.int64), limit)


def unique_samples(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sticker once: the data set puts the next one in the place of a damaged one."""
    return list({sample["key"]: sample for sample in samples}.values())


@dataclass(frozen=True)
class CaptionedClip:
    """One held-out sticker.

    Attributes:
        key: of the sticker.
        caption: `[Domain]\\t[Description]`.
        trigger_words: its search words.
        clip: `f 3 h w` in [0, 1], on white.
        rgba: `f 4 h w` in [0, 1]: straight colors, padded where it is clear (`glassine.data.alpha.pad_color`).
        fps: frames a second of the clip, whose frames are spread over the whole sticker.
    """

    key: str
    caption: str
    trigger_words: tuple[str, ...]
    clip: Tensor
    rgba: Tensor
    fps: float = 8.0


class CaptionedSet:
    """Animated stickers of a held-out split, on white, evenly spread over all.

    VSD2M has two test sets, of real scenes (VSD-R) and of cartoons (VSD-C); here they are `stickers`, those of the
    shards, and `procedural`, rendered with seeds that training does not use.

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
            raise UserError(f"test set must be one of {', '.join(SETS)}, got {name!r}")
        if count < 2 or num_frames < 1 or size < 16:
            raise UserError(f"count must be at least 2, num_frames 1 and size 16, got {count}, {num_frames} and {size}")
        self.name, self.title, self.split, self.size, self.num_frames = name, SETS[name], split, size, num_frames
        part: Clips
        if name == "procedural":
            part = ProceduralClips(count, SPLITS.index(split), size)
        else:
            shards = StickerShards(root)
            rows = spread_rows(shards.select(split, stills=False), count)
            if not len(rows):
                raise UserError(
                    f"{root} must have animated stickers in split {split!r}, got none: see `glassine data info`"
                )
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


class VideoEvalSet(EvalSet):
    """Sets of captioned stickers, each a condition.

    Args:
        sets: by name; of one size, number of frames and split.
    """

    def __init__(self, sets: Mapping[str, CaptionedSet]) -> None:
        self.sets = dict(sets)
        first = next(iter(self.sets.values()))
        self.split, self.size, self.num_frames = first.split, first.size, first.num_frames
        self.conditions = tuple(self.sets)

    def keys(self) -> list[str]:
        """None: the fingerprint stands for the stickers."""
        return []

    def fingerprint(self, condition: str) -> str:
        """That of the set."""
        return self.sets[condition].fingerprint()

    @property
    def first_clip(self) -> CaptionedClip:
        """One clip, for measurements of time."""
        return next(iter(self.sets.values())).clips[0]


def captioned(sample: dict[str, Any]) -> CaptionedClip:
    """A sample of the data set."""
    rgba = torch.cat([sample["foreground"], sample["alpha"]], dim=1)  # f 4 h w
    return CaptionedClip(
        sample["key"], sample["caption"], tuple(sample["trigger_words"]), sample["clip"], rgba, float(sample["fps"])
    )


class Interval(NamedTuple):
    """A value and the ends of its interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


def mean_interval(values: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of one value an item, `n`.

    Args:
        values: of independent items, such as names; several stickers of one name are averaged first.
        level: of the interval.
        draws: of `n` items with replacement.
        seed: of the draws.
    """
    return ratio_interval(values, torch.ones_like(values), level, draws, seed)


def ratio_interval(over: Tensor, under: Tensor, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of `over` by the mean of `under`, where both have a value for each item: the items are drawn in pairs.

    Args:
        over: `n`.
        under: `n`, of the same items.
        level: see `mean_interval`.
        draws: see `mean_interval`.
        seed: see `mean_interval`.

    Raises:
        ValueError: other numbers of values, or a level outside (0, 1).
    """
    if over.shape != under.shape or over.ndim != 1:
        raise ValueError(f"over and under must be n and n, got {tuple(over.shape)} and {tuple(under.shape)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if not len(over):
        return Interval(*[float("nan")] * 3)
    pair = torch.stack([over, under]).double().cpu()  # 2 n
    rows = torch.randint(len(over), (draws, len(over)), generator=torch.Generator().manual_seed(seed))
    above, below = pair[:, rows].mean(dim=2)  # draws
    tail = (1 - level) / 2
    low, high = (above / below).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    value = (pair[0].mean() / pair[1].mean()).item()
    return Interval(value, low, high)

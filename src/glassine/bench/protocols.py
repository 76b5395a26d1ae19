"""Evaluation sets and their conditions.

The conditions of an `EvalSet` are the columns or pages of a table. For mattes (`AlphaEvalSet`), they are backgrounds
and kinds of damage of held-out stickers. For generated clips (`VideoEvalSet`), they are sets of held-out stickers whose
captions are the prompts.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

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
SETS = {
    "stickers": "real stickers",
    "procedural": "procedural stickers",
    "second": "real stickers of a second domain",
}
TEST_SET = "stickers"  # of the tables and plots that show a single one
SECOND = "noto-animated"  # folder of the second domain: animated Noto emoji, on which no method of a table is trained
PROCEDURAL_CLIPS = 200  # default size of the procedural test set
RATE = 8.0  # frames per second of generated clips, and so of all clips whose motion is measured
WHITE = FlatBackground((1.0, 1.0, 1.0), "white")


class EvalSet(ABC):
    """Stickers of a split under named conditions.

    Attributes:
        split: of the stickers.
        size: height and width, pixels.
        num_frames: number of frames of each clip.
        conditions: names, in the order of the table.
    """

    split: Split
    size: int
    num_frames: int
    conditions: tuple[str, ...]

    @abstractmethod
    def keys(self) -> list[str]:
        """The keys of the stickers, for records."""

    @abstractmethod
    def fingerprint(self, condition: str) -> str:
        """Hash that changes with the stickers and with their appearance under the condition."""


class AlphaEvalSet(EvalSet):
    """The first animated sticker of each group of a split; only one, so that skin tones do not count sixfold.

    Args:
        root: one or more folders of shards.
        split: `test` for published tables; `val` for choosing settings.
        size: height and width in pixels, a multiple of 16.
        num_frames: number of frames of each clip, evenly spaced over the sticker, at least 1.
        limit: maximum number of groups, evenly spread over all, at least 1; None for all.
        round_trip: encodes and decodes `f 3 h w` in [0, 1]; without it, the condition `vae_decoded` is missing.

    Attributes:
        name: names of the folders, joined by `+`.
        rows: the stickers' rows in the shards.
        conditions: names, in the order of the table.

    Raises:
        UserError: a folder does not exist, the split has no animated sticker, or a number is out of range.
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
        """The clips under one condition.

        Raises:
            UserError: the condition is unknown.
        """
        if condition not in self.conditions:
            raise UserError(f"condition must be one of {', '.join(self.conditions)}, got {condition!r}")
        if condition.startswith(PROCEDURAL):
            return self.procedural(condition.removeprefix(PROCEDURAL))
        clips = ShardClips(self.shards, self.rows)
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def procedural(self, family: str, condition: str = "white") -> StickerDataset:
        """Procedural stickers of a family, as many as there are real ones, under one of the other conditions."""
        # training, validation and test draw from disjoint series of seeds, see `glassine.data.dataset.Stickers`
        clips = ProceduralClips(len(self), SPLITS.index(self.split), self.size, [family])
        return StickerDataset([clips], self.num_frames, (self.size, self.size), self._transforms[condition])

    def keys(self) -> list[str]:
        """Keys of the stickers."""
        return [self.shards.key(int(row)) for row in self.rows]

    def fingerprint(self, condition: str) -> str:
        """Hash of the stickers' keys, the size, and the first clip under the condition."""
        sample = self.dataset(condition)[0]
        state = hashlib.blake2b(repr((self.keys(), self.size, self.num_frames)).encode(), digest_size=6)
        for name in ("clip", "alpha"):
            state.update((sample[name] * 255).round().byte().numpy().tobytes())
        return state.hexdigest()


def first_of_groups(shards: StickerShards, split: Split, limit: int | None = None) -> np.ndarray:
    """Rows, `n` int64, of the first animated sticker of each group of a split; at most `limit`, evenly spread."""
    first: dict[str, int] = {}
    for row in shards.select(split, stills=False).tolist():
        first.setdefault(shards.group(row), row)
    return spread_rows(np.array(list(first.values()), np.int64), limit)


def unique_samples(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop duplicates: the data set replaces a damaged sticker by the next one, which then occurs twice."""
    return list({sample["key"]: sample for sample in samples}.values())


@dataclass(frozen=True)
class CaptionedClip:
    """One held-out sticker with its caption.

    Attributes:
        key: of the sticker.
        caption: `[Domain]\\t[Description]`.
        trigger_words: its search words.
        clip: `f 3 h w` in [0, 1], on white.
        rgba: `f 4 h w` in [0, 1], straight, with colors padded into clear pixels (`glassine.data.alpha.pad_color`).
        fps: frames per second of the clip, whose frames are spread over the whole sticker.
        group: of the sticker.
        paced: like `rgba`, but at `RATE` frames per second from the sticker's start, for metrics of motion. None if it
            was not requested.
    """

    key: str
    caption: str
    trigger_words: tuple[str, ...]
    clip: Tensor
    rgba: Tensor
    fps: float = RATE
    group: str = ""
    paced: Tensor | None = None


class CaptionedSet:
    """The first animated sticker of each group of a held-out split, on white, with captions.

    VSD2M has two test sets, real scenes (VSD-R) and cartoons (VSD-C). Here they are `stickers`, from shards, and
    `procedural`, rendered with seeds that training does not use.

    Args:
        name: key of `SETS`.
        root: shard folder, for all but `procedural`.
        split: `test` for published tables; `val` for choosing settings.
        count: maximum number of groups, evenly spread over all, at least 2; None for all (for `procedural`,
            `PROCEDURAL_CLIPS`).
        size: height and width in pixels, at least 16.
        num_frames: number of frames of each clip, evenly spaced over the sticker, at least 1.
        paced: also sample the clips at `RATE` frames per second.

    Raises:
        UserError: the name is unknown, the folder does not exist, the split has no animated sticker, or a number is out
            of range.
    """

    def __init__(
        self,
        name: str,
        root: str = "data/fluent",
        split: Split = "test",
        count: int | None = None,
        size: int = 128,
        num_frames: int = 8,
        paced: bool = False,
    ) -> None:
        if name not in SETS:
            raise UserError(f"test set must be one of {', '.join(SETS)}, got {name!r}")
        if (count is not None and count < 2) or num_frames < 1 or size < 16:
            raise UserError(f"count must be at least 2, num_frames 1 and size 16, got {count}, {num_frames} and {size}")
        self.name, self.title, self.split, self.size, self.num_frames = name, SETS[name], split, size, num_frames
        self.root, self.paced = root, paced
        self._rows: np.ndarray | None = None
        if name != "procedural":
            self._shards = StickerShards(root)
            self._rows = first_of_groups(self._shards, split, count)
            if not len(self._rows):
                raise UserError(
                    f"{root} must have animated stickers in split {split!r}, got none: see `glassine data info`"
                )
        self._count = PROCEDURAL_CLIPS if count is None else count
        self.dataset = self.samples()

    def _part(self, fps: float | None) -> Clips:
        if self._rows is None:
            return ProceduralClips(
                self._count, SPLITS.index(self.split), self.size, fps=fps, span="start" if fps else "part"
            )
        return ShardClips(self._shards, self._rows, fps, "start" if fps else "part")

    def samples(self, fps: float | None = None, transform: EvalCondition | None = None) -> StickerDataset:
        """The stickers as a data set.

        Args:
            fps: frame rate from the sticker's start; None spreads the frames over the whole sticker.
            transform: background and damage; None for white.
        """
        transform = transform or EvalCondition("white", WHITE)
        return StickerDataset([self._part(fps)], self.num_frames, (self.size, self.size), transform)

    @cached_property
    def clips(self) -> list[CaptionedClip]:
        """All clips, without damaged stickers."""
        samples = unique_samples([self.dataset[row] for row in range(len(self.dataset))])
        found = [captioned(sample) for sample in samples]
        if not self.paced:
            return found
        dataset = self.samples(RATE)
        paced = unique_samples([dataset[row] for row in range(len(dataset))])
        at_rate = {sample["key"]: captioned(sample).rgba for sample in paced}
        return [replace(one, paced=at_rate.get(one.key)) for one in found]

    def training_clips(self, count: int) -> list[CaptionedClip]:
        """At most `count` clips of the training split, one of each group, as the floor of distances."""
        return CaptionedSet(self.name, self.root, "train", count, self.size, self.num_frames, self.paced).clips

    def stacked(self) -> Tensor:
        """All clips on white, `n f 3 h w`."""
        return torch.stack([one.clip for one in self.clips])

    @property
    def groups(self) -> list[str]:
        """Group of each clip; its key if it has none."""
        return [one.group or one.key for one in self.clips]

    def fingerprint(self) -> str:
        """Hash of the stickers' keys and captions, the size and frame rate, and the first clip."""
        what = [(one.key, one.caption) for one in self.clips], self.size, self.num_frames, self.paced
        state = hashlib.blake2b(repr(what).encode(), digest_size=6)
        state.update((self.clips[0].clip * 255).round().byte().numpy().tobytes())
        return state.hexdigest()


class VideoEvalSet(EvalSet):
    """Sets of captioned stickers; each set is a condition.

    Args:
        sets: by name; all of the same size, number of frames and split.
        least: minimum number of clips to generate for each set; with fewer captions, each gets several seeds.
    """

    def __init__(self, sets: Mapping[str, CaptionedSet], least: int = 1) -> None:
        self.sets, self.least = dict(sets), least
        first = next(iter(self.sets.values()))
        self.split, self.size, self.num_frames = first.split, first.size, first.num_frames
        self.conditions = tuple(self.sets)

    def keys(self) -> list[str]:
        """An empty list: the fingerprints identify the stickers."""
        return []

    def fingerprint(self, condition: str) -> str:
        """Fingerprint of the set."""
        return self.sets[condition].fingerprint()

    def wanted(self, condition: str, seeded: bool = True) -> list[CaptionedClip]:
        """The captioned clips to generate for: all of a set, repeated until there are at least `least`.

        Args:
            condition: name of the set.
            seeded: whether different seeds give different clips; if not, nothing is repeated.
        """
        clips = self.sets[condition].clips
        return clips * (-(-self.least // len(clips)) if seeded else 1)

    @property
    def first_clip(self) -> CaptionedClip:
        """The first clip of the first set, for timing."""
        return next(iter(self.sets.values())).clips[0]


def captioned(sample: dict[str, Any]) -> CaptionedClip:
    """Convert a sample of the data set."""
    rgba = torch.cat([sample["foreground"], sample["alpha"]], dim=1)  # f 4 h w
    words = tuple(sample["trigger_words"])
    fps, group = float(sample["fps"]), sample["group"]
    return CaptionedClip(sample["key"], sample["caption"], words, sample["clip"], rgba, fps, group)

"""How many near copies are found, and how many pairs are none: measured on copies made of known stickers."""

from __future__ import annotations

import io
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.curation.duplicates import Limits, PrintStore, near_copies
from glassine.curation.ingest import SMALL
from glassine.curation.prints import Prints, make_prints
from glassine.data.alpha import composite_frames
from glassine.data.shards import StickerShards, fit_size
from glassine.data.sticker import Sticker

COPIES = ("re-encoded", "resized", "recompressed", "background", "mirrored")
_SIDE, _FRAMES = 160, 6


@dataclass
class CopyAccuracy:
    """What was found of copies that were made.

    Attributes:
        made: kind -> copies.
        found: kind -> copies that are a pair with their original.
        right: pairs of two pictures of one sticker.
        wrong: pairs of stickers of different groups, as places in what was given.
        missed: kind and place of the original, of each copy that was not found.
    """

    made: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    right: int = 0
    wrong: list[tuple[int, int]] = field(default_factory=list)
    missed: list[tuple[str, int]] = field(default_factory=list)

    def recall(self, *kinds: str) -> float:
        """Share of copies that were found; of all kinds if none is named."""
        kinds = kinds or tuple(self.made)
        return sum(self.found[kind] for kind in kinds) / max(1, sum(self.made[kind] for kind in kinds))

    @property
    def precision(self) -> float:
        """Share of pairs that are of one sticker; pairs inside of a group, such as skin tones, do not count."""
        return self.right / max(1, self.right + len(self.wrong))


def known_groups(shards: StickerShards, count: int, leave_out: Container[str] = frozenset()) -> dict[str, int]:
    """Groups and the row of each group's first sticker, `count` evenly over all; see `known_stickers`."""
    groups = {shards.group(row): row for row in range(len(shards) - 1, -1, -1)}
    names = sorted(name for name in groups if name not in leave_out)
    places = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    return {names[place]: groups[names[place]] for place in places}


def known_stickers(
    sources: Sequence[Path], count: int, leave_out: Container[str] = frozenset()
) -> Iterator[tuple[Sticker, str]]:
    """Stickers of shards with their group, `count` of each source, evenly over its groups, one a group.

    Args:
        sources: folders of shards.
        count: of each.
        leave_out: groups that are not taken, such as those that limits were chosen on.
    """
    for source in sources:
        shards = StickerShards(source)
        for name, row in known_groups(shards, count, leave_out).items():
            durations = shards.durations(row)
            frames = np.unique(np.linspace(0, len(durations) - 1, min(_FRAMES, len(durations))).round().astype(int))
            read = shards.read(row, frames.tolist())
            yield fit_size(Sticker(read, tuple(durations[n] for n in frames)), _SIDE), name


def make_copy(kind: str, sticker: Sticker, chance: np.random.Generator) -> Sticker:
    """A copy as crawls hold it.

    Args:
        kind: one of `COPIES`.
        sticker: the original.
        chance: of the background's color.
    """
    frames = sticker.frames
    if kind == "resized":
        return fit_size(sticker, round(max(frames.shape[1:3]) * 9 / 16))
    if kind == "mirrored":
        return Sticker(np.ascontiguousarray(frames[:, :, ::-1]), sticker.durations)
    if kind == "re-encoded":
        return Sticker(np.stack([_few_colors(frame) for frame in frames]), sticker.durations)
    ground, quality = ((255, 255, 255), 40) if kind == "recompressed" else (chance.integers(0, 256, 3), 90)
    red, green, blue = (int(level) for level in ground)
    flat = composite_frames(frames, (red, green, blue))
    opaque = np.full_like(frames, 255)
    for out, frame in zip(opaque, flat, strict=True):
        data = io.BytesIO()
        Image.fromarray(frame).save(data, "JPEG", quality=quality)
        out[..., :3] = np.asarray(Image.open(data))
    return Sticker(opaque, sticker.durations)


def _few_colors(frame: np.ndarray) -> np.ndarray:
    """64 colors and alpha of one bit, as a poor GIF."""
    out = np.empty_like(frame)
    out[..., :3] = np.asarray(Image.fromarray(frame[..., :3]).quantize(64).convert("RGB"))
    out[..., 3] = np.where(frame[..., 3] >= 128, 255, 0)
    out[out[..., 3] == 0] = 0
    return out


def print_copies(
    stickers: Sequence[Sticker], seed: int = 0, advance: Callable[[], None] = lambda: None
) -> list[tuple[Prints, bool]]:
    """Prints of each sticker and its copies, one sticker after the other, and whether it is animated.

    Args:
        stickers: the originals.
        seed: of backgrounds.
        advance: called after each sticker.
    """
    chance = np.random.default_rng(seed)
    out = []
    for sticker in stickers:
        for one in (sticker, *(make_copy(kind, sticker, chance) for kind in COPIES)):
            small = fit_size(one, SMALL)
            out.append((make_prints(small.frames, small.durations), one.num_frames > 1))
        advance()
    return out


def copies_accuracy(
    prints: Sequence[tuple[Prints, bool]], groups: Sequence[str], work: Path, limits: Limits | None = None
) -> CopyAccuracy:
    """Look for near copies among stickers and their copies, and count.

    Args:
        prints: of `print_copies`.
        groups: of each original: stickers of one group may be near copies or not.
        work: a folder for pictures.
        limits: what counts as near.
    """
    store, step = PrintStore(work / "thumbs.bin"), 1 + len(COPIES)
    for print_, animated in prints:
        store.add(print_, animated)
    pairs = {(pair.left, pair.right) for pair in near_copies(store.finish(), limits)}
    count = CopyAccuracy(dict.fromkeys(COPIES, len(groups)), dict.fromkeys(COPIES, 0))
    for left, right in sorted(pairs):
        one, other = left // step, right // step
        if one == other:
            count.right += 1
        elif groups[one] != groups[other]:
            count.wrong.append((left, right))
    for place in range(len(groups)):
        for number, kind in enumerate(COPIES, 1):
            if (place * step, place * step + number) in pairs:
                count.found[kind] += 1
            else:
                count.missed.append((kind, place))
    return count

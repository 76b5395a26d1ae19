"""Stickers of several styles on many backgrounds, clean and damaged, as users bring them to `glassine cutout`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glassine.data.clips import spread_rows
from glassine.data.shards import StickerShards, resize_frames
from glassine.data.sticker import Split
from glassine.data.transforms import (
    Background,
    Checkerboard,
    Degradation,
    Flashing,
    FlatBackground,
    GifPalette,
    Gradient,
    Jpeg,
    OwnColor,
    Scene,
    TwoColors,
)
from glassine.procedural.stickers import StickerRenderer
from glassine.utils.errors import UserError

Frames = NDArray[np.uint8]  # f h w 4
SIZE, NUM_FRAMES = 256, 3
FAMILIES = ("flat", "line_art", "text", "holes", "pixel", "border", "group", "photo")
_SERIES: dict[Split, int] = {"train": 901, "val": 902, "test": 903}
BACKGROUNDS: dict[str, Background] = {
    "white": FlatBackground((1.0, 1.0, 1.0), "white"),
    "gray": FlatBackground((0.5, 0.5, 0.5), "gray"),
    "own": OwnColor(),
    "gradient": Gradient(),
    "two_colors": TwoColors(),
    "checkerboard": Checkerboard(),
    "flashing": Flashing(),
    "scene": Scene(moving=0.0),
    "moving_scene": Scene(moving=1.0),
}
DAMAGES: dict[str, Degradation] = {
    "jpeg75": Jpeg((75, 75), full_color=0.0),
    "gif": GifPalette((64, 64), dither=1.0, shared=1.0),
}
UNDAMAGED_ONLY = ("flashing", "scene", "moving_scene")
CONDITIONS: dict[str, str] = {
    name + (f"+{damage}" if damage else ""): name.replace("_", " ")
    + {"": "", "jpeg75": ", JPEG 75", "gif": ", GIF palette"}[damage]
    for name in BACKGROUNDS
    for damage in ("", *DAMAGES)
    if not damage or name not in UNDAMAGED_ONLY
}
"""Condition to its title."""


@dataclass(frozen=True)
class Case:
    """One sticker.

    Attributes:
        style: the folder or the family that it is of.
        key: unique among all cases.
        group: of cases that say the same thing.
        frames: `f h w 4` uint8, straight alpha; `f` is `NUM_FRAMES`.
    """

    style: str
    key: str
    group: str
    frames: Frames


def find_cases(shards: Sequence[Path], split: Split, limit: int, rendered: int) -> list[Case]:
    """Up to `limit` groups of each folder, evenly spread, and `rendered` stickers of each procedural family.

    Raises:
        UserError: two folders of one name, a number below its least, or no case at all.
    """
    if limit < 1 or rendered < 0:
        raise UserError(f"limit must be at least 1 and rendered at least 0, got {limit} and {rendered}")
    names = [folder.name for folder in shards]
    if len(set(names)) < len(names):
        raise UserError(f"shard folders must have different names, which are the styles, got {', '.join(names)}")
    cases = []
    for folder in shards:
        source = StickerShards(folder)
        for row in _one_of_each_group(source, split, limit):
            count = len(source.durations(row))
            chosen = [count // 5, min(count - 1, count // 5 + 1), count * 3 // 5]
            frames = resize_frames(source.read(row, chosen), SIZE, SIZE, keep_shape=True)
            key, group = (f"{folder.name}/{name}" for name in (source.key(row), source.group(row)))
            cases.append(Case(folder.name, key, group, frames))
    for family in FAMILIES if rendered else ():
        renderer = StickerRenderer(_SERIES[split], SIZE, 12, rendered, [family])
        for number in range(rendered):
            key = f"rendered {family}/{number}"
            cases.append(Case(f"rendered {family}", key, key, renderer.render(number, [2, 3, 8])))
    if not cases:
        raise UserError(f"the split {split} of {', '.join(names) or 'no folder'} must hold stickers, got none")
    return cases


def _one_of_each_group(source: StickerShards, split: Split, limit: int) -> list[int]:
    """Rows of at most `limit` groups, animated or not: whole styles come as stills."""
    first: dict[str, int] = {}
    for row in source.select(split).tolist():
        first.setdefault(source.group(row), row)
    return spread_rows(np.array(list(first.values()), np.int64), limit).tolist()


def seed_of(case: Case, condition: str) -> int:
    """The seed of a case's background under a condition: the same whatever other cases there are."""
    background = condition.partition("+")[0]
    return int.from_bytes(hashlib.blake2b(f"{case.key} {background}".encode(), digest_size=6).digest(), "big")


def show(case: Case, condition: str) -> Frames:
    """What a user would bring: opaque frames, `f h w 4`."""
    name, _, damage = condition.partition("+")
    rng = np.random.default_rng(seed_of(case, condition))
    frames = case.frames
    behind = BACKGROUNDS[name](frames.astype(np.float32) / np.float32(255), rng)
    behind = np.broadcast_to(behind, (*frames.shape[:3], 3)) * np.float32(255)
    share = frames[..., 3:].astype(np.float32) / 255
    clip = (frames[..., :3] * share + behind * (1 - share)).round().clip(0, 255).astype(np.uint8)
    if damage:
        clip = DAMAGES[damage](clip, rng)
    return np.concatenate([clip, np.full_like(clip[..., :1], 255)], axis=-1)

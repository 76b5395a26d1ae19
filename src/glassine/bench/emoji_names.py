"""Emoji names drawn at random over all groups of stickers, and the true drawings of each."""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glassine.data.frame_cache import subject_of
from glassine.data.shards import StickerInfo, StickerShards, resize_frames
from glassine.data.thumbnails import DRAWINGS
from glassine.utils.errors import UserError


@dataclass(frozen=True)
class EmojiName:
    """A name to make stickers of.

    Attributes:
        group: of the stickers that show it.
        name: as people write it, without style.
        rows: of the shards, one sticker of each drawing.
        drawings: which ones, by number or by source.
    """

    group: str
    name: str
    rows: tuple[int, ...]
    drawings: tuple[int | str, ...]


def draw_names(
    shards: StickerShards,
    count: int,
    seed: int = 0,
    known: Collection[str] | None = None,
    drawings: Sequence[Sequence[str]] = DRAWINGS,
) -> list[EmojiName]:
    """Names of different groups, each as likely as the next; the same for a seed and the same stickers.

    Of several stickers of a group that differ by skin tone or gender, the one with the shortest name stands for all.

    Args:
        shards: all stickers.
        count: how many names.
        seed: of the draw.
        known: groups that may be drawn; None for all that have a name.
        drawings: sources that show the same drawing.

    Raises:
        UserError: fewer groups than names.
    """
    family = {source: number for number, sources in enumerate(drawings) for source in sources}
    by_group = defaultdict[str, list[tuple[int, StickerInfo]]](list)
    for row in range(len(shards)):
        try:
            info = shards.metadata(row)
        except ValueError:
            continue  # opening the shards has named it
        subject = subject_of(info)
        if info.description and (known is None or subject in known):
            by_group[subject].append((row, info))
    if not 1 <= count <= len(by_group):
        raise UserError(f"names must be 1 to {len(by_group)}, the groups that have one, got {count}")
    chosen = random.Random(seed).sample(sorted(by_group), count)
    return [named(group, by_group[group], family) for group in chosen]


def named(group: str, stickers: Sequence[tuple[int, StickerInfo]], family: dict[str, int]) -> EmojiName:
    """The name of a group, and the plainest sticker of each drawing."""
    plainest = sorted(stickers, key=lambda sticker: (len(sticker[1].description), sticker[1].key))
    rows: dict[int | str, int] = {}
    for row, info in plainest:
        rows.setdefault(family.get(info.source, info.source), row)
    ordered = sorted(rows, key=str)
    return EmojiName(group, plainest[0][1].description, tuple(rows[d] for d in ordered), tuple(ordered))


def true_pictures(shards: StickerShards, name: EmojiName, size: tuple[int, int]) -> Tensor:
    """The middle frame of each drawing, `d 4 h w` straight RGBA in [0, 1], fitted into `size`.

    Raises:
        UserError: one of them is damaged.
    """
    try:
        frames = [shards.read(row, [len(shards.durations(row)) // 2])[0] for row in name.rows]
    except ValueError as error:
        raise UserError(f"stickers of {name.name!r} cannot be read ({error}): build the shards again") from error
    resized = [resize_frames(frame[None], *size, keep_shape=True)[0] for frame in frames]
    return torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in resized]).float() / 255

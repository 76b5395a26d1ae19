"""Shards of small drawn stickers: a square that moves over clear ground, in a color of its own."""

from pathlib import Path

import numpy as np

from glassine.data.shards import ShardFormat, ShardWriter, StickerShards
from glassine.data.shards.writer import encode_sticker
from glassine.data.sticker import Sticker


def moving_square(key: str, count: int = 4, moves: bool = True) -> np.ndarray:
    """Frames `f 32 32 4` uint8."""
    frames = np.zeros((count, 32, 32, 4), np.uint8)
    for number, frame in enumerate(frames):
        left = 4 + 4 * number * moves
        frame[8:24, left : left + 12] = (*[ord(letter) * 2 for letter in key], 60, 255)
    return frames


def small_shards(folder: Path, groups: dict[str, str], splits: dict[str, str] | None = None, moves: bool = True):
    """One sticker of four frames for each key (two letters), with its group; splits by key, else `train`."""
    how = ShardFormat(codec="png")
    with ShardWriter(folder, how) as writer:
        for key, group in groups.items():
            split = (splits or {}).get(key, "train")
            about = {"group": group, "split": split, "description": f"square {key}", "source": "drawn"}
            writer.append(encode_sticker(key, Sticker(moving_square(key, 4, moves), (100,) * 4, 0), about, how))
    return StickerShards(folder)

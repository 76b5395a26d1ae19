"""Small frames of stickers on disk, ready to composite, for training the VAEs and the evaluators.

A cache is a folder of `frames-NNNNNN.safetensors`. Each holds `frames` `n f h w 4` uint8: straight RGBA whose invisible
pixels are filled with surrounding colors (`pad_color`), with the stickers' metadata in its header. Reading a sticker is
a copy, whereas a 256 px shard needs decoding, downsampling and padding.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from glassine.data.alpha import composite, pad_color
from glassine.data.cache_files import CacheFiles, CacheKind, Content, Progress, write_cache
from glassine.data.frame_sampling import sample_frames
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.shards import StickerInfo, StickerShards, resize_frames
from glassine.data.sources.emoji import sticker_base
from glassine.data.sources.world import EMOJI_SOURCES
from glassine.data.sticker import SPLITS
from glassine.utils.errors import UserError

FRAMES = CacheKind("frames", what="frames", makers="version of the cache", verb="cache-frames")
# changes whenever the same shards would give different bytes
IDENTITY = {"frames": "padded 2.0, styles, subjects"}
_PADDING_FACTOR = 2.0
_VISIBLE = 4  # of 255: below this alpha, 8-bit files contain hardly any color information
_GAP_TRIES = 100

ABOUT = ("key", "group", "domain", "source", "style")


def write_frames(
    shards: StickerShards,
    rows: Sequence[int] | np.ndarray,
    num_frames: int,
    size: tuple[int, int],
    folder: Path,
    stickers_a_file: int = 128,
    progress: Progress = lambda *_: None,
) -> tuple[int, dict[str, str]]:
    """Write the missing files of a cache.

    Args:
        shards: shards with the stickers.
        rows: rows to use.
        num_frames: frames per sticker, evenly spaced over the whole sticker.
        size: height and width in pixels; stickers with another aspect ratio are fitted and padded with transparency.
        folder: folder of the cache.
        stickers_a_file: stickers per file, except the last.
        progress: called with the number of stickers done and the total.

    Returns:
        The number of new files, and the damaged stickers in them (name to reason); a damaged sticker is replaced by the
        next readable one.

    Raises:
        UserError: the folder contains a cache of other stickers, or nothing can be read.
    """
    rows = [int(row) for row in rows]
    damaged: dict[str, str] = {}

    def make(part: Sequence[SampleId], tell: Callable[[int], None]) -> Content:
        clips, about = [], []
        for done, (_, place) in enumerate(part):
            frames, known = _readable(shards, rows, place, num_frames, size, damaged)
            clips.append(padded(frames))
            about.append(known)
            tell(done + 1)
        return {"frames": torch.stack(clips)}, {"about": json.dumps(about, ensure_ascii=False)}

    settings = {
        "stickers": fingerprint(shards, rows),
        "num_frames": str(num_frames),
        "size": f"{size[0]} x {size[1]}",
    }
    samples = [(0, place) for place in range(len(rows))]
    made = write_cache(FRAMES, folder, IDENTITY, settings, samples, make, stickers_a_file, progress)
    return made, damaged


def fingerprint(shards: StickerShards, rows: Sequence[int]) -> str:
    """Changes with the stickers, their order, lengths, groups and splits; not with the location of the shards."""
    known = [(shards.key(row), shards.group(row), shards.split(row), shards.durations(row)) for row in rows]
    return hashlib.blake2b(repr(known).encode(), digest_size=6).hexdigest()


def subject_of(info: StickerInfo) -> str:
    """The subject of a sticker, ignoring style, skin tone and gender: the base of an emoji, otherwise the group."""
    try:
        return sticker_base(info.key, info.source) if info.source in EMOJI_SOURCES else info.group
    except UserError:  # of an emoji source in name only
        return info.group


def _readable(
    shards: StickerShards,
    rows: Sequence[int],
    place: int,
    num_frames: int,
    size: tuple[int, int],
    damaged: dict[str, str],
) -> tuple[np.ndarray, dict[str, Any]]:
    for step in range(min(len(rows), _GAP_TRIES)):
        row = rows[(place + step) % len(rows)]
        if shards.name(row) in damaged:
            continue
        try:
            chosen, fps = sample_frames(shards.durations(row), num_frames)
            frames, info = shards.read(row, chosen), shards.metadata(row)
        except (ValueError, OSError) as error:
            damaged[shards.name(row)] = str(error)
            continue
        known = {name: getattr(info, name) for name in (*ABOUT, "split", "caption", "caption_zh")}
        plain = replace(info, style="")
        known |= {"plain": plain.caption, "plain_zh": plain.caption_zh, "subject": subject_of(info)}
        known |= {"trigger_words": list(info.trigger_words), "fps": fps}
        return resize_frames(frames, *size, keep_shape=True), known
    name = shards.name(rows[place])
    raise UserError(f"no readable sticker near {name} ({damaged.get(name, 'all damaged')}): rebuild the shards")


def padded(frames: np.ndarray) -> Tensor:
    """Frames `f h w 4` uint8 with invisible pixels filled with surrounding colors; alpha is unchanged."""
    truth = rearrange(torch.from_numpy(frames).float() / 255, "f h w c -> f c h w")
    color, alpha = truth[:, :3].contiguous(), truth[:, 3:].contiguous()
    if bool((alpha * 255 < _VISIBLE).any()):
        filled = pad_color(color, alpha, factor=_PADDING_FACTOR)
        color = torch.where(alpha * 255 >= _VISIBLE, color, filled)
    return rearrange((torch.cat([color, alpha], dim=1) * 255).round().byte(), "f c h w -> f h w c").contiguous()


class CachedFrames(Dataset[dict[str, Any]]):
    """Frames or clips of cached stickers: `rgba` `f 4 h w` float in [0, 1], straight and color-padded.

    One sample per subject and pass: which of its stickers and frames is used is chosen at random in each pass, so that
    an emoji with 24 skin tones in five styles is seen as often as one with a single drawing. (Groups, which define the
    splits, are larger: all round faces are one.) Samples also have `caption`, `key`, `group`, `domain`, `source` and
    `style`.

    Args:
        folders: caches of the same size; stills and animations may be in separate ones.
        split: `train`, `val`, `test`, or `all` for weights that ship and are not scored.
        num_frames: 1 gives single frames; more gives clips, of all frames that a sticker has in the cache, or of every
            second or third, as long as they are evenly spaced.
        by_subject: one sample per subject; False for one per sticker.
        seed: random seed.
        limit: maximum number of samples, evenly spaced; None for all.
        draw: False uses the first sticker of each subject and its middle frame, for evaluation.

    Raises:
        UserError: no cache, an incomplete, damaged or mismatched one, or a split without stickers.
    """

    def __init__(
        self,
        folders: list[str] | str | Path,
        split: str = "train",
        num_frames: int = 1,
        by_subject: bool = True,
        seed: int = 0,
        limit: int | None = None,
        draw: bool = True,
    ) -> None:
        if split not in (*SPLITS, "all"):
            raise UserError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}")
        paths = [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
        self.caches = [CacheFiles(FRAMES, path) for path in paths]
        if not self.caches:
            raise UserError("folders must name at least one cache of frames, got none")
        sizes = {cache.settings["size"] for cache in self.caches}
        if len(sizes) > 1:
            raise UserError(f"cached frames must all have one size, got {', '.join(sorted(sizes))}")
        self.num_frames, self.seed, self.draw = num_frames, seed, draw
        height, width = next(iter(sizes)).split(" x ")
        self.size = (int(height), int(width))
        subjects: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
        for number, (path, cache) in enumerate(zip(paths, self.caches, strict=True)):
            frames = int(cache.settings["num_frames"])
            if num_frames < 1 or (frames % num_frames and num_frames > 1):
                raise UserError(f"num_frames must be 1 or a divisor of {frames} for {path}, got {num_frames}")
            about = chain.from_iterable(json.loads(header["about"]) for header in cache.headers)
            for row, known in enumerate(about):
                if split in ("all", known["split"]):
                    name = known["subject"] if by_subject else f"{number}:{row}"
                    subjects.setdefault(name, []).append((number, row, known))
        members = [subjects[name] for name in sorted(subjects)]
        if limit is not None and limit < len(members):
            members = [members[place] for place in np.linspace(0, len(members) - 1, limit).round().astype(int)]
        if not members:
            raise UserError(f"{', '.join(map(str, paths))} has no sticker of split {split!r}")
        self.members = members

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        epoch, row = (0, item) if isinstance(item, int) else item
        members = self.members[row]
        generator = sample_generator(self.seed, epoch, row)
        number, place, known = members[int(torch.randint(len(members), (), generator=generator)) if self.draw else 0]
        stored, inside = self._stored(number, place)
        count = stored.get_shape()[1]
        if self.num_frames == 1:
            frame = int(torch.randint(count, (), generator=generator)) if self.draw else count // 2
            frames = stored[inside, frame : frame + 1]
        else:
            frames = stored[inside][:: count // self.num_frames]
        return {"rgba": to_float(frames), **{name: known[name] for name in (*ABOUT, "caption")}}

    def read(self, row: int, view: int, views: int) -> tuple[Tensor, dict[str, Any]]:
        """The first sticker of a row, `f 4 h w` in [0, 1], and its metadata.

        With `num_frames` 1 it is frame number `view` of `views` evenly spaced ones.
        """
        number, place, known = self.members[row][0]
        stored, inside = self._stored(number, place)
        frames = stored[inside]
        if self.num_frames == 1:
            frame = (2 * view + 1) * len(frames) // (2 * views)
            return to_float(frames[frame : frame + 1]), known
        step = len(frames) // self.num_frames
        return to_float(frames[::step]), {**known, "fps": known["fps"] / step}

    def _stored(self, number: int, place: int) -> tuple[Any, int]:
        """The frames in a cache file, on disk, and the row of a sticker in them."""
        cache = self.caches[number]
        file, inside = cache.find(place)
        return cache.file(file).get_slice("frames"), inside


def to_float(frames: Tensor) -> Tensor:
    """`f h w c` uint8 to `f c h w` float in [0, 1]."""
    return rearrange(frames, "f h w c -> f c h w").float() / 255


class OpaqueFrames(CachedFrames):
    """Cached frames on white, for evaluating networks trained on opaque clips: `clip` `f 3 h w` in [0, 1].

    Args:
        folders: see `CachedFrames`.
        split: see `CachedFrames`.
        num_frames: see `CachedFrames`.
        limit: see `CachedFrames`.
    """

    def __init__(
        self, folders: list[str] | str | Path, split: str = "val", num_frames: int = 1, limit: int | None = None
    ) -> None:
        super().__init__(folders, split, num_frames, limit=limit, draw=False)

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        sample = super().__getitem__(item)
        rgba = sample.pop("rgba")
        return {"clip": composite(rgba[:, :3], rgba[:, 3:], torch.ones(3)), **sample}

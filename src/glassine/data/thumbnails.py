"""Thumbnails of many stickers in one memory-mapped file, for training on single frames."""

import hashlib
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glassine.data.alpha import premultiply
from glassine.data.clips import spread_rows
from glassine.data.dataset import LazyDataset
from glassine.data.frame_cache import subject_of
from glassine.data.frame_sampling import sample_frames
from glassine.data.sampler import SampleId, sample_generator
from glassine.data.shards import StickerInfo, StickerShards, resize_frames
from glassine.data.sticker import checked_split
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path, read_plain

PICTURES, INDEX = "thumbnails.npy", "thumbnails.json"
IN_TURN = "in turn"
# sources with the same drawing of an emoji: the stills are frames of the animations
DRAWINGS = (("fluent", "fluent-3d"), ("fluent-flat",), ("noto", "noto-animated"))


@dataclass(frozen=True)
class Drawn:
    """One sticker of a cache, and the indices of its frames.

    Attributes:
        key: key of the sticker.
        source: where it came from.
        group: its subject, see `subject_of`; the evaluator's classes.
        split: split of its look-alike group.
        caption: English caption.
        description: the caption without domain and style.
        trigger_words: words a person would type to find it.
        start: index of its first frame.
        count: number of frames.
    """

    key: str
    source: str
    group: str
    split: str
    caption: str
    description: str
    trigger_words: tuple[str, ...]
    start: int
    count: int


def write_thumbnails(
    shards: StickerShards,
    folder: Path,
    size: int = 96,
    frames: int = 4,
    variants: int = 2,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Write thumbnails of stickers unless the folder already contains them; returns the number of stickers written.

    Damaged stickers are skipped, with a warning that names them.

    Args:
        shards: shards to read.
        folder: output folder for `thumbnails.npy`, `n size size 4` uint8, **premultiplied** RGBA, and
            `thumbnails.json`.
        size: both sides in pixels; stickers with another aspect ratio are fitted in.
        frames: frames per animated sticker, evenly spaced.
        variants: stickers (skin tones, genders) per group and source, evenly spaced.
        progress: called with the number of stickers done and the total.

    Raises:
        UserError: no sticker can be read, or the folder cannot be written.
    """
    rows, infos, bad = chosen_rows(shards, variants)
    keys = [(info.source, info.key, subject_of(info), info.split) for info in infos]
    identity = hashlib.blake2b(repr((keys, size, frames)).encode(), digest_size=8).hexdigest()
    if found_identity(folder) == identity:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    counts = [min(frames, len(shards.durations(row))) for row in rows]
    table: list[Drawn] = []
    with atomic_path(folder / PICTURES) as path:
        shape = (sum(counts), size, size, 4)
        pictures = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        start = 0
        for number, (row, info, count) in enumerate(zip(rows, infos, counts, strict=True)):
            progress(number, len(rows))
            try:
                shown = shards.read(row, sample_frames(shards.durations(row), count)[0])
            except ValueError as error:
                bad.append(f"{shards.name(row)} ({error})")
                continue
            pictures[start : start + count] = premultiply(resize_frames(shown, size, size, keep_shape=True))
            about = (info.key, info.source, subject_of(info), info.split, info.caption, info.description)
            table.append(Drawn(*about, info.trigger_words, start, count))
            start += count
        pictures.flush()
        (folder / INDEX).unlink(missing_ok=True)  # of other thumbnails
    if bad:
        warnings.warn(f"{len(bad)} damaged stickers are left out: {', '.join(bad[:5])}", stacklevel=2)
    if not table:
        raise UserError(f"not one of {len(rows)} stickers could be read; build the shards again")
    with atomic_path(folder / INDEX) as path:  # written last: an interrupted run leaves no cache
        content = {"identity": identity, "size": size, "stickers": [asdict(one) for one in table]}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    progress(len(rows), len(rows))
    return len(table)


def chosen_rows(shards: StickerShards, variants: int) -> tuple[list[int], list[StickerInfo], list[str]]:
    """Rows of some variants of each group and source, in order, their metadata, and the unreadable ones."""
    known: dict[int, StickerInfo] = {}
    bad, by_drawing = [], defaultdict[tuple[str, str], list[int]](list)
    for row in range(len(shards)):
        try:
            known[row] = shards.metadata(row)
        except ValueError as error:
            bad.append(f"{shards.name(row)} ({error})")
            continue
        by_drawing[subject_of(known[row]), known[row].source].append(row)
    rows = sorted(int(row) for rows in by_drawing.values() for row in spread_rows(np.array(rows), variants))
    return rows, [known[row] for row in rows], bad


def found_identity(folder: Path) -> str:
    """Settings of the cache in a folder; empty if there is none."""
    try:
        return str(json.loads(read_plain(folder / INDEX))["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def read_thumbnails(folder: Path) -> tuple[list[Drawn], int]:
    """The stickers of a cache and its image size; raises UserError if there is none or it is damaged."""
    try:
        content = json.loads(read_plain(folder / INDEX))
        table = [Drawn(**{**one, "trigger_words": tuple(one["trigger_words"])}) for one in content["stickers"]]
        return table, int(content["size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} must contain thumbnails, got {error!r}: delete it, and it is rebuilt") from error


class Thumbnails(LazyDataset):
    """Thumbnails of stickers, one row per drawing (group and source); the cache is built on first use.

    A sample has `picture` `4 s s` uint8, premultiplied, and `group`, `source`, `key`, `caption`, `trigger_words`. In
    training, an epoch has each drawing once, with a random variant and frame; otherwise the first of both.

    Either the groups are divided by their `split`, or `held_out` divides the drawings of each group, or every split
    contains everything.

    Args:
        root: shard folder or folders.
        folder: folder of the cache.
        size: see `write_thumbnails`.
        frames: see `write_thumbnails`.
        variants: see `write_thumbnails`.
        by_split: only use the groups of the split.
        held_out: validate on a drawing that training does not see, of groups that have another one: a source's name
            holds out its drawings everywhere, `in turn` one drawing per group, chosen by hash.
        drawings: sources with the same drawing.
        split: `train`, `val` or `test`.
        seed: random seed.

    Attributes:
        rows: the variants of the drawing of each row; available once opened.
        groups: groups of the whole cache, regardless of what is held out.

    Raises:
        UserError: both `held_out` and `by_split` are set; when opened, `held_out` is not a source, and errors of
            `write_thumbnails`.
    """

    def __init__(
        self,
        root: str | list[str],
        folder: str,
        size: int = 96,
        frames: int = 4,
        variants: int = 2,
        by_split: bool = False,
        held_out: str | None = None,
        drawings: Sequence[Sequence[str]] = DRAWINGS,
        split: str = "train",
        seed: int = 0,
    ) -> None:
        if by_split and held_out is not None:
            raise UserError(f"by_split and held_out cannot both be set, got held_out {held_out!r}: set one of them")
        self.root, self.folder, self.size, self.frames, self.variants = root, Path(folder), size, frames, variants
        self.by_split, self.held_out, self.families = by_split, held_out, drawings
        self.split, self.seed = checked_split(split), seed
        self.drawings = {source: number for number, family in enumerate(drawings) for source in family}
        self._pictures: np.ndarray | None = None

    def _open(self) -> None:
        write_thumbnails(StickerShards(self.root), self.folder, self.size, self.frames, self.variants)
        table, _ = read_thumbnails(self.folder)
        self.groups = sorted({one.group for one in table})
        if self.by_split:
            table = [one for one in table if one.split == self.split]
        elif self.held_out is not None:
            held = set(self.held_drawings(table))
            training = self.split == "train"
            table = [one for one in table if ((one.group, self.drawing(one.source)) in held) != training]
        if not table:
            raise UserError(f"{self.folder} has no picture for {self.split}: check by_split and held_out")
        rows = defaultdict[tuple[str, str], list[Drawn]](list)
        for one in table:
            rows[one.group, one.source].append(one)
        self.rows = list(rows.values())

    def evaluation(self, split: str) -> "Thumbnails":
        """The same for another split."""
        how = (self.size, self.frames, self.variants, self.by_split, self.held_out, self.families)
        return Thumbnails(self.root, str(self.folder), *how, split=split, seed=self.seed or 0)

    def drawing(self, source: str) -> int | str:
        """The drawing that several sources share."""
        return self.drawings.get(source, source)

    def held_drawings(self, table: Sequence[Drawn]) -> Iterator[tuple[str, int | str]]:
        """Groups and drawings that are held out."""
        by_group = defaultdict[str, set[int | str]](set)
        for one in table:
            by_group[one.group].add(self.drawing(one.source))
        sources = {one.source for one in table}
        if self.held_out != IN_TURN and self.held_out not in sources:
            raise UserError(
                f"held_out must be {IN_TURN!r} or one of {', '.join(sorted(sources))}, got {self.held_out!r}"
            )
        wanted = self.drawing(str(self.held_out))
        for group, drawings in by_group.items():
            if len(drawings) < 2:  # nothing would be left to train on
                continue
            if self.held_out == IN_TURN:
                ordered = sorted(drawings, key=str)
                yield group, ordered[int(hashlib.sha256(group.encode()).hexdigest(), 16) % len(ordered)]
            elif wanted in drawings:
                yield group, wanted

    def __len__(self) -> int:
        self.setup()
        return len(self.rows)

    @property
    def pictures(self) -> np.ndarray:
        """All thumbnails of the cache, `n s s 4`, on disk."""
        if self._pictures is None:
            self._pictures = np.load(self.folder / PICTURES, mmap_mode="r")
        return self._pictures

    def __getitem__(self, item: int | SampleId) -> dict[str, Any]:
        self.setup()
        epoch, row = (0, item) if isinstance(item, int) else item
        variants = self.rows[row]
        one, frame = variants[0], 0
        if self.split == "train":
            generator = sample_generator(self.seed or 0, epoch, row)
            one = variants[int(torch.randint(len(variants), (), generator=generator))]
            frame = int(torch.randint(one.count, (), generator=generator))
        return {
            "picture": self.picture(one, frame),
            "group": one.group,
            "source": one.source,
            "key": one.key,
            "caption": one.caption,
            "trigger_words": list(one.trigger_words),
        }

    def picture(self, one: Drawn, frame: int = 0) -> Tensor:
        """A frame of a sticker, `4 s s` uint8, premultiplied."""
        return torch.from_numpy(np.array(self.pictures[one.start + frame])).permute(2, 0, 1).contiguous()

    def __getstate__(self) -> dict[str, Any]:
        """Drop the open file: each process opens its own."""
        return {**self.__dict__, "_pictures": None}

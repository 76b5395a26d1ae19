"""Which stickers are near copies of each other, for millions of them: candidates by hashed bits, decided by pixels.

Candidates share a table of locality-sensitive hashing: each of `TABLES` tables looks at some of the 256 bits of a
perceptual hash, so that a pair of 20 differing bits is met in 99 of 100 cases, and only pairs that agree in a table are
ever compared. Tables are made one after the other; the pictures that decide lie on disk. Nothing depends on chance:
the same stickers give the same groups in whatever order they were read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from glassine.curation.prints import HASH_BYTES, THUMB, Prints

TABLES = 32
MOST_BITS = 76  # of 256 that candidates may differ in; PDQ's own advice is 31 for photos, drawings differ in fewer
LEAST_QUALITY = 5  # of a print that is compared at all
_LEAST_CONTRAST = 6.0  # gray levels; flatter pictures are alike whatever they show
_BUCKET = 48  # entries of a table's bucket that are compared with each query
_PAIRS_AT_ONCE = 2_000_000
_SEED = 0x57C3


@dataclass(frozen=True)
class Limits:
    """How different two pictures may be and still count as one, in levels of 0 to 255 at `THUMB` x `THUMB` pixels.

    Chosen on real stickers, see docs/curation.md: pairs made by re-encoding lie below, different emoji above.

    Attributes:
        mean: of the absolute difference over all pixels.
        local: largest absolute difference, averaged over 3 x 3 pixels: a mouth, a number.
        agree: share of an animation's compared frames that must have a counterpart.
    """

    mean: float = 17.0
    local: float = 100.0
    agree: float = 0.75


@dataclass(frozen=True)
class Pair:
    """Two near copies: places of the stickers, smaller first, and what the second is to the first.

    Attributes:
        left: place of a sticker.
        right: place of another, larger.
        relation: `copy` (re-encoded, resized, on another ground), `mirrored`, `cropped`, or `frame` (a still that is a
            frame of an animation).
        mean: see `Limits`.
    """

    left: int
    right: int
    relation: str
    mean: float


class PrintStore:
    """The prints of all stickers: hashes in memory (300 bytes a sticker), pictures in a file.

    Args:
        file: for the pictures; made anew.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = file.open("wb")
        self._hashes: list[np.ndarray] = []
        self._mirrored: list[np.ndarray] = []
        self._cropped: list[np.ndarray] = []
        self._alone: list[np.ndarray] = []
        self._moments: list[int] = []
        self._counts: list[int] = []
        self._alone_counts: list[int] = []
        self._animated: list[bool] = []

    def add(self, prints: Prints, animated: bool) -> None:
        """Append a sticker; nearly flat ones have prints that fit everything, and are compared with none."""
        count = len(prints.hashes) if prints.quality >= LEAST_QUALITY else 0
        self._hashes.append(prints.hashes[:count])
        self._mirrored.append(prints.mirrored if count else prints.mirrored[:0])
        self._moments.append(len(prints.mirrored))
        self._cropped.append(prints.cropped)
        alone = len(prints.alone) if count else 0
        self._alone.append(prints.alone[:alone])
        self._file.write(prints.thumbs[:count].tobytes())
        self._file.write(prints.cropped_thumb[None][: min(count, 1)].tobytes())
        self._file.write(prints.alone_thumbs[:alone].tobytes())
        self._counts.append(count)
        self._alone_counts.append(alone)
        self._animated.append(animated)

    def finish(self) -> AllPrints:
        """The arrays."""
        self._file.close()
        counts, alone = np.array(self._counts, np.int64), np.array(self._alone_counts, np.int64)
        sizes = counts + (counts > 0) + alone  # pictures of each
        total = int(sizes.sum())
        empty = np.zeros((0, HASH_BYTES), np.uint8)
        shape = (total, THUMB, THUMB, 3)
        thumbs = np.memmap(self._path, np.uint8, "r", shape=shape) if total else np.zeros((0, *shape[1:]), np.uint8)
        return AllPrints(
            np.concatenate([empty, *self._hashes]),
            np.concatenate([empty, *self._mirrored]),
            np.stack(self._cropped) if self._cropped else empty,
            np.concatenate([empty, *self._alone]),
            thumbs,
            np.array(self._moments, np.int64),
            counts,
            alone,
            np.concatenate([[0], np.cumsum(sizes)]),
            np.array(self._animated, bool),
        )


@dataclass(frozen=True)
class AllPrints:
    """Arrays over all prints `p` and stickers `n`: see `Prints`.

    Attributes:
        hashes: `p 32`.
        mirrored: `p 32`.
        cropped: `n 32`.
        alone: `k 32`.
        thumbs: `p+k THUMB THUMB 3`, on disk: of each sticker those of its prints, of its middle, of its
            frames alone.
        moments: `n`, frames that were compared of each sticker.
        counts: `n`, prints of each sticker, its variants included.
        alone_counts: `n`, frames alone of each.
        starts: `n+1`, first picture of each sticker.
        animated: `n`.
    """

    hashes: np.ndarray
    mirrored: np.ndarray
    cropped: np.ndarray
    alone: np.ndarray
    thumbs: np.ndarray
    moments: np.ndarray
    counts: np.ndarray
    alone_counts: np.ndarray
    starts: np.ndarray
    animated: np.ndarray

    def thumbs_of(self, sticker: int) -> np.ndarray:
        """Of its prints: `v m THUMB THUMB 3`."""
        start = self.starts[sticker]
        flat = np.asarray(self.thumbs[start : start + self.counts[sticker]])
        return flat.reshape(-1, int(self.moments[sticker]), *flat.shape[1:])

    def alone_of(self, sticker: int) -> np.ndarray:
        """Of its frames alone: `k THUMB THUMB 3`."""
        return np.asarray(self.thumbs[self.starts[sticker] + self.counts[sticker] + 1 : self.starts[sticker + 1]])

    def cropped_of(self, sticker: int) -> np.ndarray:
        """Of its middle: `1 THUMB THUMB 3`."""
        place = self.starts[sticker] + self.counts[sticker]
        return np.asarray(self.thumbs[place : place + 1])


def near_copies(prints: AllPrints, limits: Limits | None = None) -> Iterator[Pair]:
    """Pairs of near copies, each once, in a fixed order.

    Args:
        prints: of all stickers.
        limits: what counts as near.
    """
    limits = limits or Limits()
    count = len(prints.counts)
    owner = np.repeat(np.arange(count), prints.counts)
    have = np.flatnonzero(prints.counts > 0)
    queries = {
        "copy": (prints.hashes, owner),
        "frame": (prints.alone, np.repeat(np.arange(count), prints.alone_counts)),
        "mirrored": (prints.mirrored, np.repeat(np.arange(count), np.where(prints.counts > 0, prints.moments, 0))),
        "cropped": (prints.cropped[have], have),
    }
    seen: set[int] = set()
    for relation, (hashes, whose) in queries.items():
        for code in candidates(prints.hashes, owner, hashes, whose, count).tolist():
            first, second = divmod(code, count)
            small, large = min(first, second), max(first, second)
            if small * count + large in seen:
                continue
            mean = compare(prints, first, second, relation, limits)
            if mean is not None:
                seen.add(small * count + large)
                still = prints.animated[first] != prints.animated[second]
                yield Pair(small, large, "frame" if still and relation == "copy" else relation, mean)


def candidates(
    hashes: np.ndarray, owner: np.ndarray, queries: np.ndarray, whose: np.ndarray, stickers: int
) -> np.ndarray:
    """Which stickers may be near copies: `query's sticker * stickers + entry's sticker`, sorted, each once.

    Args:
        hashes: `p 32` uint8, what is looked through.
        owner: `p`, the sticker of each.
        queries: `q 32` uint8.
        whose: `q`, the sticker of each.
        stickers: how many there are.
    """
    if not len(hashes) or not len(queries):
        return np.zeros(0, np.int64)
    chance = np.random.default_rng(_SEED)
    # so many bits that a bucket of unrelated hashes holds about one
    width = int(np.clip(np.ceil(np.log2(len(hashes) + 1)), 12, 40))
    found = [np.zeros(0, np.int64)]
    entries64, queries64 = hashes.view(np.uint64), np.ascontiguousarray(queries).view(np.uint64)
    for _ in range(TABLES):
        bits = np.sort(chance.choice(8 * HASH_BYTES, width, replace=False))
        keys, asked = _keys(hashes, bits), _keys(queries, bits)
        # within a bucket by the whole hash, so that in a crowded one neighbors are near
        order = np.lexsort((entries64[:, 1], entries64[:, 0], keys))
        keys = keys[order]
        first, last = np.searchsorted(keys, asked, "left"), np.searchsorted(keys, asked, "right")
        crowded = last - first > _BUCKET
        middle = (first + last) // 2
        if crowded.any():
            places = first[crowded] + np.array(
                [
                    np.searchsorted(entries64[order[a:b], 0], value)
                    for a, b, value in zip(first[crowded], last[crowded], queries64[crowded, 0], strict=True)
                ]
            )
            middle[crowded] = places
        first = np.where(crowded, np.maximum(first, middle - _BUCKET // 2), first)
        last = np.where(crowded, np.minimum(last, middle + _BUCKET // 2), last)
        part = _compared(entries64, order, owner, queries64, whose, first, last, stickers)
        found = [np.union1d(found[0], part)]
    return found[0]


def _compared(
    entries: np.ndarray,
    order: np.ndarray,
    owner: np.ndarray,
    queries: np.ndarray,
    whose: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    stickers: int,
) -> np.ndarray:
    """Of each query and the entries `first` to `last`, the pairs of stickers that differ in few enough bits."""
    counts = last - first
    ends = np.cumsum(counts)
    found = [np.zeros(0, np.int64)]
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        part = counts[start:stop]
        query = np.repeat(np.arange(start, stop), part)
        offset = np.arange(len(query)) - np.repeat(np.cumsum(part) - part, part)
        entry = order[first[query] + offset]
        other = whose[query] != owner[entry]
        query, entry = query[other], entry[other]
        bits = np.bitwise_count(entries[entry] ^ queries[query]).sum(axis=1, dtype=np.int64)
        near = bits <= MOST_BITS
        found.append(np.unique(whose[query[near]] * stickers + owner[entry[near]]))
        start = stop
    return np.unique(np.concatenate(found))


def _keys(hashes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Some bits of each hash as one number: `n` uint64."""
    keys = np.zeros(len(hashes), np.uint64)
    for bit in bits.tolist():
        value = (hashes[:, bit // 8] >> np.uint8(7 - bit % 8)) & np.uint8(1)
        keys = (keys << np.uint64(1)) | value.astype(np.uint64)
    return keys


def compare(prints: AllPrints, first: int, second: int, relation: str, limits: Limits) -> float | None:
    """The mean difference of two stickers if they are near copies, else None.

    Args:
        prints: of all stickers.
        first: place of the one that was asked about: it is mirrored, or its middle is looked at.
        second: place of the other.
        relation: `copy`, `frame`, `mirrored` or `cropped`.
        limits: what counts as near.
    """
    ones, others = prints.thumbs_of(first), prints.thumbs_of(second)  # v m THUMB THUMB 3
    if relation == "mirrored":
        ones = ones[:1, :, :, ::-1]
    elif relation == "frame":
        if prints.animated[second]:
            return None
        ones = prints.alone_of(first)[None]
    elif relation == "cropped":
        ones = prints.cropped_of(first)[None]
    if relation != "copy":
        others = others[:1]
    means = []
    for one in ones:
        for other in others:
            mean, local = differences(one, other)
            clear, clear_too = contrast(one) >= _LEAST_CONTRAST, contrast(other) >= _LEAST_CONTRAST
            near = clear[:, None] & clear_too & (mean <= limits.mean) & (local <= limits.local)
            if not near.any():
                continue
            if relation in ("frame", "cropped") or prints.animated[first] != prints.animated[second]:
                alike = True  # a still, and an animation that shows it
            else:  # frames of a loop's ends that show nothing agree with each other
                met = (near.any(axis=1) | (~clear & ~clear_too.all()), near.any(axis=0) | (~clear_too & ~clear.all()))
                alike = min(met[0].mean(), met[1].mean()) >= limits.agree
            if alike:
                means.append(float(mean[near].min()))
    return min(means, default=None)


def contrast(pictures: np.ndarray) -> np.ndarray:
    """Standard deviation over the pixels of each picture `m THUMB THUMB 3`, in gray levels."""
    return pictures.reshape(len(pictures), -1).std(axis=1)


def differences(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and largest local absolute difference of each picture of `a ...` from each of `b ...`: two `a b`."""
    step = np.abs(one[:, None].astype(np.int16) - other[None].astype(np.int16)).max(axis=-1).astype(np.float32)
    a, b = step.shape[:2]
    blurred = np.stack([cv2.blur(picture, (3, 3)) for picture in step.reshape(a * b, THUMB, THUMB)])
    return step.mean(axis=(2, 3)), blurred.reshape(a, b, -1).max(axis=-1)


class Groups:
    """Sets of stickers that hang together.

    Args:
        count: how many stickers there are.
    """

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def root(self, place: int) -> int:
        """The smallest place of the sticker's set."""
        parent = self._parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    def join(self, left: int, right: int) -> None:
        """Make two sets one."""
        a, b = self.root(left), self.root(right)
        self._parent[max(a, b)] = min(a, b)

    def roots(self) -> np.ndarray:
        """The set of each sticker, named by its smallest place: `n` int64."""
        return np.array([self.root(place) for place in range(len(self._parent))], np.int64)

"""Which stickers are near copies of each other, for millions of them: candidates by hashed bits, decided by pixels.

Only pairs that `glassine.curation.candidates` meets are ever compared; the pictures that decide lie on disk. Nothing
depends on chance: the same stickers give the same groups in whatever order they were read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from glassine.curation.candidates import MOST_PIXEL_BITS, candidates, forget_pages, pixel_hashes
from glassine.curation.prints import HASH_BYTES, THUMB, Prints

LEAST_QUALITY = 5  # of a print that is compared at all
_CODES_AT_ONCE = 1024
_LEAST_CONTRAST = 6.0  # gray levels; flatter pictures are alike whatever they show


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
        self._hashes = bytearray()
        self._mirrored = bytearray()
        self._cropped = bytearray()
        self._alone = bytearray()
        self._contrasts = bytearray()
        self._moments: list[int] = []
        self._counts: list[int] = []
        self._alone_counts: list[int] = []
        self._animated: list[bool] = []

    def add(self, prints: Prints, animated: bool) -> None:
        """Append a sticker; nearly flat ones have prints that fit everything, and are compared with none."""
        count = len(prints.hashes) if prints.quality >= LEAST_QUALITY else 0
        self._hashes += prints.hashes[:count].tobytes()
        self._mirrored += prints.mirrored.tobytes() if count else b""
        self._moments.append(len(prints.mirrored))
        self._cropped += prints.cropped.tobytes()
        alone = len(prints.alone) if count else 0
        self._alone += prints.alone[:alone].tobytes()
        for pictures in (
            prints.thumbs[:count],
            prints.cropped_thumb[None][: min(count, 1)],
            prints.alone_thumbs[:alone],
        ):
            self._file.write(pictures.tobytes())
            self._contrasts += contrast(pictures).tobytes()
        self._counts.append(count)
        self._alone_counts.append(alone)
        self._animated.append(animated)

    def finish(self) -> AllPrints:
        """The arrays."""
        self._file.close()
        counts, alone = np.array(self._counts, np.int64), np.array(self._alone_counts, np.int64)
        sizes = counts + (counts > 0) + alone  # pictures of each
        total = int(sizes.sum())
        hashes, mirrored, cropped, alone_hashes = (
            np.frombuffer(part, np.uint8).reshape(-1, HASH_BYTES)
            for part in (self._hashes, self._mirrored, self._cropped, self._alone)
        )
        shape = (total, THUMB, THUMB, 3)
        thumbs = np.memmap(self._path, np.uint8, "r", shape=shape) if total else np.zeros((0, *shape[1:]), np.uint8)
        return AllPrints(
            hashes,
            mirrored,
            cropped,
            alone_hashes,
            thumbs,
            np.frombuffer(self._contrasts, np.float32),
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
        contrasts: `p+k` float32, see `contrast`, of each of `thumbs`.
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
    contrasts: np.ndarray
    moments: np.ndarray
    counts: np.ndarray
    alone_counts: np.ndarray
    starts: np.ndarray
    animated: np.ndarray

    def pictures(self, sticker: int, relation: str = "copy") -> tuple[np.ndarray, np.ndarray]:
        """What a relation looks at of a sticker: pictures `v m THUMB THUMB 3` uint8, their contrasts `v m`.

        Args:
            sticker: its place.
            relation: `copy` (all prints, v variants of m moments), `frame` (frames alone), `mirrored` (the first
                variant), `cropped` (the middle).
        """
        start, count = int(self.starts[sticker]), int(self.counts[sticker])
        moments = int(self.moments[sticker])
        first, last = {
            "copy": (start, start + count),
            "mirrored": (start, start + min(count, moments)),
            "cropped": (start + count, start + count + 1),
            "frame": (start + count + 1, int(self.starts[sticker + 1])),
        }[relation]
        shape = (-1, moments) if relation in ("copy", "mirrored") else (1, last - first)
        thumbs = np.asarray(self.thumbs[first:last])
        return thumbs.reshape(*shape, *thumbs.shape[1:]), self.contrasts[first:last].reshape(shape)

    def places(self, relation: str) -> np.ndarray:
        """Where in `thumbs` the pictures lie that a relation asks about, in the order of its hashes.

        Args:
            relation: `copy` (all prints), `frame` (those alone), `mirrored` (of the first variant), `cropped`.
        """
        starts, counts = self.starts[:-1], self.counts
        if relation == "cropped":
            return (starts + counts)[counts > 0]
        if relation == "frame":
            starts, counts = starts + counts + 1, self.alone_counts
        elif relation == "mirrored":
            counts = np.where(counts > 0, self.moments, 0)
        return np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


def near_copies(prints: AllPrints, limits: Limits | None = None, groups: Groups | None = None) -> Iterator[Pair]:
    """Pairs of near copies, each once, in a fixed order.

    Args:
        prints: of all stickers.
        limits: what counts as near.
        groups: pairs are joined in it, and those that are in one group already are not compared: of a sticker that
            lies n times in a crawl n - 1 pairs are given, not n (n - 1) / 2. None compares and gives every pair.
    """
    limits = limits or Limits()
    strict = replace(limits, mean=limits.mean / 2)  # of pairs that PDQ holds to be different: thin drawings are alike
    count = len(prints.counts)
    owner = np.repeat(np.arange(count), prints.counts)
    have = np.flatnonzero(prints.counts > 0)
    queries = {
        "copy": (prints.hashes, prints.places("copy"), owner),
        "frame": (prints.alone, prints.places("frame"), np.repeat(np.arange(count), prints.alone_counts)),
        "mirrored": (
            prints.mirrored,
            prints.places("mirrored"),
            np.repeat(np.arange(count), np.where(prints.counts > 0, prints.moments, 0)),
        ),
        "cropped": (prints.cropped[have], prints.places("cropped"), have),
    }
    pixels = pixel_hashes(prints.thumbs, prints.places("copy"))
    seen: set[int] = set()
    for relation, (hashes, places, whose) in queries.items():
        asked = pixel_hashes(prints.thumbs, places, relation == "mirrored") if relation != "copy" else pixels
        met = [
            candidates(prints.hashes, owner, hashes, whose, count),
            candidates(pixels, owner, asked, whose, count, MOST_PIXEL_BITS),
        ]
        if relation in ("copy", "mirrored"):  # each pair once, whichever was asked about
            met = [_one_way(codes, count) for codes in met]
        for first, second, unsure in _coded_pairs((met[0], met[1]), count, prints):
            small, large = min(first, second), max(first, second)
            if small * count + large in seen if groups is None else groups.root(small) == groups.root(large):
                continue
            mean = compare(prints, first, second, relation, strict if unsure else limits)
            if mean is not None:
                if groups is None:
                    seen.add(small * count + large)
                else:
                    groups.join(small, large)
                still = prints.animated[first] != prints.animated[second]
                yield Pair(small, large, "frame" if still and relation == "copy" else relation, mean)


def _coded_pairs(met: tuple[np.ndarray, np.ndarray], count: int, prints: AllPrints) -> Iterator[tuple[int, int, bool]]:
    """Candidates of two sorted arrays of codes, each pair once, and whether it is among the second's alone."""
    codes = np.union1d(*met)
    for start in range(0, len(codes), _CODES_AT_ONCE):
        part = codes[start : start + _CODES_AT_ONCE]
        first, second = np.divmod(part, count)
        yield from zip(first.tolist(), second.tolist(), np.isin(part, met[0], invert=True).tolist(), strict=True)
        forget_pages(prints.thumbs)


def _one_way(codes: np.ndarray, count: int) -> np.ndarray:
    """Codes of pairs with the smaller place first, each once."""
    first, second = np.divmod(codes, max(1, count))
    return np.unique(np.minimum(first, second) * count + np.maximum(first, second))


def compare(prints: AllPrints, first: int, second: int, relation: str, limits: Limits) -> float | None:
    """The mean difference of two stickers if they are near copies, else None.

    Args:
        prints: of all stickers.
        first: place of the one that was asked about: it is mirrored, or its middle is looked at.
        second: place of the other.
        relation: `copy`, `frame`, `mirrored` or `cropped`.
        limits: what counts as near.
    """
    if relation == "frame" and prints.animated[second]:
        return None
    ones, ones_contrasts = prints.pictures(first, relation)  # v m THUMB THUMB 3 and v m
    others, others_contrasts = prints.pictures(second)
    if relation == "mirrored":
        ones = ones[:, :, :, ::-1]
    if relation != "copy":
        others, others_contrasts = others[:1], others_contrasts[:1]
    means = []
    for one, clear in zip(ones, ones_contrasts >= _LEAST_CONTRAST, strict=True):
        for other, clear_too in zip(others, others_contrasts >= _LEAST_CONTRAST, strict=True):
            mean, local = differences(one, other, limits.mean)
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
    """Standard deviation over the pixels of each picture `m THUMB THUMB 3`, in gray levels, `m` float32."""
    return pictures.reshape(len(pictures), THUMB * THUMB * 3).std(axis=1, dtype=np.float32)


def differences(one: np.ndarray, other: np.ndarray, most: float = 255.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and largest local absolute difference of each picture of `a ...` from each of `b ...`: two `a b`.

    Args:
        one: `a THUMB THUMB 3` uint8.
        other: `b THUMB THUMB 3` uint8.
        most: where the mean is above, the local difference is not looked for, and is infinite.
    """
    step = np.maximum(one[:, None], other[None]) - np.minimum(one[:, None], other[None])  # uint8 holds it
    levels = step.max(axis=-1)  # a b THUMB THUMB
    mean = levels.mean(axis=(2, 3), dtype=np.float32)
    local = np.full(mean.shape, np.inf, np.float32)
    for a, b in np.argwhere(mean <= most).tolist():
        local[a, b] = cv2.blur(levels[a, b].astype(np.float32), (3, 3)).max()
    return mean, local


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

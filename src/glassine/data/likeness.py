"""Similarity of stickers: alpha PSNR between small versions of them, all pairs.

A sticker is represented by at most `FRAMES` frames, evenly spaced over its loop (frame `n * k // FRAMES` of `n`, k from
0), each by its alpha only, averaged down to `SIDE` x `SIDE` pixels. Almost empty frames, covering less than
`LEAST_COVER` of the area, are not compared: blank frames at the ends of loops would make everything look alike.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from glassine.data.shards import StickerShards

SIDE = 64
FRAMES = 4
LEAST_COVER = 0.02
ALIKE_DB = 34.0
"""Alpha PSNR from which two stickers count as near-duplicates."""

_BLOCK = 2048  # rows of one matrix product
_SLACK = 4000.0  # more than the float32 error, in squared gray levels; this close to the limit, compare in integers


@dataclass(frozen=True)
class AlphaPrints:
    """Downsampled alphas of many stickers.

    Attributes:
        alphas: `n d` uint8, one row per frame, d = SIDE * SIDE.
        rows: `n` int64, the sticker of each row.
        damaged: name -> reason, of stickers that could not be read.
    """

    alphas: np.ndarray
    rows: np.ndarray
    damaged: dict[str, str]


@dataclass(frozen=True)
class Nearest:
    """The most similar stickers of two sets: their alpha PSNR in dB (infinite if identical) and row numbers."""

    decibels: float
    left: int
    right: int


def alpha_prints(shards: StickerShards, advance: Callable[[], None] = lambda: None) -> AlphaPrints:
    """Read the frames that represent each sticker.

    Args:
        shards: the stickers.
        advance: called after each sticker, for a progress bar.
    """
    alphas, rows, damaged = list[np.ndarray](), list[int](), dict[str, str]()
    for row in range(len(shards)):
        count = len(shards.durations(row))
        try:
            frames = shards.read(row, sorted({count * part // FRAMES for part in range(FRAMES)}))
        except ValueError as error:
            damaged[shards.name(row)] = str(error)
            continue
        finally:
            advance()
        for frame in frames:
            alpha = small_alpha(frame)
            if alpha.mean() >= LEAST_COVER * 255:
                alphas.append(alpha)
                rows.append(row)
    flat = np.stack(alphas).reshape(len(alphas), -1) if alphas else np.zeros((0, SIDE * SIDE), np.uint8)
    return AlphaPrints(flat, np.array(rows, np.int64), damaged)


def small_alpha(frame: np.ndarray) -> np.ndarray:
    """The alpha of a frame `h w 4` uint8, fitted into a square and averaged down: `SIDE SIDE` uint8."""
    alpha = frame[..., 3]
    side = max(alpha.shape)
    top, left = (side - alpha.shape[0]) // 2, (side - alpha.shape[1]) // 2
    square = np.zeros((side, side), np.uint8)
    square[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def alike_pairs(prints: AlphaPrints, labels: Sequence[str], decibels: float = ALIKE_DB) -> set[tuple[str, str]]:
    """Pairs of labels whose stickers look alike.

    Args:
        prints: prints of all stickers.
        labels: label of each sticker, e.g. its group, by row number.
        decibels: alpha PSNR above which two frames look alike.

    Returns:
        Pairs of different labels, each once, smaller one first.
    """
    names, numbers = np.unique(np.array(labels)[prints.rows], return_inverse=True)
    order = np.argsort(numbers, kind="stable")  # neighbors share a label, which gives fewer pairs per block
    values, numbers = prints.alphas[order], numbers[order]
    limit = _squares(decibels, values.shape[1])
    found = set[int]()
    for top, left, distance in _distances(values, values):
        rows, columns = np.nonzero(distance <= limit + _SLACK)
        rows, columns = rows + top, columns + left
        differ = numbers[rows] != numbers[columns]
        rows, columns = rows[differ], columns[differ]
        doubtful = distance[rows - top, columns - left] > limit - _SLACK
        keep = ~doubtful
        keep[doubtful] = _exact(values, rows[doubtful], values, columns[doubtful]) <= limit
        small, large = np.sort(np.stack([numbers[rows[keep]], numbers[columns[keep]]]), axis=0)
        found.update(np.unique(small * len(names) + large).tolist())
    return {(str(names[one // len(names)]), str(names[one % len(names)])) for one in found}


def nearest(prints: AlphaPrints, left: np.ndarray, right: np.ndarray) -> Nearest | None:
    """The most similar pair between two sets of stickers, computed exactly.

    Args:
        prints: prints of all stickers.
        left: row numbers of the first set.
        right: row numbers of the second set.

    Returns:
        The pair, or None if a set has nothing to compare.
    """
    ours, theirs = (np.flatnonzero(np.isin(prints.rows, one)) for one in (left, right))
    if not len(ours) or not len(theirs):
        return None
    a, b = prints.alphas[ours], prints.alphas[theirs]
    best, pair = np.inf, (0, 0)
    for top, start, distance in _distances(a, b):
        if float(distance.min()) > best + _SLACK:
            continue
        rows, columns = np.nonzero(distance <= min(best, float(distance.min())) + _SLACK)
        exact = _exact(a, rows + top, b, columns + start)
        place = int(exact.argmin())
        if exact[place] < best:
            best, pair = float(exact[place]), (int(rows[place] + top), int(columns[place] + start))
    decibels = float("inf") if best == 0 else float(-10 * np.log10(best / (255.0**2 * a.shape[1])))
    return Nearest(decibels, int(prints.rows[ours[pair[0]]]), int(prints.rows[theirs[pair[1]]]))


def connected(labels: Sequence[str], pairs: set[tuple[str, str]]) -> list[list[str]]:
    """Connected components of labels under the pairs, each sorted, largest first."""
    parent = {label: label for label in labels}

    def root(label: str) -> str:
        while parent[label] != label:
            parent[label] = label = parent[parent[label]]
        return label

    for one, other in sorted(pairs):
        parent[root(one)] = root(other)
    sets: dict[str, list[str]] = {}
    for label in sorted(parent):
        sets.setdefault(root(label), []).append(label)
    return sorted(sets.values(), key=lambda members: (-len(members), members))


def _squares(decibels: float, pixels: int) -> float:
    """The sum of squared differences, in gray levels, that corresponds to a PSNR."""
    return float(10 ** (-decibels / 10) * 255.0**2 * pixels)


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Sums of squared differences block by block: first row, first column, `n m` float32."""
    for top in range(0, len(a), _BLOCK):
        x = a[top : top + _BLOCK].astype(np.float32) - 127.5  # smaller numbers, smaller errors
        x_squares = _norms(x)
        for left in range(0, len(b), _BLOCK):
            if a is b and left < top:
                continue
            y = b[left : left + _BLOCK].astype(np.float32) - 127.5
            yield top, left, x_squares[:, None] + _norms(y) - 2 * (x @ y.T)


def _norms(x: np.ndarray) -> np.ndarray:
    """Sums of squares of rows, summed in float64: `n` float32."""
    return np.einsum("nd,nd->n", x, x, dtype=np.float64).astype(np.float32)


def _exact(a: np.ndarray, rows: np.ndarray, b: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The same for single pairs, in integers: `n` int64."""
    result = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        difference = a[rows[part]].astype(np.int32) - b[columns[part]]
        result[part] = np.einsum("nd,nd->n", difference, difference)
    return result

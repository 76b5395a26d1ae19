"""Which of millions of stickers may be near copies: hashed bits, and tables in which alike ones meet.

Each of `TABLES` tables of locality-sensitive hashing looks at some of the 256 bits of a hash, so that a pair of 20
differing bits is met in 99 of 100 cases. Tables are made one after the other, each by sorting; no step looks at all
pairs. There are two hashes, since each misses what the other finds: PDQ, whose bits are left to noise where a drawing
is plain, and signs of random projections of the small pictures themselves (SimHash, Charikar 2002).
"""

from __future__ import annotations

import mmap

import numpy as np

from glassine.curation.prints import HASH_BYTES, THUMB

TABLES = 32
MOST_BITS = 76  # of 256 that candidates may differ in; PDQ's own advice is 31 for photos, drawings differ in fewer
MOST_PIXEL_BITS = 44  # an angle of 31 degrees
_BUCKET = 48  # entries of a table's bucket that are compared with each query
_PAIRS_AT_ONCE = 250_000
_SEED = 0x57C3
_ROWS_AT_ONCE = 4096


def pixel_hashes(thumbs: np.ndarray, places: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """Signs of 256 random projections of small pictures as they differ from mid gray: `n 32` uint8.

    Two pictures of an angle of 20 degrees differ in 28 bits. Sums are of whole numbers, so equal on every machine.

    Args:
        thumbs: `... THUMB THUMB 3` uint8.
        places: `n`, which of them.
        mirrored: as they look from behind.
    """
    half = THUMB // 2
    signs = np.random.default_rng(_SEED).choice(np.array([-1, 1], np.float32), (3 * half * half, 8 * HASH_BYTES))
    out = np.empty((len(places), HASH_BYTES), np.uint8)
    for start in range(0, len(places), _ROWS_AT_ONCE):
        part = np.asarray(thumbs[places[start : start + _ROWS_AT_ONCE]])
        part = part[:, :, ::-1] if mirrored else part
        small = part.reshape(len(part), half, 2, half, 2, 3).sum(axis=(2, 4), dtype=np.int32) - 4 * 128
        # at most 432 * 512, which float32 holds exactly
        out[start : start + len(part)] = np.packbits(
            small.reshape(len(part), -1).astype(np.float32) @ signs > 0, axis=1
        )
        forget_pages(thumbs)
    return out


def forget_pages(array: np.ndarray) -> None:
    """Take what was read of an array in a file out of this process's memory; it stays on the disk."""
    if isinstance(array, np.memmap):
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def candidates(
    hashes: np.ndarray, owner: np.ndarray, queries: np.ndarray, whose: np.ndarray, stickers: int, most: int = MOST_BITS
) -> np.ndarray:
    """Which stickers may be near copies: `query's sticker * stickers + entry's sticker`, sorted, each once.

    Args:
        hashes: `p 32` uint8, what is looked through.
        owner: `p`, the sticker of each.
        queries: `q 32` uint8.
        whose: `q`, the sticker of each.
        stickers: how many there are.
        most: bits that candidates may differ in.
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
        part = _compared(entries64, order, owner, queries64, whose, first, last, stickers, most)
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
    most: int,
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
        near = bits <= most
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

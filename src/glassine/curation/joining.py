"""From files to stickers: equal files become one with all their words, near copies one group, the rest has a reason.

This is the one step that must see all files at once. It keeps a few hundred bytes a sticker in memory; rows go through
a database on disk, in the order of their content's hash, which is the order of the data set.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from glassine.curation.blocks import Block, Row, dump_row, read_rows, write_rows
from glassine.curation.duplicates import Groups, Limits, Pair, PrintStore, near_copies
from glassine.curation.filters import Thresholds, measured_reasons, preference
from glassine.curation.manifest import TEXTS
from glassine.curation.prints import Prints

EDGES: dict[str, list[float]] = {
    "entropy": [n / 4 for n in range(33)],
    "aspect": [1, 1.05, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 100],
    "side": [0, 16, 32, 48, 64, 96, 128, 160, 200, 240, 256, 320, 400, 512, 768, 1024, 65536],
    "frames": [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 601],
    "visible": [0, 0.005, 0.01, 0.02, 0.05, *(n / 10 for n in range(1, 11)), 1.01],
    "transparent": [0, 0.001, 0.05, *(n / 10 for n in range(1, 11)), 1.01],
}
"""Between which values measures are counted, for the report."""
KEY_LETTERS = 16  # of the hash: two of 2.5 M stickers share a key with a chance of 2e-7
_DROPPED = ("stamp", "words", "prints")
_ROWS_AT_ONCE = 2000


@dataclass
class Joined:
    """The result of joining.

    Attributes:
        files: files that were listed.
        broken: cause -> files.
        stickers: different whole files.
        repeated: files that equal an earlier one.
        pairs: relation -> near copies found.
        groups: sets of near copies, single stickers included.
        rejected: reason -> stickers.
        kept: stickers that go on.
        histograms: measure -> counts between the edges of `EDGES`, of all whole stickers.
    """

    files: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    stickers: int = 0
    repeated: int = 0
    pairs: Counter[str] = field(default_factory=Counter)
    groups: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    histograms: dict[str, list[int]] = field(
        default_factory=lambda: {name: [0] * (len(e) - 1) for name, e in EDGES.items()}
    )

    def meet(self, row: Row) -> None:
        """Count a sticker's measures."""
        sizes = {"side": min(row["width"], row["height"]), "frames": row["frames"]}
        for name, edges in EDGES.items():
            value = sizes.get(name, row["measures"].get(name, 0.0))
            place = int(np.searchsorted(edges, value, side="right")) - 1
            self.histograms[name][min(max(place, 0), len(edges) - 2)] += 1

    def as_json(self) -> dict[str, Any]:
        """For records."""
        return {name: dict(sorted(v.items())) if isinstance(v, Counter) else v for name, v in vars(self).items()}


class StickerTable:
    """Rows of files, gone through in the order of their content.

    Args:
        database: a file, made anew.
    """

    def __init__(self, database: Path) -> None:
        database.unlink(missing_ok=True)
        self._base = sqlite3.connect(database)
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("CREATE TABLE files (sha TEXT, at TEXT, row TEXT, prints TEXT)")

    def fill(self, rows: Iterable[Row]) -> None:
        """Insert rows of whole files."""
        batch = list[tuple[str, bytes, bytes, str]]()
        for row in rows:
            prints = json.dumps(row.pop("prints"))
            at, text = (one.encode("utf-8", "surrogatepass") for one in (str(row["at"]), dump_row(row)))
            batch.append((row["sha"], at, text, prints))
            if len(batch) == _ROWS_AT_ONCE:
                self._base.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", batch)
                batch = []
        self._base.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", batch)
        self._base.execute("CREATE INDEX by_sha ON files (sha, at)")
        self._base.commit()

    def stickers(self) -> Iterator[Row]:
        """One row for each different content, see `merge_files`."""
        rows = self._base.execute("SELECT sha, row FROM files ORDER BY sha, at")
        for _, same in groupby(rows, key=lambda pair: pair[0]):
            yield merge_files([json.loads(text.decode("utf-8", "surrogatepass")) for _, text in same])

    def prints(self) -> Iterator[tuple[Prints, bool]]:
        """The prints of each different content, in the same order, and whether it is animated."""
        rows = self._base.execute("SELECT sha, row, prints FROM files ORDER BY sha, at")
        for _, same in groupby(rows, key=lambda three: three[0]):
            _, text, prints = next(same)
            frames = json.loads(text.decode("utf-8", "surrogatepass"))["frames"]
            yield Prints.from_json(json.loads(prints)), frames > 1

    def close(self) -> None:
        """Let go of the database."""
        self._base.close()


def merge_files(rows: Sequence[Row]) -> Row:
    """Files of one content as one sticker.

    Args:
        rows: in the order of their names; the first one is read from now on.

    Returns:
        The first row with `key`, `copies` (files), `words` (word -> in how many rows, the most frequent first), and of
        each text the first that is not empty.
    """
    first = {name: value for name, value in rows[0].items() if name not in _DROPPED}
    for row in rows[1:]:
        for name in TEXTS:
            if row.get(name) and not first.get(name):
                first[name] = row[name]
    counts = Counter(word for row in rows for word in row.get("words", []))
    return {**first, "key": first["sha"][:KEY_LETTERS], "copies": len(rows), "words": ordered(counts)}


def ordered(counts: Counter[str]) -> dict[str, int]:
    """Words by count, the most frequent first, then alphabetically."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def join(
    blocks: Sequence[Block], to: Path, work: Path, thresholds: Thresholds, limits: Limits | None = None
) -> tuple[Joined, Iterator[Row]]:
    """Make stickers of files.

    Args:
        blocks: of `Ingest`.
        to: the data set's folder; `broken.jsonl`, `near_copies.jsonl` and `rejected.jsonl` are written.
        work: for databases.
        thresholds: of filters.
        limits: of near copies.

    Returns:
        Counts, and the rows that are kept, in the order of their keys, each with `group`.
    """
    counts = Joined()

    def whole() -> Iterator[Row]:
        for block in blocks:
            for row in read_rows(block.path):
                counts.files += 1
                cause = "crashed its decoder" if row.get("crashed") else row.get("broken")
                if cause is None:
                    yield row
                else:
                    counts.broken[cause] += 1
                    broken.append({"at": row["at"], "cause": cause, "says": row.get("says", "")})

    broken: list[Row] = []
    table = StickerTable(work / "files.sqlite")
    table.fill(whole())
    write_rows(to / "broken.jsonl", sorted(broken, key=lambda row: str(row["at"])))
    store = PrintStore(work / "thumbs.bin")
    for prints, animated in table.prints():
        store.add(prints, animated)
    everything = store.finish()
    groups = Groups(len(everything.animated))
    pairs = list(near_copies(everything, limits, groups))
    counts.pairs.update(pair.relation for pair in pairs)
    roots = groups.roots()
    counts.stickers = len(roots)
    counts.groups = len(np.unique(roots))
    return counts, _kept(table, roots, pairs, to, thresholds, counts)


def _kept(
    table: StickerTable, roots: np.ndarray, pairs: Sequence[Pair], to: Path, thresholds: Thresholds, counts: Joined
) -> Iterator[Row]:
    keys: list[str] = []
    best: dict[tuple[int, bool], tuple[Any, ...]] = {}
    words: dict[int, Counter[str]] = {}
    crowded = set(roots[np.flatnonzero(np.bincount(roots, minlength=len(roots))[roots] > 1)].tolist())
    for place, row in enumerate(table.stickers()):
        keys.append(row["key"])
        counts.repeated += row["copies"] - 1
        root = int(roots[place])
        if root not in crowded:
            continue
        words.setdefault(root, Counter()).update(row["words"])
        if not measured_reasons(row, thresholds):
            which = (root, row["frames"] > 1)
            best[which] = min(best.get(which, preference(row)), preference(row))
    write_rows(
        to / "near_copies.jsonl",
        (
            {"one": keys[p.left], "other": keys[p.right], "relation": p.relation, "mean": round(p.mean, 3)}
            for p in pairs
        ),
    )
    rejected: list[Row] = []
    for place, row in enumerate(table.stickers()):
        root = int(roots[place])
        row["group"] = keys[root]
        counts.meet(row)
        reasons = measured_reasons(row, thresholds)
        if thresholds.keep == "best" and root in crowded and not reasons:
            if preference(row) != best[root, row["frames"] > 1]:
                reasons = {"duplicate": 1.0}
            else:
                row["words"] = ordered(words[root])
        if reasons:
            counts.rejected[next(iter(reasons))] += 1
            rejected.append(rejection(row, reasons))
        else:
            counts.kept += 1
            yield row
    table.close()
    write_rows(to / "rejected.jsonl", rejected)


def rejection(row: Row, reasons: dict[str, float]) -> Row:
    """What is kept of a sticker that is left out: where it is, why, and what a contact sheet needs."""
    kept: Row = {
        name: row[name] for name in ("key", "group", "at", "file", "member", "offset", "bytes", "sha") if name in row
    }
    return {**kept, "reason": next(iter(reasons)), "scores": reasons, "frames": row["frames"]}

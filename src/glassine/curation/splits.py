"""Test sets chosen by hand: candidates of the most frequent trigger words, a frozen file of keys, and what follows.

VSD2M: "we manually select from multiple pieces of samples corresponding to each top 500 trigger words in real and
cartoon domain as test sets, named as VSD-R and VSD-C"; ILDiff: 200 samples of the trigger words of TASD as TASD-T.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassine.curation.blocks import Row, digest
from glassine.data.sticker import Split, split_of
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

_FORM = 1


@dataclass(frozen=True)
class TestSet:
    """A test set to be chosen.

    Attributes:
        name: `VSD-R`, `VSD-C`, `TASD-T`.
        domain: of its stickers, empty for any.
        words: how many trigger words, the most frequent first; one sticker is chosen for each.
        transparent: smallest mean share of invisible pixels.
        animated: take animations only.
    """

    __test__ = False  # pytest takes it for a test

    name: str
    domain: str
    words: int
    transparent: float = 0.0
    animated: bool = False


TEST_SETS = (
    TestSet("VSD-R", "real", 500),
    TestSet("VSD-C", "cartoon", 500),
    TestSet("TASD-T", "", 200, transparent=0.05, animated=True),
)
CANDIDATES = 6


def fits(row: Mapping[str, Any], test: TestSet) -> bool:
    """Whether a sticker may be in a test set."""
    return (
        (not test.domain or row.get("domain", "cartoon") == test.domain)
        and row["measures"]["transparent"] >= test.transparent
        and (row["frames"] > 1 or not test.animated)
    )


def choose_candidates(rows: Iterable[Row], test: TestSet, most: int = CANDIDATES) -> list[dict[str, Any]]:
    """The most frequent trigger words of a test set's stickers, several candidates each.

    A sticker is a candidate for one word only, and near copies are not offered beside each other. Animations come
    first; among equals the content's hash decides, so that the choice does not follow the crawl's order.

    Args:
        rows: stickers with `words`, `group`, `domain`, `measures`.
        test: which set.
        most: candidates a word.

    Returns:
        `word`, `count` (stickers that have it) and `candidates` (keys), the most frequent word first.
    """
    counts: Counter[str] = Counter()
    have: dict[str, list[tuple[bool, str, str]]] = {}
    keep = 40 * most  # near copies and what other words took are left out later
    for row in rows:
        if not fits(row, test):
            continue
        for word in row.get("words", {}):
            counts[word] += 1
            part = have.setdefault(word, [])
            part.append((row["frames"] == 1, row["key"], row["group"]))
            if len(part) > 2 * keep:
                part.sort()
                del part[keep:]
    taken, result = set[str](), list[dict[str, Any]]()
    for word, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(result) == test.words:
            break
        chosen: list[str] = []
        for _, key, group in sorted(have[word]):
            if group not in taken and len(chosen) < most:
                taken.add(group)
                chosen.append(key)
        if chosen:
            result.append({"word": word, "count": count, "candidates": chosen})
    return result


def first_choice(candidates: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Word -> key of its first candidate: what stands where nobody has chosen yet."""
    return {one["word"]: one["candidates"][0] for one in candidates}


def freeze(path: Path, test: TestSet, chosen: Mapping[str, str], rows: Mapping[str, Row], by: str) -> dict[str, Any]:
    """Write a chosen test set as a file of keys with hashes.

    Args:
        path: the JSON file.
        test: which set.
        chosen: word -> key.
        rows: the stickers by key.
        by: who chose: a name, or `first candidate`.

    Raises:
        UserError: a key that is not in the data set, a sticker chosen twice, or no place to write.
    """
    twice = [key for key, count in Counter(chosen.values()).items() if count > 1]
    if twice:
        raise UserError(f"each sticker of {test.name} must be chosen once, got {twice[0]} twice")
    gone = [key for key in chosen.values() if key not in rows]
    if gone:
        raise UserError(f"stickers of {test.name} must be in the data set, got {gone[0]}: choose again")
    stickers = [
        {"word": word, "key": key, "sha256": rows[key]["sha"], "group": rows[key]["group"]}
        for word, key in sorted(chosen.items())
    ]
    content = {"form": _FORM, "name": test.name, "domain": test.domain, "chosen_by": by, "stickers": stickers}
    content["digest"] = digest(stickers)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return content


def load_frozen(path: Path) -> dict[str, Any]:
    """A file that `freeze` wrote.

    Raises:
        UserError: it is none, or was changed by hand.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stickers = content["stickers"]
        rows = [(one["word"], one["key"], one["sha256"], one["group"]) for one in stickers]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} must be a frozen test set (glassine curate freeze), got {error!r}") from error
    if content.get("form") != _FORM or content.get("digest") != digest(stickers) or not rows:
        raise UserError(f"{path} is empty or was changed after it was frozen: freeze the choice again")
    return content


class Splits:
    """The split of each sticker: the groups of frozen test sets are `test`, of the others a share is `val`.

    Args:
        frozen: contents of `load_frozen`; with none of them, a tenth of the groups is `test`, by the group's name.
    """

    def __init__(self, frozen: Sequence[Mapping[str, Any]] = ()) -> None:
        self._hashes: dict[str, list[str]] = {}
        for content in frozen:
            for one in content["stickers"]:
                self._hashes.setdefault(one["sha256"], []).append(content["name"])
        self._groups: set[str] = set()
        self.found: set[str] = set()

    def meet(self, row: Row) -> None:
        """Remember the groups of test stickers; every row comes by once before `of` is asked."""
        if row["sha"] in self._hashes:
            self._groups.add(row["group"])
            self.found.add(row["sha"])

    def of(self, row: Row) -> tuple[Split, list[str]]:
        """The split of a sticker, and the test sets that it is in itself."""
        sets = self._hashes.get(row["sha"], [])
        if not self._hashes:
            return split_of(row["group"]), []
        if row["group"] in self._groups:
            return "test", sorted(sets)
        return ("train" if split_of(row["group"]) == "train" else "val"), []

    @property
    def missing(self) -> list[str]:
        """Hashes of test stickers that the data set has not."""
        return sorted(self._hashes.keys() - self.found)


def check_sides(rows: Iterable[Row], pairs: Iterable[Row]) -> list[str]:
    """Near copies that lie in different splits, named; none where all is well.

    Args:
        rows: all stickers with `key` and `split`.
        pairs: near copies, `one` and `other`.
    """
    splits = {row["key"]: row["split"] for row in rows}
    return [
        f"{pair['one']} ({splits[pair['one']]}) and {pair['other']} ({splits[pair['other']]}): {pair['relation']}"
        for pair in pairs
        if pair["one"] in splits and pair["other"] in splits and splits[pair["one"]] != splits[pair["other"]]
    ]

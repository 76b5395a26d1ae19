"""Metadata from an emoji's file name: its base emoji, its names and tags in English and Chinese, its group and split.

Emoji whose alphas agree to 34 dB in any source (see :mod:`glassine.data.likeness`) form one group, and groups are
closed under such pairs: all waving flags, all square buttons, all round faces. The result would depend on the available
sources, so it is computed once over all of them (``glassine data groups``) and stored in ``emoji_groups.json``. Emoji
that are not in it are their own groups.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from glassine.data.sticker import SPLITS, Split, split_of
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

_SKIN_TONE = re.compile(r"1f3f[b-f]")
_SILENT = ("fe0f", "e007f")  # the variation selector and the end of a flag's tags: included by some, omitted by others
_SIGNS = re.compile(r"-200d-(?:2640|2642|27a1)(?=-|$)")  # female, male; facing right: the same drawing, mirrored

# man, woman -> person; boy, girl -> child: rendered from the same model, so their alpha is nearly identical
_PERSON = {"1f468": "1f9d1", "1f469": "1f9d1", "1f466": "1f9d2", "1f467": "1f9d2"}

# pairs that only differ by gender but have separate code points
_SAME = {
    "1f474": "1f9d3",  # old man -> older person
    "1f475": "1f9d3",  # old woman
    "1f478": "1fac5",  # princess -> person with crown
    "1f934": "1fac5",  # prince
    "1f385": "1f9d1-200d-1f384",  # Santa Claus -> Mx Claus
    "1f936": "1f9d1-200d-1f384",  # Mrs. Claus
    "1f483": "1f57a",  # woman dancing -> man dancing
    "1f930": "1fac4",  # pregnant woman -> pregnant person
    "1fac3": "1fac4",  # pregnant man
    "1f46b": "1f9d1-200d-1f91d-200d-1f9d1",  # couples holding hands -> people holding hands
    "1f46c": "1f9d1-200d-1f91d-200d-1f9d1",
    "1f46d": "1f9d1-200d-1f91d-200d-1f9d1",
    "1f9d1-200d-2764-200d-1f48b-200d-1f9d1": "1f48f",  # kiss, spelled out
    "1f9d1-200d-2764-200d-1f9d1": "1f491",  # couple with heart, spelled out
    "1f46a": "1f9d1-200d-1f9d1-200d-1f9d2",  # family -> two adults and a child
    "1faf1-200d-1faf2": "1f91d",  # handshake with two skin tones
}


def _code_points(stem: str) -> list[str]:
    """The stem's relevant code points, in lower case with at least four hex digits."""
    return [p.zfill(4) for p in re.split("[-_]", stem.lower()) if p not in _SILENT]


def emoji_key(stem: str) -> str:
    """The spelling shared by file names and emojibase: no ``fe0f``, code points of at least four digits."""
    return "-".join(_code_points(stem))


def emoji_base(stem: str) -> str:
    """The base shared by all variants of an emoji: its stem without skin tone, gender and direction.

    Skin tones and genders of one emoji are rendered from the same animated model; their alpha channels agree to about
    45 dB, so a test set that shares them with the training set would measure memorization.

    Args:
        stem: hex code points joined by ``-``, e.g. ``1f3c3-1f3fb-200d-2640-fe0f``.

    Returns:
        The base, e.g. ``1f3c3``. Idempotent.
    """
    points = [_PERSON.get(p, p) for p in _code_points(stem) if not _SKIN_TONE.fullmatch(p)]
    base = _SIGNS.sub("", "-".join(points))
    return _SAME.get(base, base)


@dataclass(frozen=True)
class EmojiNames:
    """Names and tags of every emoji in one language."""

    labels: dict[str, str]
    tags: dict[str, list[str]]

    @classmethod
    def from_emojibase(cls, records: list[dict[str, Any]]) -> "EmojiNames":
        """Read the list in emojibase's ``data.json``; a skin-tone variant inherits the tags of its base.

        Args:
            records: objects with ``hexcode``, ``label`` and optionally ``tags`` and ``skins`` (objects of the same
                form).
        """
        labels: dict[str, str] = {}
        tags: dict[str, list[str]] = {}
        for record in records:
            for variant in (record, *record.get("skins", [])):
                key = emoji_key(variant["hexcode"])
                labels[key] = variant["label"]
                tags[key] = [str(t) for t in variant.get("tags", record.get("tags", []))]
        return cls(labels, tags)

    def label(self, stem: str) -> str:
        """The emoji's name, or an empty string if the language has none."""
        return self.labels.get(emoji_key(stem), "")

    def stem_of(self, name: str) -> str:
        """The code points of the emoji of this name, whatever its case and punctuation; an empty string if none has."""
        return self._stems.get(letters_of(name), "")

    @cached_property
    def _stems(self) -> dict[str, str]:
        return {letters_of(label): key for key, label in self.labels.items()}

    def tags_of(self, stem: str) -> list[str]:
        """The emoji's search words, if any."""
        return list(self.tags.get(emoji_key(stem), []))


def letters_of(name: str) -> str:
    """A name's letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


_TABLE = "emoji_groups.json"


def emoji_group(stem: str) -> str:
    """The group of an emoji, shared with its skin tones and genders and with emoji that look alike.

    Args:
        stem: hex code points joined by ``-`` or ``_``, e.g. ``1f3c3-1f3fb-200d-2640-fe0f``.

    Returns:
        The group's name, which is the base of one of its members. Idempotent.
    """
    base = emoji_base(stem)
    return _merged().get(base, base)


def emoji_split(group: str) -> Split:
    """The split of a group of emoji: the first of train, val and test that any member's own hash maps to.

    So a merge only ever moves emoji into training: training emoji stay in training when a new source makes two emoji
    look alike, and large groups, in which some member always hashes to training, are never held out.
    """
    return split_of_members(_members().get(group, [group]))


def split_of_members(bases: Iterable[str]) -> Split:
    """See :func:`emoji_split`; for a group that is not in a table yet."""
    found = {split_of(base) for base in bases}
    return next(split for split in SPLITS if split in found)


@cache
def _members() -> dict[str, list[str]]:
    """The bases of each group with several, by group name."""
    table = json.loads((files("glassine.data.sources") / _TABLE).read_text(encoding="utf-8"))
    return {name: members.split() for name, members in table["groups"].items()}


@cache
def _merged() -> dict[str, str]:
    """Base -> group name, for bases that share a group."""
    return {base: name for name, members in _members().items() for base in members}


def write_table(path: Path, groups: Iterable[Sequence[str]], about: Mapping[str, Any]) -> dict[str, list[str]]:
    """Write a table like the one shipped with the package.

    Args:
        path: a JSON file.
        groups: sets of bases; single-member sets are skipped.
        about: how it was made, stored in the file.

    Returns:
        The groups that were written, by name.
    """
    named = {min(members): sorted(members) for members in groups if len(members) > 1}
    content = {**about, "groups": {name: " ".join(members) for name, members in sorted(named.items())}}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return named


def sticker_base(key: str, source: str) -> str:
    """The base of a sticker from one of the emoji sources, derived from its key.

    Raises:
        UserError: the key has no code points in it.
    """
    stem = key.removeprefix(f"{source}-")
    if not stem or set(stem.lower()) - set("0123456789abcdef-_"):
        raise UserError(f"key must be code points such as 1f600, got {key!r}; it is not from an emoji source")
    return emoji_base(stem)

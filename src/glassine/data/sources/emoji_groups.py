"""Which emoji belong together because they look alike, and which split a group of them goes to.

Emoji whose alphas agree to 34 dB in any source (see :mod:`glassine.data.likeness`) are one group, and so is what hangs
together over several such pairs: all waving flags, all square buttons, all round faces. Which these are would depend
on the sources at hand, so the answer is computed once over all of them (``glassine data groups``) and kept in
``emoji_groups.json``. Emoji that are not in it are groups of their own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from glassine.atomic import atomic_path
from glassine.data.sources.emoji import emoji_base
from glassine.data.split import Split, split_of
from glassine.errors import UserError

HELD_OUT_SHARE = 0.15
"""Share of the groups that goes to validation, and to testing: about a tenth of all emoji each, since the largest
groups, a third of all emoji, are for training."""
LARGE = 10
"""Groups of more emoji than that are for training: held out, one of them would be half of a test set."""

_SALT = "emoji "  # before the hash: with it validation has 168 of the 1,064 groups and testing 158
_TABLE = "emoji_groups.json"


def emoji_group(stem: str) -> str:
    """The group of an emoji: what it shares with its skin tones and genders, and with emoji that look alike.

    Args:
        stem: hex code points joined by ``-`` or ``_``, e.g. ``1f3c3-1f3fb-200d-2640-fe0f``.

    Returns:
        The group's name, which is the base of one of its members. Idempotent.
    """
    base = emoji_base(stem)
    return _merged().get(base, base)


def emoji_split(group: str) -> Split:
    """The split of a group of emoji, by the hash of its name; the large groups have names that lead to training."""
    return split_of(_SALT + group, HELD_OUT_SHARE, HELD_OUT_SHARE)


@cache
def _merged() -> dict[str, str]:
    """Base -> name of its group, of the bases that share one."""
    table = json.loads((files("glassine.data.sources") / _TABLE).read_text(encoding="utf-8"))
    return {base: name for name, members in table["groups"].items() for base in members.split()}


def group_name(members: Sequence[str]) -> str:
    """What a group is called: its first member, of large groups the first whose name leads to training."""
    ordered = sorted(members)
    if len(ordered) <= LARGE:
        return ordered[0]
    return next((name for name in ordered if emoji_split(name) == "train"), ordered[0])


def write_table(path: Path, groups: Iterable[Sequence[str]], about: Mapping[str, Any]) -> dict[str, list[str]]:
    """Write a table like the one that comes with the package.

    Args:
        path: a JSON file.
        groups: sets of bases; those of one member are left out.
        about: how it was made, kept in the file.

    Returns:
        The groups that were written, by name.
    """
    named = {group_name(members): sorted(members) for members in groups if len(members) > 1}
    content = {**about, "groups": {name: " ".join(members) for name, members in sorted(named.items())}}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return named


def sticker_base(key: str, source: str) -> str:
    """The base of a sticker of one of the emoji sources, out of its key.

    Raises:
        UserError: the key has no code points in it.
    """
    stem = key.removeprefix(f"{source}-")
    if not stem or set(stem.lower()) - set("0123456789abcdef-_"):
        raise UserError(f"key must be code points such as 1f600, got {key!r}; it is of no emoji source")
    return emoji_base(stem)

"""Which part of the data a sticker belongs to: decided by its group, so that near copies never sit on both sides."""

import hashlib
from typing import Literal, get_args

from glassine.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Stills = bool | Literal["only"]  # whether stickers of one frame are taken

_TRAIN_SHARE, _VAL_SHARE = 0.8, 0.1


def split_of(group: str) -> Split:
    """The split of a group: train 80%, val 10%, test 10%, by the SHA-256 of its name.

    Stickers that look nearly the same (skin tones, genders, re-encodings) share a group and therefore a split. The
    answer depends on nothing but the name: it is the same on every machine, in every run and for any subset of the
    data.

    Args:
        group: the group's name, as each source makes it.

    Returns:
        ``"train"``, ``"val"`` or ``"test"``.
    """
    digest = hashlib.sha256(group.encode("utf-8")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    if position < _TRAIN_SHARE:
        return "train"
    return "val" if position < _TRAIN_SHARE + _VAL_SHARE else "test"


def checked_split(name: str) -> Split:
    """The split of that name; UserError where there is none."""
    for split in SPLITS:
        if split == name:
            return split
    raise UserError(f"split {name!r} came; choose one of {', '.join(SPLITS)}")

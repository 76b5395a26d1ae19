"""Which part of the data a sticker belongs to: decided by its group, so that near copies never sit on both sides."""

import hashlib
from typing import Literal, get_args

from glassine.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Stills = bool | Literal["only"]  # whether stickers of one frame are taken


def split_of(group: str, val_share: float = 0.1, test_share: float = 0.1) -> Split:
    """The split of a group: train 80%, val 10%, test 10%, by the SHA-256 of its name.

    Stickers that look nearly the same (skin tones, genders, re-encodings) share a group and therefore a split. The
    answer depends on nothing but the name: it is the same on every machine, in every run and for any subset of the
    data.

    Args:
        group: the group's name, as each source makes it.
        val_share: of the groups, for validation.
        test_share: for testing; the rest is for training.

    Returns:
        ``"train"``, ``"val"`` or ``"test"``.
    """
    digest = hashlib.sha256(group.encode("utf-8")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    if position < 1 - val_share - test_share:
        return "train"
    return "val" if position < 1 - test_share else "test"


def checked_split(name: str) -> Split:
    """The split of that name; UserError where there is none."""
    for split in SPLITS:
        if split == name:
            return split
    raise UserError(f"split {name!r} came; choose one of {', '.join(SPLITS)}")

"""The stickers that are compared: files of equal names in one folder for each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glassine.data.codecs.creating import SUFFIXES
from glassine.data.codecs.png_sequence import TIMING_NAME
from glassine.errors import UserError

_NAMED = 3


@dataclass(frozen=True)
class Item:
    """What every method made a sticker of.

    Attributes:
        name: of the files, without suffix.
        files: each method's sticker, in the order of the methods.
    """

    name: str
    files: Mapping[str, Path]


def parse_methods(arguments: Iterable[str]) -> dict[str, Path]:
    """Read `NAME=FOLDER` arguments.

    Raises:
        UserError: not of that form, a name that comes twice, no such folder, or fewer than two methods.
    """
    methods = dict[str, Path]()
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        name = name.strip()
        if not (name and equals and folder):
            raise UserError(f"--method {argument} came; write NAME=FOLDER, for instance --method ours=out/ours")
        if name in methods:
            raise UserError(f"method {name!r} came twice; give each one a name of its own")
        if not Path(folder).is_dir():
            raise UserError(f"method {name!r}: there is no folder {folder}; give the folder that holds its stickers")
        methods[name] = Path(folder)
    if len(methods) < 2:
        came = f"only method {next(iter(methods))!r}" if methods else "no method"
        raise UserError(f"{came} came; a study compares at least two: --method NAME=FOLDER --method NAME2=FOLDER2")
    return methods


def match_items(methods: Mapping[str, Path]) -> list[Item]:
    """The stickers that all methods have, sorted by name; suffixes may differ.

    Raises:
        UserError: a folder without stickers, with two of one name, or with other names than the rest.
    """
    found = {method: _stickers(folder) for method, folder in methods.items()}
    names = sorted(set().union(*found.values()))
    lacking = {method: [name for name in names if name not in files] for method, files in found.items()}
    if any(lacking.values()):
        said = "; ".join(f"{method} lacks {shortened(gone)}" for method, gone in lacking.items() if gone)
        raise UserError(f"the folders hold different stickers: {said}; give every method the same file names")
    return [Item(name, {method: files[name] for method, files in found.items()}) for name in names]


def _stickers(folder: Path) -> dict[str, Path]:
    """Name to file: what can hold alpha, folders of PNGs with their timing included, hidden files not."""
    stickers = dict[str, Path]()
    for path in sorted(folder.iterdir()):
        known = (path / TIMING_NAME).is_file() if path.is_dir() else path.suffix.lower() in SUFFIXES[:-1]
        if not known or path.name.startswith("."):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in stickers:
            raise UserError(f"{folder} holds {stickers[name].name} and {path.name}; keep one sticker of each name")
        stickers[name] = path
    if not stickers:
        raise UserError(f"{folder} holds no stickers; known suffixes are {', '.join(SUFFIXES[:-1])}")
    return stickers


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

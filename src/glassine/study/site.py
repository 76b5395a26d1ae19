"""The files to compare, and the folder for raters.

The folder contains one page, its plan and its clips, and works in any browser, with or without a server
(`glassine.app.study`). It does not contain the key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from glassine.data.codecs.io import SUFFIXES
from glassine.data.codecs.sequence import TIMING_NAME
from glassine.study.plan import Form, Question, Trial
from glassine.utils.errors import UserError

_NAMED = 3


@dataclass(frozen=True)
class Item:
    """An item for which every method has a sticker.

    Attributes:
        name: file name without suffix.
        files: each method's sticker, in the order of the methods.
    """

    name: str
    files: Mapping[str, Path]


def parse_methods(arguments: Iterable[str]) -> dict[str, Path]:
    """Read `NAME=FOLDER` arguments.

    Raises:
        UserError: an invalid argument, a duplicate name, a missing folder, or fewer than two methods.
    """
    methods = dict[str, Path]()
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        name = name.strip()
        if not (name and equals and folder):
            raise UserError(f"--method must be NAME=FOLDER, such as ours=out/ours, got {argument}")
        if name in methods:
            raise UserError(f"methods must have different names, got {name!r} twice")
        if not Path(folder).is_dir():
            raise UserError(f"method {name!r}: there is no folder {folder}; give the folder with its stickers")
        methods[name] = Path(folder)
    if len(methods) < 2:
        found = f"only method {next(iter(methods))!r}" if methods else "no method"
        raise UserError(
            f"a study must compare at least two methods, got {found}: --method NAME=FOLDER --method NAME2=FOLDER2"
        )
    return methods


def match_items(methods: Mapping[str, Path]) -> list[Item]:
    """The stickers that all methods have, sorted by name; suffixes may differ.

    Raises:
        UserError: a folder without stickers, with two of one name, or with names that differ from the others.
    """
    found = {method: _stickers(folder) for method, folder in methods.items()}
    names = sorted(set().union(*found.values()))
    lacking = {method: [name for name in names if name not in files] for method, files in found.items()}
    if any(lacking.values()):
        said = "; ".join(f"{method} lacks {shortened(gone)}" for method, gone in lacking.items() if gone)
        raise UserError(f"the folders contain different stickers: {said}; use the same file names for every method")
    return [Item(name, {method: files[name] for method, files in found.items()}) for name in names]


def _stickers(folder: Path) -> dict[str, Path]:
    """Name to file, for formats with alpha, including folders of PNGs with their timing; no hidden files, no pipes."""
    stickers = dict[str, Path]()
    for path in sorted(folder.iterdir()):
        file = path.is_file() and path.suffix.lower() in SUFFIXES[:-1]
        known = file or (path / TIMING_NAME).is_file()
        if not known or path.name.startswith("."):
            continue
        name = path.name if path.is_dir() else path.stem
        if name in stickers:
            raise UserError(f"{folder} contains {stickers[name].name} and {path.name}; keep one sticker per name")
        stickers[name] = path
    if not stickers:
        raise UserError(f"{folder} contains no stickers; known suffixes are {', '.join(SUFFIXES[:-1])}")
    return stickers


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


CLIPS_NAME = "clips"
PLAN_NAME = "plan.js"


def page_plan(
    title: str,
    questions: Sequence[Question],
    backgrounds: Sequence[str],
    ties: bool,
    trials: Sequence[Trial],
    forms: Sequence[Form],
    names: Mapping[tuple[str, str], str],
    prompts: Mapping[str, str],
) -> dict[str, Any]:
    """The data of the page, which does not mention methods or files.

    Args:
        title: title of the page.
        questions: questions asked for each trial.
        backgrounds: `checker` or `#rrggbb`; the first one is shown first.
        ties: whether "no difference" is an answer.
        trials: the comparisons.
        forms: orders and sides.
        names: method and item to the name of their clip.
        prompts: item to its prompt.

    Returns:
        JSON values; an entry of a form is the number of a trial followed by those of its clips from left to right. `id`
        changes whenever anything else does.
    """
    clips = {trial.id: sorted(names[method, trial.item] for method in trial.methods) for trial in trials}
    numbers = {trial.id: number for number, trial in enumerate(trials)}
    plan: dict[str, Any] = {
        "title": title,
        "questions": [{"name": question.name, "text": question.text} for question in questions],
        "backgrounds": list(backgrounds),
        "ties": ties,
        "trials": [
            {"id": trial.id, "prompt": prompts.get(trial.item, ""), "clips": clips[trial.id]} for trial in trials
        ],
        "forms": [
            [
                [numbers[trial.id], *(clips[trial.id].index(names[method, trial.item]) for method in showing.methods)]
                for showing in form
                for trial in [showing.trial]
            ]
            for form in forms
        ],
    }
    return {"id": hashlib.blake2b(json.dumps(plan).encode(), digest_size=6).hexdigest(), **plan}


def write_page(
    folder: Path, plan: Mapping[str, Any], package: str = "glassine.study", shared: Sequence[str] = ()
) -> None:
    """Write the page and its plan to an existing folder; the clips go to `clips` next to them.

    Args:
        folder: of the page.
        plan: see `page_plan`.
        package: whose folder `static` has the page.
        shared: files of the study's page that this one uses, too.
    """
    for source, names in (("glassine.study", shared), (package, None)):
        with as_file(files(source) / "static") as static:
            for file in sorted(static.iterdir()):
                if names is None or file.name in names:
                    shutil.copyfile(file, folder / file.name)
    # a script, since a page opened from a file cannot fetch JSON
    (folder / PLAN_NAME).write_text(f"window.STUDY = {json.dumps(plan)};\n", encoding="utf-8")

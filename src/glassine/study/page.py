"""The folder that raters get: one page, its plan and its clips, for any browser, with or without a server."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from glassine.study.plan import Form, Trial
from glassine.study.questions import Question

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
    """What the page knows, without a word about methods and files.

    Args:
        title: of the page.
        questions: what is asked of each trial.
        backgrounds: `checker` or `#rrggbb`; the first one is shown first.
        ties: whether "no difference" is an answer.
        trials: what is compared.
        forms: orders and sides.
        names: method and item to the name of their clip.
        prompts: item to what it was asked to show.

    Returns:
        JSON values; a form's entry is the number of a trial, then of its clips from left to right. `id` changes with
        anything else in it.
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


def write_page(folder: Path, plan: Mapping[str, Any]) -> None:
    """Put the page and its plan into an existing folder; the clips come into `clips` beside them."""
    with as_file(files("glassine.study") / "static") as static:
        for file in sorted(static.iterdir()):
            shutil.copyfile(file, folder / file.name)
    # a script, since a page that was opened from a file may not read JSON
    (folder / PLAN_NAME).write_text(f"window.STUDY = {json.dumps(plan)};\n", encoding="utf-8")

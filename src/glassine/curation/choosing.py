"""What is asked on the pages where people choose test stickers and label domains, and where their answers lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassine.curation.blocks import Row, digest, read_rows
from glassine.data.codecs import write_sticker
from glassine.data.shards import ShardWriter, StickerShards, cap_fps, encode_sticker, fit_size
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

NONE = ""  # no candidate is good
DOMAIN_OPTIONS = ("cartoon", "real", "unsure")


@dataclass(frozen=True)
class Question:
    """One thing that is asked.

    Attributes:
        name: a trigger word, or a sticker's key.
        title: shown above.
        clip: a sticker's key shown above the options, or empty.
        options: values that may be answered, with the key of the sticker that each one shows, or empty.
    """

    name: str
    title: str
    clip: str
    options: tuple[tuple[str, str], ...]


def word_questions(dataset: Path, name: str) -> list[Question]:
    """For each trigger word of a test set: which candidate?

    Raises:
        UserError: no candidates there.
    """
    path = dataset / "tests" / f"{name}.candidates.jsonl"
    if not path.is_file():
        raise UserError(f"{path} is missing: finish `glassine curate CRAWL --to {dataset}` first")
    return [
        Question(row["word"], f"{row['word']} ({row['count']})", "", tuple((key, key) for key in row["candidates"]))
        for row in read_rows(path)
    ]


def domain_questions(dataset: Path, count: int) -> list[Question]:
    """For a few hundred stickers: real or cartoon? Those that a classifier is least sure of come first.

    Args:
        dataset: a curated data set.
        count: how many.
    """
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}")
    rows: list[tuple[float, str]] = []
    for row in read_rows(_file(dataset, "stickers.jsonl")):
        # the second half of the key is as good as chance, and the same in every run
        order = abs(row["domain_score"] - 0.5) if "domain_score" in row else int(row["key"][8:], 16) / 2**32
        rows.append((order, row["key"]))
    return [
        Question(key, "real or cartoon?", key, tuple((one, "") for one in DOMAIN_OPTIONS))
        for _, key in sorted(rows)[:count]
    ]


def _file(dataset: Path, name: str) -> Path:
    path = dataset / name
    if not path.is_file():
        raise UserError(
            f"{dataset} has no {name}: give a folder that `glassine curate CRAWL --to DATASET` has finished"
        )
    return path


def write_clips(dataset: Path, questions: Sequence[Question], folder: Path, side: int = 160) -> dict[str, str]:
    """Small moving pictures of all stickers that are asked about: key to file name in `folder`."""
    shards = StickerShards(dataset)
    rows = {shards.key(row): row for row in range(len(shards))}
    keys = {key for one in questions for key in (one.clip, *(shown for _, shown in one.options)) if key}
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for key in sorted(keys):
        row, name = rows[key], f"{key}.webp"
        if not (folder / name).is_file():
            durations = shards.durations(row)
            sticker = Sticker(shards.read(row, list(range(len(durations)))), durations)
            write_sticker(fit_size(cap_fps(sticker, 12), side), folder / name, quality=75)
        names[key] = name
    return names


def page_plan(title: str, questions: Sequence[Question], names: Mapping[str, str]) -> dict[str, Any]:
    """What the page knows, as JSON values; `study` changes with anything that is asked."""
    asked = [
        {
            "name": one.name,
            "title": one.title,
            "clip": names.get(one.clip, ""),
            "options": [{"value": value, "clip": names.get(shown, "")} for value, shown in one.options],
        }
        for one in questions
    ]
    return {"study": digest(asked), "title": title, "questions": asked}


def save_answers(path: Path, questions: Sequence[Question], answers: Mapping[str, str], by: str) -> int:
    """Write what was answered so far; how many questions have an answer.

    Raises:
        UserError: an answer to nothing that was asked, or one that was not offered.
    """
    allowed = {one.name: {NONE, *(value for value, _ in one.options)} for one in questions}
    for name, value in answers.items():
        if name not in allowed or value not in allowed[name]:
            raise UserError(f"answers must be among what is asked, got {str(value)[:80]!r} to {str(name)[:80]!r}")
    content = {"chosen_by": by or "a person", "answers": dict(sorted(answers.items()))}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return sum(value != NONE for value in answers.values())


def load_answers(path: Path) -> tuple[dict[str, str], str]:
    """Answers and who gave them.

    Raises:
        UserError: nobody has answered yet, or the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): str(v) for k, v in content["answers"].items()}, str(content["chosen_by"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} must hold answers of a page, got {error!r}: open the page and choose first") from error


def choice_path(dataset: Path, name: str) -> Path:
    """Where the answers of a page lie."""
    return dataset / "tests" / f"{name}.choice.json"


def load_choice(dataset: Path, name: str) -> tuple[dict[str, str], str]:
    """The chosen sticker of each word of a test set, and who chose; words without a good one are left out."""
    answers, by = load_answers(choice_path(dataset, name))
    return {word: key for word, key in answers.items() if key != NONE}, by


def labelled_shards(dataset: Path, answers: Mapping[str, str], to: Path) -> int:
    """Copy labelled stickers into shards whose `domain` is the label: what `experiments/curation/domain.yaml` fits.

    Args:
        dataset: a curated data set.
        answers: key -> `cartoon`, `real` or `unsure`, which is left out.
        to: a new folder.

    Returns:
        How many were written.
    """
    shards = StickerShards(dataset)
    rows = {shards.key(row): row for row in range(len(shards))}
    count = 0
    with ShardWriter(to) as writer:
        for key, label in sorted(answers.items()):
            if label not in ("cartoon", "real") or key not in rows:
                continue
            row = rows[key]
            durations = shards.durations(row)
            places = np.unique(np.linspace(0, len(durations) - 1, min(8, len(durations))).round().astype(int)).tolist()
            sticker = Sticker(shards.read(row, places), tuple(durations[place] for place in places))
            info: Row = {**shards.metadata(row).as_json(), "domain": label}
            writer.append(encode_sticker(key, sticker, info, writer.how))
            count += 1
    return count

"""What the answers mean: the file that raters never see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from glassine.errors import UserError
from glassine.study.questions import Question

KEY_NAME = "key.json"
ANSWERS_NAME = "answers"
SITE_NAME = "site"


@dataclass(frozen=True)
class Clip:
    """Whose sticker a clip of the page is, and of which item."""

    method: str
    item: str


@dataclass(frozen=True)
class KeyTrial:
    """A trial's item and clips, and the id of the trial that it repeats."""

    item: str
    clips: tuple[str, ...]
    repeats: str | None = None


@dataclass(frozen=True)
class StudyKey:
    """The study as its owner knows it.

    Attributes:
        study: id, which changes with anything that raters see.
        title: of the page.
        show: `pairs` or `all`.
        forms: how many orders the page has.
        seed: of the lot.
        methods: name to folder.
        questions: in the page's order.
        clips: name of a file, without suffix, to what it is.
        trials: id to what is compared.
        skipped: item to why it was left out.
        version: of glassine.
        date: of the build, UTC.
    """

    study: str
    title: str
    show: str
    forms: int
    seed: int
    methods: Mapping[str, str]
    questions: tuple[Question, ...]
    clips: Mapping[str, Clip]
    trials: Mapping[str, KeyTrial]
    skipped: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    date: str = ""

    def save(self, folder: Path) -> None:
        """Write `key.json`."""
        (folder / KEY_NAME).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_key(folder: Path) -> StudyKey:
    """Read the key of a study's folder.

    Raises:
        UserError: no study there, or its key is damaged.
    """
    path = folder / KEY_NAME
    if not path.is_file():
        raise UserError(f"{folder} holds no study ({KEY_NAME} is not there); give a folder that `study build` wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["questions"] = tuple(Question(**question) for question in content["questions"])
        content["clips"] = {name: Clip(**clip) for name, clip in content["clips"].items()}
        content["trials"] = {
            name: KeyTrial(trial["item"], tuple(trial["clips"]), trial["repeats"])
            for name, trial in content["trials"].items()
        }
        return StudyKey(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or build the study again") from error

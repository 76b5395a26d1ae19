"""Where the server keeps answers: a file for each rater."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from glassine.study.answers import SUFFIX, RaterAnswers, append_lines, parse_answer, rater_name, read_answers
from glassine.study.key import ANSWERS_NAME, StudyKey


class AnswerStore:
    """Starts raters, knows what they said, and adds to it; safe to call from several threads.

    Args:
        folder: of the study.
        key: of the study.
    """

    def __init__(self, folder: Path, key: StudyKey) -> None:
        self._folder, self._key = folder / ANSWERS_NAME, key
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()

    def start(self, name: object) -> RaterAnswers:
        """What the rater has said so far; a new rater gets the next form.

        Raises:
            UserError: a name that cannot be used, or a file of that name from another study.
        """
        rater = rater_name(name)
        with self._lock:
            return self._start(rater)

    def save(self, name: object, contents: Sequence[object]) -> int:
        """Add answers; they are on the disk when this returns. None is added unless all are sound.

        Args:
            name: of the rater.
            contents: JSON values, as `parse_answer` takes them.

        Returns:
            How many.

        Raises:
            UserError: a name or an answer that cannot be used.
            OSError: the disk took them not, or not all.
        """
        rater = rater_name(name)
        answers = [parse_answer(content, self._key) for content in contents]
        with self._lock:
            if not self._path(rater).exists():
                self._start(rater)
            append_lines(self._path(rater), answers)
        return len(answers)

    def _path(self, rater: str) -> Path:
        return self._folder / f"{rater}{SUFFIX}"

    def _start(self, rater: str) -> RaterAnswers:
        path = self._path(rater)
        if not path.exists() or not path.stat().st_size:
            form = sum(other != path for other in self._folder.glob(f"*{SUFFIX}")) % self._key.forms
            started = datetime.now(UTC).isoformat(timespec="seconds")
            append_lines(path, [{"study": self._key.study, "rater": rater, "form": form, "time": started}])
        return read_answers(path, self._key)

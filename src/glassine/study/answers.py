"""The file of one rater's answers: JSON Lines, a header and then a line for each answer, never changed, only added to.

A later answer to the same question of the same trial replaces the earlier one. A line that was cut off by a crash is
passed over, so everything before and after it still counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glassine.errors import UserError
from glassine.study.key import StudyKey

SUFFIX = ".jsonl"
MOST_MS = 24 * 3600 * 1000  # a page left open over night is no longer to think
_RATER = re.compile(r"[\w-]{1,40}")


@dataclass(frozen=True)
class Answer:
    """What a rater said.

    Attributes:
        trial: id.
        question: name.
        choice: the clip that was chosen, or None for no difference.
        shown: the clips from left to right.
        background: of the page at that moment.
        ms: from showing the question to the answer.
        time: of the answer, ISO 8601 in UTC.
    """

    trial: str
    question: str
    choice: str | None
    shown: tuple[str, ...]
    background: str = ""
    ms: int = 0
    time: str = ""


@dataclass(frozen=True)
class RaterAnswers:
    """A rater's file: the answers in the order given, and how many lines could not be used."""

    rater: str
    form: int
    answers: tuple[Answer, ...]
    unusable: int = 0


def rater_name(name: object) -> str:
    """The name as files are called by it: lower case, without spaces around.

    Raises:
        UserError: not 1 to 40 letters, digits, `_` and `-`.
    """
    cleaned = unicodedata.normalize("NFC", str(name)).strip().lower()
    if not isinstance(name, str) or not _RATER.fullmatch(cleaned):
        raise UserError(f"the name {str(name)[:60]!r} came; give 1 to 40 letters, digits, '-' and '_', without spaces")
    return cleaned


def parse_answer(content: object, key: StudyKey) -> Answer:
    """An answer from JSON values, checked against the study.

    Raises:
        UserError: not an answer to a question of this study.
    """
    try:
        given: Mapping[str, Any] = content  # type: ignore[assignment]
        answer = Answer(
            _text(given["trial"]),
            _text(given["question"]),
            None if given["choice"] is None else _text(given["choice"]),
            tuple(map(_text, given["shown"])),
            _text(given.get("background", ""))[:40],
            min(max(0, int(given.get("ms", 0))), MOST_MS),
            _text(given.get("time", ""))[:40],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"an answer without {error} came; it needs trial, question, choice and shown") from error
    trial = key.trials.get(answer.trial)
    if trial is None or answer.question not in {question.name for question in key.questions}:
        raise UserError(
            f"an answer to {answer.trial[:60]!r}, {answer.question[:60]!r} came, which this study does not ask"
        )
    if sorted(answer.shown) != sorted(trial.clips) or answer.choice not in (None, *trial.clips):
        raise UserError(f"an answer to trial {answer.trial!r} came that names other stickers than it shows")
    return answer


def _text(value: object) -> str:
    """Text that can be written: halves of surrogate pairs become question marks."""
    return str(value)[:400].encode("utf-8", "replace").decode()


def read_answers(path: Path, key: StudyKey) -> RaterAnswers:
    """Read a file that `append_lines` or the page wrote.

    Raises:
        UserError: unreadable, no such file, or of another study.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or 'error').lower()}); check the name") from error
    header = _parse_line(lines[0]) if lines else None
    if header is None or not isinstance(header.get("study"), str) or "rater" not in header:
        raise UserError(f"{path} is no file of answers (its first line names no study and rater); leave it out")
    if header["study"] != key.study:
        raise UserError(f"{path} is of study {header['study']}, this one is {key.study}; leave it out")
    answers, unusable = list[Answer](), 0
    for line in lines[1:]:
        content = _parse_line(line)
        if content is not None and "rater" in content:
            continue  # a second header, where two downloads were joined
        try:
            answers.append(parse_answer(content, key))
        except UserError:
            unusable += bool(line.strip())
    try:
        rater = rater_name(header["rater"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    form = header.get("form")
    form = form if isinstance(form, int) and 0 <= form < key.forms else 0
    return RaterAnswers(rater, form, tuple(answers), unusable)


def _parse_line(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def append_lines(path: Path, contents: Iterable[Mapping[str, Any] | Answer]) -> None:
    """Add a line for each of `contents`; they are on the disk when this returns.

    Raises:
        OSError: they are not, or not all.
    """
    new = not path.exists()
    values = (asdict(content) if isinstance(content, Answer) else content for content in contents)
    lines = b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a crash has cut the last line off
                lines = b"\n" + lines
        try:
            left = memoryview(lines)
            while left:
                left = left[file.write(left) or 0 :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
    if new and hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

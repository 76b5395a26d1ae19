"""The raters' answers: one append-only JSON Lines file per rater, with a header and one line per answer.

A later answer to the same question of the same trial replaces the earlier one. A line truncated by a crash is skipped;
everything before and after it still counts. :func:`read_raters` determines which raters passed the checks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import threading
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glassine.study.plan import ANSWERS_NAME, StudyKey
from glassine.utils.errors import UserError
from glassine.utils.files import read_plain

SUFFIX = ".jsonl"
MOST_MS = 24 * 3600 * 1000  # a page left open overnight is not thinking time
_RATER = re.compile(r"[\w-]{1,40}")


@dataclass(frozen=True)
class Answer:
    """A rater's answer.

    Attributes:
        trial: id.
        question: name.
        choice: the chosen clip, or None for no difference.
        shown: the clips from left to right.
        background: background of the page at that moment.
        ms: time from question to answer.
        time: time of the answer, ISO 8601 in UTC.
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
    """A rater's file: the answers in order, and the number of unusable lines."""

    rater: str
    form: int
    answers: tuple[Answer, ...]
    unusable: int = 0


def rater_name(name: object) -> str:
    """The normalized name used for files: lower case, stripped.

    Raises:
        UserError: not 1 to 40 letters, digits, `_` and `-`.
    """
    cleaned = unicodedata.normalize("NFC", str(name)).strip().lower()
    if not isinstance(name, str) or not _RATER.fullmatch(cleaned):
        raise UserError(
            f"the name must be 1 to 40 letters, digits, '-' and '_', without spaces, got {str(name)[:60]!r}"
        )
    return cleaned


def parse_answer(content: object, key: StudyKey) -> Answer:
    """An answer from JSON values, checked against the study.

    Raises:
        UserError: it does not answer a question of this study.
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
        raise UserError(f"an answer must have trial, question, choice and shown, got none of {error}") from error
    trial = key.trials.get(answer.trial)
    if trial is None or answer.question not in {question.name for question in key.questions}:
        raise UserError(
            f"an answer must be to a question of this study, got {answer.trial[:60]!r}, {answer.question[:60]!r}"
        )
    if sorted(answer.shown) != sorted(trial.clips) or answer.choice not in (None, *trial.clips):
        raise UserError(f"an answer to trial {answer.trial!r} must name the stickers shown, got others")
    return answer


def _text(value: object) -> str:
    """Encodable text: unpaired surrogates become question marks."""
    return str(value)[:400].encode("utf-8", "replace").decode()


def read_answers(path: Path, key: StudyKey) -> RaterAnswers:
    """Read a file written by `append_lines` or the page.

    Raises:
        UserError: the file is missing, unreadable, or from another study.
    """
    try:
        lines = read_plain(path).splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or 'error').lower()}); check the name") from error
    header = _parse_line(lines[0]) if lines else None
    if header is None or not isinstance(header.get("study"), str) or "rater" not in header:
        raise UserError(f"{path} is not an answer file (its first line names no study and rater); leave it out")
    if header["study"] != key.study:
        raise UserError(f"{path} is from study {header['study']}, this one is {key.study}; leave it out")
    answers, unusable = list[Answer](), 0
    for line in lines[1:]:
        content = _parse_line(line)
        if content is not None and "rater" in content:
            continue  # a second header, if two downloads were concatenated
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
    """Append one line per item of `contents`; they are on disk when this returns.

    Raises:
        OSError: they could not all be written.
    """
    new = not path.exists()
    values = (asdict(content) if isinstance(content, Answer) else content for content in contents)
    lines = b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a crash truncated the last line
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


class AnswerStore:
    """Registers raters, and reads and appends their answers; thread-safe.

    Args:
        folder: folder of the study.
        key: key of the study.
    """

    def __init__(self, folder: Path, key: StudyKey) -> None:
        self._folder, self._key = folder / ANSWERS_NAME, key
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()

    def start(self, name: object) -> RaterAnswers:
        """The rater's answers so far; a new rater gets the next form.

        Raises:
            UserError: an invalid name, or a file of that name from another study.
        """
        rater = rater_name(name)
        with self._lock:
            return self._start(rater)

    def save(self, name: object, contents: Sequence[object]) -> int:
        """Append answers; they are on disk when this returns. Nothing is appended unless all are valid.

        Args:
            name: of the rater.
            contents: JSON values, as for `parse_answer`.

        Returns:
            The number of answers.

        Raises:
            UserError: an invalid name or answer.
            OSError: they could not all be written.
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


@dataclass(frozen=True)
class Rater:
    """One rater.

    Attributes:
        name: as given.
        answers: the last one to each question of each trial, checks included.
        unusable: lines that are truncated or not answers.
        checks: number of answers that were asked for and given twice.
        consistency: share of those that agree; None if there are none.
        first_share: share of the answers choosing a sticker that chose the first one.
        seconds: median time per answer.
        counted: whether the answers count; False if the rater fails the checks.
    """

    name: str
    answers: tuple[Answer, ...]
    unusable: int
    checks: int
    consistency: float | None
    first_share: float | None
    seconds: float | None
    counted: bool


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The answer files in folders, and those given directly.

    Raises:
        UserError: there are none.
    """
    paths = list(paths)
    found = [file for path in paths for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not found:
        raise UserError(f"no answers yet in {', '.join(map(str, paths))}; put the raters' {SUFFIX} files there")
    return list(dict.fromkeys(found))


def read_raters(paths: Iterable[Path], key: StudyKey, min_consistency: float) -> list[Rater]:
    """Read the files; several files of one rater are merged.

    Args:
        paths: files.
        key: of the study.
        min_consistency: minimum share of the checks that must agree.

    Raises:
        UserError: an unusable file, no answers, or no rater who passes the checks.
    """
    files = dict[str, list[RaterAnswers]]()
    for path in paths:
        content = read_answers(path, key)
        files.setdefault(content.rater, []).append(content)
    raters = [_rater(name, given, key, min_consistency) for name, given in sorted(files.items())]
    if not any(rater.answers for rater in raters):
        raise UserError(f"{len(raters)} raters have started and none has answered yet; wait for answers")
    if not any(rater.counted and rater.answers for rater in raters):
        raise UserError(f"no rater answers {min_consistency:.0%} of the checks consistently; lower --min-consistency")
    return raters


def _rater(name: str, files: Sequence[RaterAnswers], key: StudyKey, min_consistency: float) -> Rater:
    given = [answer for file in files for answer in file.answers]
    if len(files) > 1:  # for instance two downloads at different times
        given.sort(key=lambda answer: answer.time)
    last = {(answer.trial, answer.question): answer for answer in given}
    same = [
        answer.choice == again.choice
        for (trial, question), again in last.items()
        if (repeats := key.trials[trial].repeats) is not None and (answer := last.get((repeats, question))) is not None
    ]
    chosen = [answer.choice == answer.shown[0] for answer in last.values() if answer.choice is not None]
    times = [answer.ms / 1000 for answer in last.values() if answer.ms]
    consistency = sum(same) / len(same) if same else None
    return Rater(
        name,
        tuple(last.values()),
        sum(file.unusable for file in files),
        len(same),
        consistency,
        sum(chosen) / len(chosen) if chosen else None,
        statistics.median(times) if times else None,
        consistency is None or consistency >= min_consistency,
    )

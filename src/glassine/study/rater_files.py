"""The answer files of raters: one append-only JSON Lines file each, with a header and one line per answer.

What an answer is differs between a study (`glassine.study.answers`) and a review of clips; files and server do not.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from glassine.utils.errors import UserError
from glassine.utils.files import read_plain
from glassine.utils.json_lines import append_lines, parse_line

SUFFIX = ".jsonl"
MOST_MS = 24 * 3600 * 1000  # a page left open overnight is not thinking time
_RATER = re.compile(r"[\w-]{1,40}")
A = TypeVar("A")
Parse = Callable[[object], A]
"""An answer from JSON values; raises UserError where it is none."""


@dataclass(frozen=True)
class RaterAnswers(Generic[A]):
    """A rater's file: the answers in order, and the number of unusable lines."""

    rater: str
    form: int
    answers: tuple[A, ...]
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


def encodable(value: object) -> str:
    """Encodable text: unpaired surrogates become question marks."""
    return str(value)[:400].encode("utf-8", "replace").decode()


def read_rater_file(path: Path, study: str, forms: int, parse: Parse[A]) -> RaterAnswers[A]:
    """Read a file written by `append_lines` or a page.

    Args:
        path: of the file.
        study: id of the study or review that it must belong to.
        forms: number of orders of the page.
        parse: of an answer.

    Raises:
        UserError: the file is missing, unreadable, or from another study.
    """
    try:
        lines = read_plain(path).splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or 'error').lower()}); check the name") from error
    header = parse_line(lines[0]) if lines else None
    if header is None or not isinstance(header.get("study"), str) or "rater" not in header:
        raise UserError(f"{path} is not an answer file (its first line names no study and rater); leave it out")
    if header["study"] != study:
        raise UserError(f"{path} is from study {header['study']}, this one is {study}; leave it out")
    answers, unusable = list[A](), 0
    for line in lines[1:]:
        content = parse_line(line)
        if content is not None and "rater" in content:
            continue  # a second header, if two downloads were concatenated
        try:
            answers.append(parse(content))
        except UserError:
            unusable += bool(line.strip())
    try:
        rater = rater_name(header["rater"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    form = header.get("form")
    form = form if isinstance(form, int) and 0 <= form < forms else 0
    return RaterAnswers(rater, form, tuple(answers), unusable)


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


class RaterFiles(Generic[A]):
    """Registers raters, and reads and appends their answers; thread-safe.

    Args:
        folder: where their files are; made if it does not exist.
        study: id of the study or review.
        forms: number of orders of the page; raters get them in turn.
        parse: of an answer.
        reserved: names that no rater may have.
    """

    def __init__(self, folder: Path, study: str, forms: int, parse: Parse[A], reserved: Sequence[str] = ()) -> None:
        self._folder, self._study, self._forms, self._parse, self._reserved = folder, study, forms, parse, reserved
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()

    def start(self, name: object) -> RaterAnswers[A]:
        """The rater's answers so far; a new rater gets the next form.

        Raises:
            UserError: an invalid name, or a file of that name from another study.
        """
        rater = self._name(name)
        with self._lock:
            return self._start(rater)

    def save(self, name: object, contents: Sequence[object]) -> int:
        """Append answers; they are on disk when this returns. Nothing is appended unless all are valid.

        Args:
            name: of the rater.
            contents: JSON values of the answers.

        Returns:
            The number of answers.

        Raises:
            UserError: an invalid name or answer.
            OSError: they could not all be written.
        """
        rater = self._name(name)
        answers = [self._parse(content) for content in contents]
        with self._lock:
            if not self._path(rater).exists():
                self._start(rater)
            append_lines(self._path(rater), answers)
        return len(answers)

    def _name(self, name: object) -> str:
        rater = rater_name(name)
        if rater in self._reserved:
            raise UserError(f"the name {rater!r} is reserved here; take another one")
        return rater

    def _path(self, rater: str) -> Path:
        return self._folder / f"{rater}{SUFFIX}"

    def _others(self, path: Path) -> int:
        taken = {f"{name}{SUFFIX}" for name in self._reserved}
        return sum(other != path and other.name not in taken for other in self._folder.glob(f"*{SUFFIX}"))

    def _start(self, rater: str) -> RaterAnswers[A]:
        path = self._path(rater)
        if not path.exists() or not path.stat().st_size:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            header = {"study": self._study, "rater": rater, "form": self._others(path) % self._forms, "time": started}
            append_lines(path, [header])
        return read_rater_file(path, self._study, self._forms, self._parse)

"""The raters' answers to a study.

A later answer to the same question of the same trial replaces the earlier one. A line truncated by a crash is skipped;
everything before and after it still counts. :func:`read_raters` determines which raters passed the checks.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from glassine.study.plan import ANSWERS_NAME, StudyKey
from glassine.study.rater_files import MOST_MS, RaterAnswers, RaterFiles, encodable, read_rater_file
from glassine.utils.errors import UserError


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


def parse_answer(content: object, key: StudyKey) -> Answer:
    """An answer from JSON values, checked against the study.

    Raises:
        UserError: it does not answer a question of this study.
    """
    try:
        given: Mapping[str, Any] = content  # type: ignore[assignment]
        answer = Answer(
            encodable(given["trial"]),
            encodable(given["question"]),
            None if given["choice"] is None else encodable(given["choice"]),
            tuple(map(encodable, given["shown"])),
            encodable(given.get("background", ""))[:40],
            min(max(0, int(given.get("ms", 0))), MOST_MS),
            encodable(given.get("time", ""))[:40],
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


def read_answers(path: Path, key: StudyKey) -> RaterAnswers[Answer]:
    """Read a rater's file.

    Raises:
        UserError: the file is missing, unreadable, or from another study.
    """
    return read_rater_file(path, key.study, key.forms, partial(parse_answer, key=key))


class AnswerStore(RaterFiles[Answer]):
    """The answers to a study.

    Args:
        folder: folder of the study.
        key: key of the study.
    """

    def __init__(self, folder: Path, key: StudyKey) -> None:
        super().__init__(folder / ANSWERS_NAME, key.study, key.forms, partial(parse_answer, key=key))


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


def read_raters(paths: Iterable[Path], key: StudyKey, min_consistency: float) -> list[Rater]:
    """Read the files; several files of one rater are merged.

    Args:
        paths: files.
        key: of the study.
        min_consistency: minimum share of the checks that must agree.

    Raises:
        UserError: an unusable file, no answers, or no rater who passes the checks.
    """
    files = dict[str, list[RaterAnswers[Answer]]]()
    for path in paths:
        content = read_answers(path, key)
        files.setdefault(content.rater, []).append(content)
    raters = [_rater(name, given, key, min_consistency) for name, given in sorted(files.items())]
    if not any(rater.answers for rater in raters):
        raise UserError(f"{len(raters)} raters have started and none has answered yet; wait for answers")
    if not any(rater.counted and rater.answers for rater in raters):
        raise UserError(f"no rater answers {min_consistency:.0%} of the checks consistently; lower --min-consistency")
    return raters


def _rater(name: str, files: Sequence[RaterAnswers[Answer]], key: StudyKey, min_consistency: float) -> Rater:
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

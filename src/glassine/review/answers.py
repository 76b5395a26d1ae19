"""What annotators answer: for each prompt, the clips that they would share; also nothing, if they would share none.

A later answer to the same prompt replaces the earlier one; one that was taken back leaves the prompt open.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from glassine.review.plan import ReviewKey
from glassine.study.plan import ANSWERS_NAME
from glassine.study.rater_files import MOST_MS, RaterAnswers, RaterFiles, encodable, read_rater_file
from glassine.utils.errors import UserError

PROXY = "proxy"
"""Name of the annotator that is no person; nobody else may have it."""
QUESTION = "share"


@dataclass(frozen=True)
class ShareAnswer:
    """An annotator's answer.

    Attributes:
        trial: id.
        chosen: the clips that they would share, none of them if it is empty; None if they took their answer back.
        shown: the clips in the order of the page.
        background: of the page at that moment.
        ms: time from question to answer.
        time: time of the answer, ISO 8601 in UTC.
        session: of the page, drawn anew when it is opened.
        reasons: of the proxy, why it rejected each clip that it did not choose.
        question: always the same.
    """

    trial: str
    chosen: tuple[str, ...] | None
    shown: tuple[str, ...]
    background: str = ""
    ms: int = 0
    time: str = ""
    session: str = ""
    reasons: Mapping[str, Sequence[str]] | None = None
    question: str = QUESTION


def parse_share_answer(content: object, key: ReviewKey) -> ShareAnswer:
    """An answer from JSON values, checked against the review.

    Raises:
        UserError: it does not answer a prompt of this review.
    """
    try:
        given: Mapping[str, Any] = content  # type: ignore[assignment]
        chosen, reasons = given["chosen"], given.get("reasons")
        answer = ShareAnswer(
            encodable(given["trial"]),
            None if chosen is None else tuple(map(encodable, _list(chosen))),
            tuple(map(encodable, _list(given["shown"]))),
            encodable(given.get("background", ""))[:40],
            min(max(0, int(given.get("ms", 0))), MOST_MS),
            encodable(given.get("time", ""))[:40],
            encodable(given.get("session", ""))[:40],
            None if reasons is None else {str(clip): tuple(map(encodable, why)) for clip, why in reasons.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"an answer must have trial, chosen and shown, got none of {error}") from error
    trial = key.trials.get(answer.trial)
    if trial is None:
        raise UserError(f"an answer must be to a prompt of this review, got {answer.trial[:60]!r}")
    if sorted(answer.shown) != sorted(trial.clips):
        raise UserError(f"an answer to {answer.trial!r} must name the clips shown, got others")
    chosen = answer.chosen or ()
    if len(set(chosen)) < len(chosen) or not set(chosen) <= set(trial.clips):
        raise UserError(f"an answer to {answer.trial!r} must choose among the clips shown, each once, got others")
    return answer


def _list(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise TypeError("lists")
    return list(value)


def read_share_answers(path: Path, key: ReviewKey) -> RaterAnswers[ShareAnswer]:
    """Read an annotator's file.

    Raises:
        UserError: the file is missing, unreadable, or from another review.
    """
    return read_rater_file(path, key.review, key.forms, partial(parse_share_answer, key=key))


class ShareAnswers(RaterFiles[ShareAnswer]):
    """The answers to a review; the proxy's name is taken.

    Args:
        folder: of the review.
        key: of the review.
    """

    def __init__(self, folder: Path, key: ReviewKey) -> None:
        parse = partial(parse_share_answer, key=key)
        super().__init__(folder / ANSWERS_NAME, key.review, key.forms, parse, (PROXY,))


@dataclass(frozen=True)
class Annotator:
    """One annotator.

    Attributes:
        name: as given.
        answers: the last one to each prompt; none that was taken back.
        unusable: lines that are truncated or not answers.
        seconds: median time per prompt; None if unknown.
        mixed: whether answers of two pages alternate: two people, or two tabs, with one name.
    """

    name: str
    answers: Mapping[str, ShareAnswer]
    unusable: int
    seconds: float | None
    mixed: bool


def read_annotators(paths: Iterable[Path], key: ReviewKey) -> list[Annotator]:
    """Read answer files; the proxy is among the annotators if it has answered.

    Two files of one name are one annotator's if one of them goes on where the other stops.

    Raises:
        UserError: an unusable file, or two files of one name whose answers are not one annotator's.
    """
    found = dict[str, tuple[Path, RaterAnswers[ShareAnswer]]]()
    for path in paths:
        given = read_share_answers(path, key)
        if given.rater not in found:
            found[given.rater] = path, given
            continue
        other_path, other = found[given.rater]
        shorter, longer = sorted((given, other), key=lambda one: len(one.answers))
        if not set(_ids(shorter)) <= set(_ids(longer)):
            raise UserError(
                f"annotators must have different names, got {given.rater!r} in {other_path} and {path}, each with "
                'answers that the other has not: change "rater" in the first line of one of them, or leave it out'
            )
        if longer is given:
            found[given.rater] = path, given
    return [_annotator(name, given) for name, (_, given) in sorted(found.items())]


def _ids(given: RaterAnswers[ShareAnswer]) -> list[tuple[Any, ...]]:
    return [(answer.trial, answer.chosen, answer.shown, answer.time) for answer in given.answers]


def _annotator(name: str, given: RaterAnswers[ShareAnswer]) -> Annotator:
    last = {answer.trial: answer for answer in given.answers}
    times = [answer.ms / 1000 for answer in given.answers if answer.ms and answer.chosen is not None]
    runs = [session for session, _ in groupby(answer.session for answer in given.answers if answer.session)]
    return Annotator(
        name,
        {trial: answer for trial, answer in last.items() if answer.chosen is not None},
        given.unusable,
        statistics.median(times) if times else None,
        len(set(runs)) < len(runs),
    )

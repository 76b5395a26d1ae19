"""All answers to a study, who gave them, and whom to believe."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassine.errors import UserError
from glassine.study.answers import SUFFIX, Answer, RaterAnswers, read_answers
from glassine.study.key import StudyKey


@dataclass(frozen=True)
class Rater:
    """One rater.

    Attributes:
        name: as given.
        answers: the last one to each question of each trial, checks included.
        unusable: lines of the files that are cut off or no answers.
        checks: how many answers were asked for twice and given twice.
        consistency: the share of those that came out the same; None without any.
        first_share: of the answers that chose a sticker, those that chose the first one.
        seconds: median time for an answer.
        counted: whether the answers count; not those of a rater who fails the checks.
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
    """The files of answers in folders, and those named outright.

    Raises:
        UserError: none.
    """
    paths = list(paths)
    found = [file for path in paths for file in (sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path])]
    if not found:
        raise UserError(f"no answers yet in {', '.join(map(str, paths))}; put the raters' {SUFFIX} files there")
    return list(dict.fromkeys(found))


def read_raters(paths: Iterable[Path], key: StudyKey, min_consistency: float) -> list[Rater]:
    """Read the files; several of one rater are one.

    Args:
        paths: files.
        key: of the study.
        min_consistency: the least share of the checks that must come out the same.

    Raises:
        UserError: a file that cannot be used, no answer at all, or no rater who passes.
    """
    files = dict[str, list[RaterAnswers]]()
    for path in paths:
        content = read_answers(path, key)
        files.setdefault(content.rater, []).append(content)
    raters = [_rater(name, given, key, min_consistency) for name, given in sorted(files.items())]
    if not any(rater.answers for rater in raters):
        raise UserError(f"{len(raters)} raters have begun and none has answered yet; wait for answers")
    if not any(rater.counted and rater.answers for rater in raters):
        raise UserError(f"no rater answers {min_consistency:.0%} of the checks the same twice; lower --min-consistency")
    return raters


def _rater(name: str, files: Sequence[RaterAnswers], key: StudyKey, min_consistency: float) -> Rater:
    given = [answer for file in files for answer in file.answers]
    if len(files) > 1:  # a download and a later one, for instance
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

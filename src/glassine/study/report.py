"""What a study found, as JSON values."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from glassine import __version__
from glassine.study.agreement import agreeing_share, krippendorff_alpha
from glassine.study.key import StudyKey
from glassine.study.preference import Judgement, preferences
from glassine.study.raters import Rater

OVERALL = "overall"


def make_report(key: StudyKey, raters: Sequence[Rater], resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Win rates and agreement by question and overall, and a line for each rater.

    Only raters who count are in rates and agreement, and checks are in neither. Overall pools the answers to all
    questions. Agreement takes as value which of the trial's clips was chosen, numbered in the order of their names,
    which is random: with methods as values, raters who always prefer the same method would count as agreeing by chance.

    Args:
        key: of the study.
        raters: from `read_raters`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `questions`: name to `text`, `methods` (see `Preference`), `pairs` (the same of the first method against the
        second, where more than two were shown in pairs), `answers`, `alpha` (Krippendorff's, nominal) and `agreement`
        (the share of pairs of raters who say the same).
    """
    texts = {question.name: question.text for question in key.questions}
    answers = [
        (rater.name, answer)
        for rater in raters
        if rater.counted
        for answer in rater.answers
        if key.trials[answer.trial].repeats is None
    ]
    judgements = [
        Judgement(
            name,
            key.trials[answer.trial].item,
            answer.question,
            tuple(key.clips[clip].method for clip in answer.shown),
            None if answer.choice is None else key.clips[answer.choice].method,
        )
        for name, answer in answers
    ]
    units = defaultdict[tuple[str, str], list[int]](list)
    for _, answer in answers:
        clips = sorted(key.trials[answer.trial].clips)
        value = -1 if answer.choice is None else clips.index(answer.choice)
        units[answer.question, answer.trial].append(value)

    def section(question: str | None) -> dict[str, Any]:
        chosen = [judgement for judgement in judgements if question in (None, judgement.question)]
        values = [unit for (asked, _), unit in units.items() if question in (None, asked)]
        methods = preferences(chosen, list(key.methods), resamples, seed)
        return {
            "text": OVERALL if question is None else texts[question],
            "answers": len(chosen),
            "methods": {method: asdict(preference) for method, preference in methods.items()},
            "pairs": _pairs(chosen, key, resamples, seed),
            "alpha": krippendorff_alpha(values),
            "agreement": agreeing_share(values),
        }

    sections = {name: section(name) for name in texts}
    return {
        "study": key.study,
        "title": key.title,
        "show": key.show,
        "items": len({trial.item for trial in key.trials.values()}),
        "trials": sum(trial.repeats is None for trial in key.trials.values()),
        "checks": sum(trial.repeats is not None for trial in key.trials.values()),
        "skipped": dict(key.skipped),
        "methods": dict(key.methods),
        "questions": sections if len(sections) == 1 else {**sections, OVERALL: section(None)},
        "raters": [_rater_row(rater, key) for rater in raters],
        "resamples": resamples,
        "seed": seed,
        "glassine": __version__,
        "built": key.date,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _pairs(judgements: Sequence[Judgement], key: StudyKey, resamples: int, seed: int) -> list[dict[str, Any]]:
    if key.show != "pairs" or len(key.methods) < 3:
        return []
    pairs = []
    for first, second in itertools.combinations(key.methods, 2):
        between = [judgement for judgement in judgements if set(judgement.shown) == {first, second}]
        if between:
            preference = preferences(between, [first, second], resamples, seed)[first]
            pairs.append({"first": first, "second": second, **asdict(preference)})
    return pairs


def _rater_row(rater: Rater, key: StudyKey) -> dict[str, Any]:
    asked = len(key.trials) * len(key.questions)
    return {
        "name": rater.name,
        "answers": len(rater.answers),
        "asked": asked,
        "unusable": rater.unusable,
        "checks": rater.checks,
        "consistency": rater.consistency,
        "first_share": rater.first_share,
        "seconds": rater.seconds,
        "counted": rater.counted,
    }

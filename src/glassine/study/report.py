"""The results of a study as JSON values: win rates with intervals, and inter-rater agreement beyond chance.

Intervals account for correlations between answers of one rater and answers about one item.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from glassine import __version__
from glassine.study.answers import Rater
from glassine.study.plan import StudyKey


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal values, any number of raters, missing values allowed.

    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C: from the coincidence matrix `o`,
    in which each ordered pair of values of a unit with `m` of them counts 1 / (m - 1), alpha is
    `1 - (n - 1) * sum_{c != k} o_ck / sum_{c != k} n_c n_k`.

    Args:
        units: the ratings of each unit, in any order; units with fewer than two are ignored.

    Returns:
        At most 1; 0 is chance level. None if undefined: nothing to compare, or only one value.
    """
    compared = [unit for unit in units if len(unit) > 1]
    values = {value: number for number, value in enumerate(dict.fromkeys(itertools.chain(*compared)))}
    coincidences = np.zeros((len(values), len(values)))
    for unit in compared:
        coincidences += unit_coincidences(np.bincount([values[value] for value in unit], minlength=len(values)))
    alpha = float(alpha_of(coincidences))
    return None if np.isnan(alpha) else alpha


def unit_coincidences(counts: np.ndarray) -> np.ndarray:
    """The coincidences `v v` of a unit with so many ratings of each value, `v`; zeros for fewer than two ratings."""
    counts = counts.astype(float)
    return (np.outer(counts, counts) - np.diag(counts)) / max(1.0, counts.sum() - 1)


def alpha_of(coincidences: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha of coincidence matrices `... v v`; NaN where it is undefined."""
    totals = coincidences.sum(-2)
    disagreements = totals.sum(-1) - np.trace(coincidences, axis1=-2, axis2=-1)
    expected = totals.sum(-1) ** 2 - (totals**2).sum(-1)
    scaled = (totals.sum(-1) - 1) * disagreements
    return 1 - np.divide(scaled, expected, out=np.full_like(expected, np.nan), where=expected > 1e-9)


def agreeing_share(units: Iterable[Sequence[Hashable]]) -> float | None:
    """The share of rater pairs that gave a unit the same value; None without any pair."""
    pairs = [first == second for unit in units for first, second in itertools.combinations(unit, 2)]
    return sum(pairs) / len(pairs) if pairs else None


_AT_ONCE = 250


@dataclass(frozen=True)
class Judgement:
    """One answer, with the methods' names.

    Attributes:
        rater: name of the rater.
        item: item shown.
        question: name.
        shown: methods compared.
        choice: the best of them, or None for no difference.
    """

    rater: str
    item: str
    question: str
    shown: tuple[str, ...]
    choice: str | None


@dataclass(frozen=True)
class Preference:
    """Raters' preferences for one method.

    Attributes:
        wins: number of times it was chosen.
        ties: number of times no difference was seen.
        losses: number of times another one was chosen.
        rate: wins, plus ties split among those shown, divided by the number of times shown; None if never shown.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
        chance: rate at chance level.
    """

    wins: int
    ties: int
    losses: int
    rate: float | None
    low: float | None
    high: float | None
    chance: float | None


def preferences(
    judgements: Sequence[Judgement], methods: Sequence[str], resamples: int = 2000, seed: int = 0
) -> dict[str, Preference]:
    """Count preferences, and resample raters and items independently with replacement for the intervals.

    The weight of an answer is how often its rater was drawn times how often its item was drawn: the pigeonhole
    bootstrap (A. Owen, Annals of Applied Statistics 1(2), 2007), which is slightly wide rather than too narrow. With a
    single rater the interval only covers other items, with a single item only other raters.

    Args:
        judgements: answers, several of the same rater about the same item allowed.
        methods: methods to report.
        resamples: number of resamples.
        seed: random seed.
    """
    raters = {name: place for place, name in enumerate(sorted({j.rater for j in judgements}))}
    items = {name: place for place, name in enumerate(sorted({j.item for j in judgements}))}
    columns = {name: place for place, name in enumerate(methods)}
    score = np.zeros((len(raters), len(items), len(methods)))
    shown, counts, chances = np.zeros_like(score), np.zeros((len(methods), 3), int), np.zeros(len(methods))
    for judgement in judgements:
        rater, item = raters[judgement.rater], items[judgement.item]
        for method in judgement.shown:
            column = columns[method]
            tie, won = judgement.choice is None, judgement.choice == method
            even = 1 / len(judgement.shown)
            score[rater, item, column] += even if tie else won
            shown[rater, item, column] += 1
            chances[column] += even
            counts[column] += (won, tie, not (won or tie))
    rates = _shares(score.sum((0, 1))[None], shown.sum((0, 1))[None])[0]
    low, high = _interval(score, shown, resamples, seed) if judgements else (rates, rates)
    evens = _shares(chances[None], shown.sum((0, 1))[None])[0]

    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return {
        method: Preference(
            *(int(count) for count in counts[place]), *(known(values[place]) for values in (rates, low, high, evens))
        )
        for method, place in columns.items()
    }


def _interval(score: np.ndarray, shown: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5th and 97.5th percentiles by method; `score` and `shown` are raters x items x methods."""
    lot, draws = np.random.default_rng(seed), list[np.ndarray]()
    raters, items, _ = score.shape
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        by_rater = lot.multinomial(raters, np.full(raters, 1 / raters), size).astype(float)
        by_item = lot.multinomial(items, np.full(items, 1 / items), size).astype(float)
        won, times = (np.einsum("bim,bi->bm", np.tensordot(by_rater, table, 1), by_item) for table in (score, shown))
        draws.append(_shares(won, times))
    drawn = np.concatenate(draws)
    never = np.isnan(drawn).all(0)  # a method that was not shown
    drawn[:, never] = 0
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.full_like(parts, np.nan), where=wholes > 0)


OVERALL = "overall"


def make_report(key: StudyKey, raters: Sequence[Rater], resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Win rates and agreement by question and overall, and a row for each rater.

    Rates and agreement only include raters who count, and no checks. Overall pools the answers to all questions.
    Agreement is computed on which of the trial's clips was chosen, numbered in the order of their names, which is
    random: with methods as values, raters who always prefer the same method would count as agreeing by chance.

    Args:
        key: of the study.
        raters: from `read_raters`.
        resamples: bootstrap resamples.
        seed: seed of the bootstrap.

    Returns:
        `questions`: name to `text`, `methods` (see `Preference`), `pairs` (the same of the first method against the
        second, if more than two were shown in pairs), `answers`, `alpha` (Krippendorff's, nominal) and `agreement`
        (the share of rater pairs that agree).
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

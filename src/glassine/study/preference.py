"""Win rates, with an interval that knows that answers of one rater, and about one item, are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_AT_ONCE = 250


@dataclass(frozen=True)
class Judgement:
    """One answer, with the methods' names.

    Attributes:
        rater: who.
        item: what the stickers are of.
        question: name.
        shown: methods that were compared.
        choice: the best of them, or None for no difference.
    """

    rater: str
    item: str
    question: str
    shown: tuple[str, ...]
    choice: str | None


@dataclass(frozen=True)
class Preference:
    """What raters thought of one method.

    Attributes:
        wins: times it was chosen.
        ties: times no difference was seen.
        losses: times another one was chosen.
        rate: wins, and ties shared among those shown, of all times it was shown; None if never.
        low: of the 95% interval.
        high: of the 95% interval.
        chance: the rate of a coin.
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
    """Count, and draw raters and items with replacement, each for itself, for the intervals.

    An answer weighs as often as its rater was drawn, times as often as its item was: the pigeonhole bootstrap (A. Owen,
    Annals of Applied Statistics 1(2), 2007), which is a little wide rather than too narrow. With a single rater the
    interval speaks of other items only, with a single item of other raters only.

    Args:
        judgements: answers, several of the same rater about the same item allowed.
        methods: whose rates are wanted.
        resamples: how often to draw.
        seed: of the draws.
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
    """The 2.5th and 97.5th percentile by method; `score` and `shown` are raters x items x methods."""
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

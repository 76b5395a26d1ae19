"""Who sees what, where and when: everything that is drawn by lot, from one seed."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from glassine.errors import UserError

Show = Literal["pairs", "all"]
FORMS = 16
"""How many orders there are; raters take turns at them. Neighbours show the same pairs with sides swapped."""

_DRAWS = 40


@dataclass(frozen=True)
class Trial:
    """Stickers of one item that are compared.

    Attributes:
        id: what pages and answers call it; it tells nothing about item and methods.
        item: name of the files.
        methods: whose stickers are shown, in the order of the command line.
        repeats: the id of the trial that this one shows again with sides swapped, as an attention check.
    """

    id: str
    item: str
    methods: tuple[str, ...]
    repeats: str | None = None


@dataclass(frozen=True)
class Showing:
    """A trial as one form has it: `methods` from left to right."""

    trial: Trial
    methods: tuple[str, ...]


Form = tuple[Showing, ...]


def most_trials(items: int, methods: int, show: Show) -> int:
    """How many comparisons there are of so many items and methods."""
    return items * (math.comb(methods, 2) if show == "pairs" else 1)


def make_trials(
    items: Sequence[str], methods: Sequence[str], show: Show, count: int | None, checks: int, seed: int
) -> list[Trial]:
    """Choose what is compared; each item and each pair of methods comes as often as any other, or once less.

    Args:
        items: names.
        methods: at least two.
        show: two methods at a time, or all of them.
        count: how many trials without the checks; None for all there are.
        checks: how many trials come a second time with sides swapped.
        seed: of the lot.

    Raises:
        UserError: more trials or checks than there can be.
    """
    pairs = list(itertools.combinations(methods, 2)) if show == "pairs" else [tuple(methods)]
    most = most_trials(len(items), len(methods), show)
    number = most if count is None else count
    if not 1 <= number <= most:
        raise UserError(f"--pairs {number} came; {len(items)} stickers of {len(methods)} methods give 1 to {most}")
    if not 0 <= checks <= number:
        raise UserError(f"--checks {checks} came; each repeats one of {number} comparisons: give 0 to {number}")
    lot = Random(f"trials {seed}")
    items, pairs = lot.sample(list(items), len(items)), lot.sample(pairs, len(pairs))
    # a walk along the diagonals, one further each time it closes, meets every item with every pair just once
    round_length = math.lcm(len(items), len(pairs))
    trials = [
        Trial("", items[step % len(items)], pairs[(step + step // round_length) % len(pairs)]) for step in range(number)
    ]
    ids = lot.sample([f"t{place}" for place in range(number + checks)], number + checks)
    trials = [replace(trial, id=name) for trial, name in zip(trials, ids, strict=False)]
    repeated = lot.sample(trials, checks)
    trials += [replace(trial, id=name, repeats=trial.id) for trial, name in zip(repeated, ids[number:], strict=True)]
    return sorted(trials, key=lambda trial: int(trial.id[1:]))


def make_forms(trials: Sequence[Trial], seed: int, forms: int = FORMS) -> list[Form]:
    """Draw the forms.

    In each, every method of a pair stands left as often as right, or once less; form 1 has the sides of form 0 swapped,
    3 those of 2, and so on. Each form has an order of its own, in which a check and what it repeats are far apart.
    """
    drawn = list[Form]()
    for number in range(forms):
        lot = Random(f"form {number} {seed}")
        if number % 2:
            sides = {showing.trial.id: showing.methods[::-1] for showing in drawn[-1]}
        else:
            sides = _sides(trials, lot)
        drawn.append(tuple(Showing(trial, sides[trial.id]) for trial in _order(trials, lot)))
    return drawn


def _sides(trials: Sequence[Trial], lot: Random) -> dict[str, tuple[str, ...]]:
    groups = defaultdict[tuple[str, ...], list[Trial]](list)
    for trial in trials:
        if trial.repeats is None:
            groups[trial.methods].append(trial)
    sides = dict[str, tuple[str, ...]]()
    for methods, group in groups.items():
        order = methods
        for place, trial in enumerate(lot.sample(group, len(group))):
            order = order[::-1] if place % 2 else tuple(lot.sample(methods, len(methods)))
            sides[trial.id] = order
    return sides | {trial.id: sides[trial.repeats][::-1] for trial in trials if trial.repeats is not None}


def _order(trials: Sequence[Trial], lot: Random) -> list[Trial]:
    """The draw of several whose checks stand farthest from what they repeat."""
    draws = [lot.sample(list(trials), len(trials)) for _ in range(_DRAWS if any(t.repeats for t in trials) else 1)]

    def nearest(draw: list[Trial]) -> int:
        place = {trial.id: number for number, trial in enumerate(draw)}
        return min((abs(place[t.id] - place[t.repeats]) for t in draw if t.repeats is not None), default=0)

    return max(draws, key=nearest)

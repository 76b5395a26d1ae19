import itertools
from collections import Counter

import numpy as np
import pytest

from glassine.study.report import agreeing_share, krippendorff_alpha


def by_definition(units: list[list[int]]) -> float:
    """One minus the mean disagreement within units over that among all values, pair by pair."""
    units = [unit for unit in units if len(unit) > 1]
    everything = list(itertools.chain(*units))
    within = sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / len(
        everything
    )
    among = np.mean([a != b for a, b in itertools.permutations(everything, 2)])
    return 1 - within / float(among)


def test_the_published_example():
    # Krippendorff 2011, section C: four observers, twelve units, some values missing; nominal alpha 0.743
    observers = ["12332141 2...", "123322412 5.3", ".33323422 51.", "123324412 51."]
    rows = [row.replace(" ", "") for row in observers]
    units = [[value for value in column if value != "."] for column in zip(*rows, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_it_is_the_mean_over_pairs_by_definition():
    lot = np.random.default_rng(0)
    units = [lot.integers(0, 3, lot.integers(1, 6)).tolist() for _ in range(30)]
    assert krippendorff_alpha(units) == pytest.approx(by_definition(units), abs=1e-12)


def test_two_raters_and_two_values_is_scotts_pi_without_its_bias():
    pairs = [(0, 0)] * 5 + [(1, 1)] * 2 + [(0, 1)] * 3
    share = Counter(itertools.chain(*pairs))[0] / 20
    pi = (0.7 - (share**2 + (1 - share) ** 2)) / (1 - (share**2 + (1 - share) ** 2))
    assert krippendorff_alpha(pairs) == pytest.approx(pi + (1 - pi) / 20)


def test_ends_of_the_scale():
    assert krippendorff_alpha([["a", "a"], ["b", "b", "b"]]) == pytest.approx(1)
    assert krippendorff_alpha([["a", "b"], ["b", "a"]]) < 0
    assert krippendorff_alpha([["a"], ["b"]]) is None
    assert krippendorff_alpha([["a", "a"]]) is None


def test_share_of_pairs_that_agree():
    assert agreeing_share([["a", "a", "b"], ["a"], ["b", "b"]]) == pytest.approx(2 / 4)
    assert agreeing_share([["a"]]) is None

from collections import Counter

import pytest

from glassine.study.plan import make_forms, make_trials
from glassine.utils.errors import UserError

ITEMS, METHODS = [f"item{number}" for number in range(12)], ["a", "b", "c"]


def test_all_pairs_of_all_items_come_once():
    trials = make_trials(ITEMS, METHODS, "pairs", None, 0, seed=0)
    assert len({(trial.item, trial.methods) for trial in trials}) == len(trials) == 12 * 3
    assert len({trial.id for trial in trials}) == 36


@pytest.mark.parametrize("count", [5, 12, 17, 30])
def test_fewer_pairs_are_spread_evenly(count: int):
    trials = make_trials(ITEMS, METHODS, "pairs", count, 0, seed=1)
    assert len({(trial.item, trial.methods) for trial in trials}) == count
    for counts in (Counter(trial.methods for trial in trials), Counter(trial.item for trial in trials)):
        assert max(counts.values()) - min(counts.values()) <= 1


def test_the_order_of_ids_tells_nothing_about_methods():
    trials = make_trials(ITEMS, METHODS, "pairs", None, 0, seed=0)
    assert [trial.methods for trial in trials[:12]] != [trial.methods for trial in trials[12:24]]
    assert trials != make_trials(ITEMS, METHODS, "pairs", None, 0, seed=1)
    assert trials == make_trials(ITEMS, METHODS, "pairs", None, 0, seed=0)


def test_all_methods_are_shown_at_once():
    trials = make_trials(ITEMS, METHODS, "all", None, 0, seed=0)
    assert [trial.methods for trial in trials] == [tuple(METHODS)] * 12
    for form in make_forms(trials, seed=0, forms=2):
        assert {tuple(sorted(showing.methods)) for showing in form} == {tuple(METHODS)}
        assert len({showing.methods for showing in form}) > 1


def test_in_each_form_a_method_stands_left_as_often_as_right():
    trials = make_trials(ITEMS, METHODS, "pairs", None, 0, seed=0)
    for form in make_forms(trials, seed=0, forms=4):
        left = Counter(showing.methods[0] for showing in form)
        right = Counter(showing.methods[1] for showing in form)
        assert left == right
        assert {showing.trial for showing in form} == set(trials)


def test_neighboring_forms_have_their_sides_swapped_and_another_order():
    trials = make_trials(ITEMS, METHODS, "pairs", None, 0, seed=0)
    first, second = make_forms(trials, seed=0, forms=2)
    sides = {showing.trial.id: showing.methods for showing in first}
    assert all(showing.methods == sides[showing.trial.id][::-1] for showing in second)
    assert [showing.trial.id for showing in first] != [showing.trial.id for showing in second]


def test_a_check_shows_the_same_pair_with_sides_swapped_and_not_soon_after():
    trials = make_trials(ITEMS, METHODS, "pairs", 24, 3, seed=0)
    checks = [trial for trial in trials if trial.repeats]
    assert len(checks) == 3
    for form in make_forms(trials, seed=0, forms=4):
        place = {showing.trial.id: number for number, showing in enumerate(form)}
        shown = {showing.trial.id: showing for showing in form}
        for check in checks:
            assert check.repeats is not None
            assert shown[check.id].methods == shown[check.repeats].methods[::-1]
            assert shown[check.id].trial.item == shown[check.repeats].trial.item
            assert abs(place[check.id] - place[check.repeats]) >= 3


@pytest.mark.parametrize(("count", "checks"), [(0, 0), (37, 0), (-1, 0), (5, 6), (None, 37), (None, -1)])
def test_more_than_there_can_be(count: int | None, checks: int):
    with pytest.raises(UserError, match=r"--(pairs|checks) must be in "):
        make_trials(ITEMS, METHODS, "pairs", count, checks, seed=0)

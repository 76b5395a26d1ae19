import numpy as np
import pytest

from glassine.study.report import Judgement, preferences


def judge(rater: int, item: int, choice: str | None, shown: tuple[str, ...] = ("a", "b")) -> Judgement:
    return Judgement(f"r{rater}", f"i{item}", "quality", shown, choice)


def test_wins_ties_and_losses():
    rates = preferences([judge(0, 0, "a"), judge(0, 1, "a"), judge(0, 2, None), judge(0, 3, "b")], ["a", "b"])
    a, b = rates["a"], rates["b"]
    assert (a.wins, a.ties, a.losses) == (2, 1, 1)
    assert (b.wins, b.ties, b.losses) == (1, 1, 2)
    assert a.rate == pytest.approx(2.5 / 4)
    assert b.rate == pytest.approx(1.5 / 4)
    assert a.chance == 0.5


def test_of_several_that_are_shown_the_rate_is_the_share_ranked_first():
    three = ("a", "b", "c")
    rates = preferences(
        [judge(0, n, choice, three) for n, choice in enumerate("aab")] + [judge(0, 3, None, three)], three
    )
    assert [rates[name].rate for name in three] == pytest.approx([(2 + 1 / 3) / 4, (1 + 1 / 3) / 4, (1 / 3) / 4])
    assert rates["a"].chance == pytest.approx(1 / 3)


def test_the_interval_is_of_raters_and_items_drawn_each_for_itself():
    lot = np.random.default_rng(1)
    table = lot.random((5, 7)) < 0.3 + 0.5 * lot.random((5, 1))  # raters differ
    answers = [judge(r, i, "a" if table[r, i] else "b") for r in range(5) for i in range(7)]
    draws = np.random.default_rng(2)
    reference = [table[np.ix_(draws.integers(0, 5, 5), draws.integers(0, 7, 7))].mean() for _ in range(4000)]
    a = preferences(answers, ["a", "b"], resamples=4000)["a"]
    assert [a.low, a.high] == pytest.approx(np.percentile(reference, [2.5, 97.5]), abs=0.03)
    b = preferences(answers, ["a", "b"], resamples=4000)["b"]
    assert (b.low, b.high) == pytest.approx((1 - a.high, 1 - a.low))


def test_raters_who_differ_make_it_wider_than_as_many_answers_of_chance():
    split = [judge(r, i, "a" if r % 2 else "b") for r in range(6) for i in range(20)]
    mixed = [judge(r, i, "a" if (r + i) % 2 else "b") for r in range(6) for i in range(20)]
    wide, narrow = preferences(split, ["a", "b"])["a"], preferences(mixed, ["a", "b"])["a"]
    assert wide.rate == narrow.rate == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_same_seed_gives_the_same_interval():
    answers = [judge(r, i, "ab"[(r * i) % 2]) for r in range(4) for i in range(5)]
    assert preferences(answers, ["a", "b"], seed=3) == preferences(answers, ["a", "b"], seed=3)


def test_a_method_that_was_not_shown_and_no_answers():
    rates = preferences([judge(0, 0, "a")], ["a", "b", "c"])
    assert (rates["c"].rate, rates["c"].low, rates["c"].chance) == (None, None, None)
    assert (rates["a"].low, rates["a"].high) == (1, 1)
    assert preferences([], ["a", "b"])["a"].rate is None

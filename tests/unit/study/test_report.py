"""What a study found."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import read_raters
from glassine.study.plan import PRESETS
from glassine.study.report import Judgement, agreeing_share, krippendorff_alpha, make_report, preferences


def test_rates_by_question_and_overall(tmp_path: Path):
    key = tiny_study(tmp_path, questions=PRESETS["vsd2m"])
    anna, ben = answers_of(key, "ours"), answers_of(key, "ours")
    for answer in ben:
        if answer["question"] == "interest":
            answer["choice"] = None
    paths = [write_answers(tmp_path / f"{name}.jsonl", key, name, g) for name, g in (("anna", anna), ("ben", ben))]
    report = make_report(key, read_raters(paths, key, 0.5), resamples=50)
    rates = {name: section["methods"]["ours"]["rate"] for name, section in report["questions"].items()}
    assert rates == pytest.approx({"quality": 1, "interest": 0.75, "overall": 0.875})
    assert report["questions"]["interest"]["methods"]["base"]["ties"] == 4
    assert report["questions"]["quality"]["agreement"] == 1
    assert report["questions"]["interest"]["agreement"] == 0
    assert [rater["answers"] for rater in report["raters"]] == [8, 8]


def test_raters_who_always_prefer_the_same_method_agree_beyond_chance(tmp_path: Path):
    key = tiny_study(tmp_path, items=12)
    paths = [write_answers(tmp_path / f"{n}.jsonl", key, n, answers_of(key, "ours")) for n in ("anna", "ben")]
    report = make_report(key, read_raters(paths, key, 0.5), resamples=20)
    assert report["questions"]["motion"]["alpha"] == pytest.approx(1)


def test_checks_and_raters_who_fail_them_are_in_no_rate(tmp_path: Path):
    key = tiny_study(tmp_path, checks=3)
    lazy = answers_of(key, "base")
    for answer in lazy:
        if key.trials[answer["trial"]].repeats is not None:
            answer["choice"] = None
    paths = [
        write_answers(tmp_path / "anna.jsonl", key, "anna", answers_of(key, "ours")),
        write_answers(tmp_path / "lazy.jsonl", key, "lazy", lazy),
    ]
    report = make_report(key, read_raters(paths, key, 0.5), resamples=20)
    ours = report["questions"]["motion"]["methods"]["ours"]
    assert (ours["wins"], ours["losses"], ours["rate"]) == (4, 0, 1)
    assert {rater["name"]: rater["counted"] for rater in report["raters"]} == {"anna": True, "lazy": False}


def test_each_pair_of_three_methods_has_its_rate(tmp_path: Path):
    key = tiny_study(tmp_path, ("a", "b", "c"), items=3)
    path = write_answers(tmp_path / "anna.jsonl", key, "anna", answers_of(key, "b"))
    section = make_report(key, read_raters([path], key, 0.5), resamples=20)["questions"]["overall"]
    pairs = {(pair["first"], pair["second"]): pair["rate"] for pair in section["pairs"]}
    assert pairs == {("a", "b"): 0, ("a", "c"): 0.5, ("b", "c"): 1}
    assert section["methods"]["b"]["rate"] == 1


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

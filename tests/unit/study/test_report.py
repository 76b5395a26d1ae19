from pathlib import Path

import pytest
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import read_raters
from glassine.study.plan import PRESETS
from glassine.study.report import make_report


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

"""Acceptance by teacher, agreement of people, and the proxy against people."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from tests.helpers.tiny_review import answers_of, tiny_review, write_answers

from glassine.review.answers import Annotator, read_annotators
from glassine.review.markdown import to_markdown
from glassine.review.plan import ReviewKey
from glassine.review.report import make_report
from glassine.study.report import krippendorff_alpha


@pytest.fixture
def key(tmp_path: Path) -> ReviewKey:
    return tiny_review(tmp_path, prompts=6)


def annotators(folder: Path, key: ReviewKey, **answers: list[dict]) -> list[Annotator]:
    files = [write_answers(folder / f"{name}.jsonl", key, name, lines) for name, lines in answers.items()]
    return read_annotators(files, key)


def test_acceptance_counts_every_prompt_once_and_brackets_the_share(tmp_path: Path, key: ReviewKey):
    half = set(sorted(key.trials)[:3])
    anna = answers_of(key, lambda clip: clip.teacher == "calm" and clip.trial in half)
    ben = answers_of(key, lambda clip: clip.teacher == "calm", sorted(half))  # only three prompts
    report = make_report(key, annotators(tmp_path, key, anna=anna, ben=ben), 500)
    calm = report["teachers"]["calm"]
    assert calm["share"] == pytest.approx(0.5)
    assert (calm["decisions"], calm["shared"], calm["prompts"], calm["groups"]) == (9, 6, 6, 6)
    assert 0 <= calm["low"] < 0.5 < calm["high"] <= 1
    assert report["teachers"]["lively"]["share"] == 0
    assert report["ensemble"]["best"] == "calm"


def test_an_ensemble_is_worth_more_than_its_best_teacher_where_they_differ(tmp_path: Path, key: ReviewKey):
    turns = {trial: ("calm", "lively")[number % 2] for number, trial in enumerate(key.trials)}
    anna = answers_of(key, lambda clip: clip.teacher == turns[clip.trial])
    report = make_report(key, annotators(tmp_path, key, anna=anna), 200)
    assert report["ensemble"]["any"]["share"] == 1
    assert report["ensemble"]["best_alone"]["share"] == 0.5


def test_alpha_is_that_of_the_decisions_and_has_an_interval(tmp_path: Path, key: ReviewKey):
    lot = Random(1)
    given = {name: answers_of(key, lambda clip: lot.random() < 0.5) for name in ("anna", "ben", "cleo")}
    agreement = make_report(key, annotators(tmp_path, key, **given), 500)["agreement"]
    units = [
        [clip in answer["chosen"] for answers in given.values() for answer in answers if clip in answer["shown"]]
        for clip in key.clips
    ]
    assert agreement["alpha"] == pytest.approx(krippendorff_alpha(units))
    assert agreement["low"] < agreement["alpha"] < agreement["high"]
    same = answers_of(key, lambda clip: clip.teacher == "calm")
    assert make_report(key, annotators(tmp_path, key, anna=same, ben=same), 100)["agreement"]["alpha"] == 1


def test_too_little_to_compare_is_said_and_not_computed(tmp_path: Path, key: ReviewKey):
    one = make_report(key, annotators(tmp_path, key, anna=answers_of(key, lambda clip: True)), 100)
    assert one["agreement"]["alpha"] is None
    text = to_markdown(one)
    assert "No clip was judged by two people yet" in text
    assert "With one person" in text
    assert "rough" in text
    both = {name: answers_of(key, lambda clip: True) for name in ("anna", "ben")}
    assert "alpha is undefined" in to_markdown(make_report(key, annotators(tmp_path, key, **both), 100))
    first = [next(iter(key.trials))]
    single = make_report(key, annotators(tmp_path, key, anna=answers_of(key, lambda clip: True, first)), 100)
    assert single["teachers"]["calm"]["low"] is None  # one group has no interval


def test_the_proxy_is_compared_with_people_and_never_counted_among_them(tmp_path: Path, key: ReviewKey):
    people = {name: answers_of(key, lambda clip: clip.teacher == "calm") for name in ("anna", "ben")}
    proxy = answers_of(key, lambda clip: clip.trial in sorted(key.trials)[:3])
    for answer in proxy:
        rejected = [clip for clip in answer["shown"] if clip not in answer["chosen"]]
        answer["reasons"] = {clip: ["max_flicker (9 is above 8)"] for clip in rejected}
    report = make_report(key, annotators(tmp_path, key, **people, proxy=proxy), 200)
    found = report["proxy"]
    assert found["share"] == pytest.approx(0.5)
    assert found["people"]["share"] == 1
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["reasons"] == {"max_flicker": {"rejected": 6, "wanted": 3}}
    assert report["judged_by"] == "people"
    assert report["teachers"]["calm"]["decisions"] == 12
    assert "2 people" in to_markdown(report)


def test_a_report_without_people_says_so(tmp_path: Path, key: ReviewKey):
    report = make_report(key, annotators(tmp_path, key, proxy=answers_of(key, lambda clip: True)), 100)
    assert report["judged_by"] == "proxy"
    assert report["agreement"] is None
    assert "No people chose" in to_markdown(report)


def test_intervals_are_about_groups_and_not_about_prompts(tmp_path: Path, key: ReviewKey):
    lot = np.random.default_rng(0)
    chosen = {trial: lot.random() < 0.5 for trial in key.trials}
    anna = answers_of(key, lambda clip: chosen[clip.trial])
    apart = make_report(key, annotators(tmp_path, key, anna=anna), 500)["teachers"]["calm"]
    for trial in key.trials.values():
        object.__setattr__(trial, "group", "one" if trial.prompt in ("p0", "p1", "p2") else "other")
    together = make_report(key, annotators(tmp_path, key, anna=anna), 500)["teachers"]["calm"]
    assert together["groups"] == 2
    assert together["share"] == apart["share"]

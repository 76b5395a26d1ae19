from pathlib import Path

import pytest
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import find_files, read_raters
from glassine.utils.errors import UserError


def test_the_last_answer_counts(tmp_path: Path):
    key = tiny_study(tmp_path)
    given = answers_of(key, "ours") + answers_of(key, "base")[:1]
    path = write_answers(tmp_path / "a.jsonl", key, "anna", given)
    (rater,) = read_raters([path], key, 0.5)
    assert len(rater.answers) == len(answers_of(key, "ours"))
    assert [key.clips[a.choice or ""].method for a in rater.answers].count("base") == 1


def test_two_files_of_a_rater_are_one_rater_in_the_order_of_time(tmp_path: Path):
    key = tiny_study(tmp_path)
    early, late = answers_of(key, "base"), answers_of(key, "ours")[:1]
    late[0]["time"] = "2024-01-02T00:00:00Z"
    files = [
        write_answers(tmp_path / "later.jsonl", key, "anna", late),
        write_answers(tmp_path / "first.jsonl", key, "Anna", early),
    ]
    (rater,) = read_raters(files, key, 0.5)
    methods = [key.clips[answer.choice or ""].method for answer in rater.answers]
    assert methods.count("ours") == 1
    assert methods.count("base") == len(early) - 1


def test_who_answers_checks_otherwise_does_not_count(tmp_path: Path):
    key = tiny_study(tmp_path, checks=2)
    firm = answers_of(key, "ours")
    # always the first one, so the repeated pairs with sides swapped come out differently
    lazy = [dict(answer) for answer in firm]
    for answer in lazy:
        repeated = key.trials[answer["trial"]].repeats is not None
        answer["shown"] = answer["shown"][::-1] if repeated else answer["shown"]
        answer["choice"] = answer["shown"][0]
    paths = [write_answers(tmp_path / f"{name}.jsonl", key, name, g) for name, g in (("firm", firm), ("lazy", lazy))]
    kept, left_out = read_raters(paths, key, 0.5)
    assert (kept.consistency, kept.checks, kept.counted) == (1, 6, True)
    assert (left_out.consistency, left_out.first_share, left_out.counted) == (0, 1, False)
    assert [rater.counted for rater in read_raters(paths, key, 0)] == [True, True]
    with pytest.raises(UserError, match="min-consistency"):
        read_raters(paths[1:], key, 0.5)


def test_a_rater_without_checks_counts(tmp_path: Path):
    key = tiny_study(tmp_path)
    (rater,) = read_raters([write_answers(tmp_path / "a.jsonl", key, "anna", answers_of(key, None))], key, 1)
    assert (rater.consistency, rater.first_share, rater.seconds, rater.counted) == (None, None, 1.5, True)


def test_no_answers_yet(tmp_path: Path):
    key = tiny_study(tmp_path)
    with pytest.raises(UserError, match="no answers yet"):
        find_files([tmp_path / "study" / "answers"])
    path = write_answers(tmp_path / "a.jsonl", key, "anna", [])
    with pytest.raises(UserError, match="none has answered"):
        read_raters([path], key, 0.5)
    with pytest.raises(UserError, match=r"gone\.jsonl cannot be read"):
        read_raters([tmp_path / "gone.jsonl"], key, 0.5)

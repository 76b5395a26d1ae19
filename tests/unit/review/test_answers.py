"""Answers to a review: in files, on the server, and whose they are."""

from pathlib import Path

import pytest
from tests.helpers.tiny_review import answers_of, tiny_review, write_answers

from glassine.review.answers import ShareAnswers, parse_share_answer, read_annotators, read_share_answers
from glassine.review.plan import ReviewKey
from glassine.utils.errors import UserError


@pytest.fixture
def key(tmp_path: Path) -> ReviewKey:
    return tiny_review(tmp_path)


def calm(clip: object) -> bool:
    return getattr(clip, "teacher", None) == "calm"


def test_what_the_server_saved_is_read_back_and_gone_on_with(tmp_path: Path, key: ReviewKey):
    given = answers_of(key, calm)
    store = ShareAnswers(tmp_path / "review", key)
    assert store.start("Anna").answers == ()
    assert store.save("anna", given[:2]) == 2
    again = ShareAnswers(tmp_path / "review", key).start("ANNA")
    assert [answer.trial for answer in again.answers] == [one["trial"] for one in given[:2]]
    assert store.start("ben").form == 1


def test_nobody_else_may_be_the_proxy(tmp_path: Path, key: ReviewKey):
    with pytest.raises(UserError, match="'proxy' is reserved"):
        ShareAnswers(tmp_path / "review", key).start("Proxy")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trial": "t99"}, "prompt of this review"),
        ({"shown": []}, "clips shown"),
        ({"chosen": ["other"]}, "choose among the clips shown"),
        ({"chosen": "ab"}, "must have trial, chosen and shown"),
        ({"chosen": {}}, "must have trial, chosen and shown"),
    ],
)
def test_an_answer_to_something_else_is_refused(key: ReviewKey, change: dict[str, object], says: str):
    with pytest.raises(UserError, match=says):
        parse_share_answer({**answers_of(key, calm)[0], **change}, key)


def test_one_clip_is_not_chosen_twice(key: ReviewKey):
    answer = answers_of(key, calm)[0]
    with pytest.raises(UserError, match="each once"):
        parse_share_answer({**answer, "chosen": answer["chosen"] * 2}, key)


def test_the_last_answer_counts_and_one_taken_back_does_not(tmp_path: Path, key: ReviewKey):
    given = answers_of(key, calm)
    lines = [*given, {**given[0], "chosen": []}, {**given[1], "chosen": None}]
    (one,) = read_annotators([write_answers(tmp_path / "a.jsonl", key, "anna", lines)], key)
    assert one.answers[given[0]["trial"]].chosen == ()
    assert given[1]["trial"] not in one.answers
    assert len(one.answers) == 2


def test_a_line_that_a_crash_cut_off_costs_that_line_only(tmp_path: Path, key: ReviewKey):
    path = write_answers(tmp_path / "a.jsonl", key, "anna", answers_of(key, calm))
    path.write_bytes(path.read_bytes()[:-20])
    read = read_share_answers(path, key)
    assert (len(read.answers), read.unusable) == (2, 1)


def test_two_annotators_with_one_name_are_told(tmp_path: Path, key: ReviewKey):
    given = answers_of(key, calm)
    other = [{**one, "chosen": [], "time": "2024-02-01T00:00:00Z"} for one in given]
    first = write_answers(tmp_path / "a.jsonl", key, "anna", given)
    second = write_answers(tmp_path / "b.jsonl", key, "Anna", other)
    with pytest.raises(UserError, match="must have different names, got 'anna' in"):
        read_annotators([first, second], key)
    # an earlier and a later download of one annotator are no two
    later = write_answers(tmp_path / "c.jsonl", key, "anna", [*given, *other])
    (one,) = read_annotators([first, later], key)
    assert all(answer.chosen == () for answer in one.answers.values())


def test_answers_of_two_open_pages_are_noticed(tmp_path: Path, key: ReviewKey):
    given = answers_of(key, calm)
    in_turns = [{**one, "session": session} for one, session in zip(given, "aba", strict=True)]
    one_after_another = [{**one, "session": session} for one, session in zip(given, "aab", strict=True)]
    for lines, mixed in ((in_turns, True), (one_after_another, False)):
        (one,) = read_annotators([write_answers(tmp_path / "a.jsonl", key, "anna", lines)], key)
        assert one.mixed == mixed

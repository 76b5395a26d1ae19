"""Answers in files, on the server, and who gave them."""

import errno
import os
import threading
from pathlib import Path

import pytest
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import AnswerStore, parse_answer, read_answers, read_raters
from glassine.study.plan import StudyKey
from glassine.study.rater_files import find_files, rater_name
from glassine.utils.errors import UserError
from glassine.utils.json_lines import append_lines


@pytest.fixture
def key(tmp_path: Path) -> StudyKey:
    return tiny_study(tmp_path, items=2)


def test_lines_are_added_and_read_in_order(tmp_path: Path, key: StudyKey):
    path = write_answers(tmp_path / "a.jsonl", key, "anna", [])
    given = answers_of(key, "ours")
    append_lines(path, given[:2])
    append_lines(path, [parse_answer(given[2], key)])
    read = read_answers(path, key)
    assert read.rater == "anna"
    assert [parse_answer(answer, key) for answer in given[:3]] == list(read.answers)


def test_a_line_that_a_crash_cut_off_costs_that_line_only(tmp_path: Path, key: StudyKey):
    path = write_answers(tmp_path / "a.jsonl", key, "anna", answers_of(key, "ours")[:2])
    path.write_bytes(path.read_bytes()[:-30])
    append_lines(path, answers_of(key, "ours")[2:4])
    read = read_answers(path, key)
    assert len(read.answers) == 3
    assert read.unusable == 1


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, key: StudyKey, monkeypatch: pytest.MonkeyPatch):
    path = write_answers(tmp_path / "a.jsonl", key, "anna", answers_of(key, "ours")[:1])
    before = path.read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        append_lines(path, answers_of(key, "ours")[1:])
    assert path.read_bytes() == before


def test_answers_are_on_the_disk_before_it_goes_on(tmp_path: Path, key: StudyKey, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
    append_lines(tmp_path / "a.jsonl", [{"study": key.study, "rater": "anna"}])
    assert synced[0] == (tmp_path / "a.jsonl").stat().st_size


@pytest.mark.parametrize("name", ["Anna", " anna ", "ANNA"])
def test_a_name_is_one_however_it_is_typed(name: str):
    assert rater_name(name) == "anna"


@pytest.mark.parametrize("name", ["", "../key", "a b", "a/b", ".", "x" * 41, None, 3, "a\nb", "con.txt"])
def test_a_name_that_cannot_be_a_file(name: object):
    with pytest.raises(UserError, match="letters"):
        rater_name(name)


def test_names_of_other_scripts():
    assert rater_name("小明_2") == "小明_2"


@pytest.mark.parametrize(
    "change",
    [{"trial": "t99"}, {"question": "beauty"}, {"choice": "f" * 16}, {"shown": ["f" * 16, "e" * 16]}, {"shown": 3}],
)
def test_an_answer_to_something_else(key: StudyKey, change: dict[str, object]):
    with pytest.raises(UserError):
        parse_answer({**answers_of(key, "ours")[0], **change}, key)


@pytest.mark.parametrize("content", [None, [], "text", {}, {"trial": "t0"}])
def test_no_answer_at_all(key: StudyKey, content: object):
    with pytest.raises(UserError):
        parse_answer(content, key)


def test_a_file_of_another_study_is_named_with_both_ids(tmp_path: Path, key: StudyKey):
    path = write_answers(tmp_path / "a.jsonl", key, "anna", [])
    path.write_text(path.read_text().replace(key.study, "0123456789ab"))
    with pytest.raises(UserError, match=rf"a.jsonl is from study 0123456789ab, this one is {key.study}"):
        read_answers(path, key)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]\n", b'{"study": 3}\n', bytes(300)])
def test_a_file_of_something_else(tmp_path: Path, key: StudyKey, content: bytes):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jsonl is not an answer file"):
        read_answers(tmp_path / "a.jsonl", key)


def test_raters_take_turns_at_the_forms_and_go_on_where_they_stopped(tmp_path: Path):
    key = tiny_study(tmp_path)
    store = AnswerStore(tmp_path / "study", key)
    assert [store.start(name).form for name in ("anna", "ben", "cleo")] == [0, 1, 2]
    store.save("Ben", answers_of(key, "ours")[:5])
    again = AnswerStore(tmp_path / "study", key).start("BEN")
    assert again.form == 1
    assert len(again.answers) == 5


def test_an_unsound_answer_saves_none_of_its_batch(tmp_path: Path):
    key = tiny_study(tmp_path)
    store = AnswerStore(tmp_path / "study", key)
    with pytest.raises(UserError):
        store.save("anna", [*answers_of(key, "ours")[:2], {"trial": "t0"}])
    assert store.start("anna").answers == ()


def test_answers_of_many_at_once_are_all_kept(tmp_path: Path):
    key = tiny_study(tmp_path)
    store, given = AnswerStore(tmp_path / "study", key), answers_of(key, "ours")
    threads = [threading.Thread(target=store.save, args=(f"r{n % 3}", [answer])) for n in range(3) for answer in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        assert len(read_answers(tmp_path / "study" / "answers" / f"r{number}.jsonl", key).answers) == len(given)


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

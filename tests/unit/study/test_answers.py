import errno
import os
from pathlib import Path

import pytest
from tests.helpers.tiny_study import answers_of, tiny_study, write_answers

from glassine.study.answers import append_lines, parse_answer, rater_name, read_answers
from glassine.study.plan import StudyKey
from glassine.utils.errors import UserError


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
    with pytest.raises(UserError, match=rf"a.jsonl is of study 0123456789ab, this one is {key.study}"):
        read_answers(path, key)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]\n", b'{"study": 3}\n', bytes(300)])
def test_a_file_of_something_else(tmp_path: Path, key: StudyKey, content: bytes):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jsonl is no file of answers"):
        read_answers(tmp_path / "a.jsonl", key)

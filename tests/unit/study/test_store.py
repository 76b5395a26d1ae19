import threading
from pathlib import Path

import pytest
from tests.helpers.tiny_study import answers_of, tiny_study

from glassine.study.answers import AnswerStore, read_answers
from glassine.utils.errors import UserError


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

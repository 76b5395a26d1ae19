"""Prompts, questions, trials and the key."""

from collections import Counter
from pathlib import Path

import pytest
from tests.helpers.tiny_study import tiny_study

from glassine.study.plan import PRESETS, find_prompts, load_key, load_questions, make_forms, make_trials, read_prompts
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


def test_json_and_csv_say_the_same_with_and_without_suffix(tmp_path: Path):
    (tmp_path / "p.json").write_text('{"cat.webp": "a cat", "dog": "狗", "cow.webp": ""}', encoding="utf-8")
    (tmp_path / "p.csv").write_text('file,prompt,domain\ncat,a cat,real\ndog.gif,狗,\n"cow",,\n', encoding="utf-8")
    expected = {"cat": "a cat", "dog": "狗"}
    assert read_prompts(tmp_path / "p.json", ["cat", "dog", "cow"]) == expected
    assert read_prompts(tmp_path / "p.csv", ["cat", "dog", "cow"]) == expected


def test_a_methods_folder_may_hold_them(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert find_prompts([tmp_path / "a", tmp_path / "b"]) is None
    (tmp_path / "b" / "prompts.csv").write_text("file,prompt\n")
    assert find_prompts([tmp_path / "a", tmp_path / "b"]) == tmp_path / "b" / "prompts.csv"


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.json", "{"), ("p.json", '["a cat"]'), ("p.json", '{"cat": 3}'), ("p.csv", "name,text\ncat,a cat\n")],
)
def test_no_table_of_prompts(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=name):
        read_prompts(tmp_path / name, ["cat"])


def test_prompts_of_other_files(tmp_path: Path):
    (tmp_path / "p.json").write_text('{"cat": "a cat"}')
    with pytest.raises(UserError, match="no prompt for any sticker"):
        read_prompts(tmp_path / "p.json", ["dog"])


def test_the_papers_questions_go_by_the_papers_names():
    names = {paper: [question.name for question in load_questions([paper])] for paper in PRESETS}
    assert names == {
        "layer-animate": ["motion", "transparency", "authenticity"],
        "ildiff": ["frame smoothness", "hole residue"],
        "vsd2m": ["quality", "interest"],
    }


def test_own_questions_and_a_papers_are_asked_together(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("cute: 'Which one is cuter?'\n")
    assert [question.name for question in load_questions(["vsd2m", str(tmp_path / "own.yaml")])] == [
        "quality",
        "interest",
        "cute",
    ]


@pytest.mark.parametrize("content", ["", "- one\n- two\n", "cute: 3\n", "a: [", "cute: ''\n"])
def test_a_file_without_questions_is_refused_in_one_line(tmp_path: Path, content: str):
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(UserError, match=r"own\.yaml") as error:
        load_questions([str(tmp_path / "own.yaml")])
    assert "\n" not in str(error.value)


def test_neither_a_paper_nor_a_file():
    with pytest.raises(UserError, match="layer-animate, ildiff, vsd2m"):
        load_questions(["sam"])


def test_a_question_is_not_asked_twice():
    with pytest.raises(UserError, match="twice"):
        load_questions(["ildiff", "ildiff"])


def test_the_key_is_read_as_it_was_written(tmp_path: Path):
    key = tiny_study(tmp_path, checks=1)
    (tmp_path / "again").mkdir()
    key.save(tmp_path / "again")
    assert load_key(tmp_path / "again") == key


def test_no_study(tmp_path: Path):
    with pytest.raises(UserError, match="contains no study"):
        load_key(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"questions": [], "clips": {}, "trials": {}, "more": 1}'])
def test_a_damaged_key(tmp_path: Path, content: str):
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        load_key(tmp_path)

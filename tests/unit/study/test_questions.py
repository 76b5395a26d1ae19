from pathlib import Path

import pytest

from glassine.study.plan import PRESETS, load_questions
from glassine.utils.errors import UserError


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

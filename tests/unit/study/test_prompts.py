from pathlib import Path

import pytest

from glassine.study.plan import find_prompts, read_prompts
from glassine.utils.errors import UserError


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
    with pytest.raises(UserError, match="none of the stickers"):
        read_prompts(tmp_path / "p.json", ["dog"])

"""The folders of stickers that are compared."""

from pathlib import Path

import pytest
from tests.helpers.tiny_study import square, write_methods

from glassine.data.codecs import write_sticker
from glassine.study.site import match_items, parse_methods
from glassine.utils.errors import UserError


def test_files_of_one_name_belong_together_whatever_their_suffix(tmp_path: Path):
    methods = write_methods(tmp_path, items=2)
    (methods["ours"] / "notes.txt").write_text("not a sticker")
    items = match_items(methods)
    assert [item.name for item in items] == ["item0", "item1"]
    assert [path.name for path in items[0].files.values()] == ["item0.webp", "item0.gif"]


def test_a_folder_of_pngs_is_a_sticker(tmp_path: Path):
    methods = write_methods(tmp_path, items=1)
    for folder in methods.values():
        write_sticker(square((1, 2, 3)), folder / "walk")
    assert [item.name for item in match_items(methods)] == ["item0", "walk"]


def test_different_files_are_named(tmp_path: Path):
    methods = write_methods(tmp_path, items=6)
    for item in (0, 2, 3, 5):
        (methods["base"] / f"item{item}.gif").unlink()
    (methods["ours"] / "item1.webp").unlink()
    with pytest.raises(UserError, match="ours lacks item1; base lacks item0, item2, item3 and 1 more"):
        match_items(methods)


def test_two_files_of_one_name_in_a_folder(tmp_path: Path):
    methods = write_methods(tmp_path)
    write_sticker(square((1, 2, 3)), methods["ours"] / "item0.gif")
    with pytest.raises(UserError, match=r"item0\.gif and item0\.webp"):
        match_items(methods)


def test_a_folder_without_stickers(tmp_path: Path):
    methods = write_methods(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no stickers"):
        match_items({**methods, "empty": tmp_path / "empty"})


def test_a_folders_path_may_hold_equals_signs(tmp_path: Path):
    (tmp_path / "seed=1").mkdir()
    arguments = [f"ours={tmp_path / 'seed=1'}", f"base={tmp_path}"]
    assert parse_methods(arguments) == {"ours": tmp_path / "seed=1", "base": tmp_path}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "got no method"),
        (["a=."], "got only method 'a'"),
        (["a=.", "a=."], "got 'a' twice"),
        (["a=.", "b=nowhere"], "no folder nowhere"),
        (["a=.", "b"], "NAME=FOLDER"),
        (["=.", "b=."], "NAME=FOLDER"),
    ],
)
def test_methods_that_cannot_be_compared(arguments: list[str], said: str):
    with pytest.raises(UserError, match=said):
        parse_methods(arguments)

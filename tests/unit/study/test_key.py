from pathlib import Path

import pytest
from tests.helpers.tiny_study import tiny_study

from glassine.study.plan import load_key
from glassine.utils.errors import UserError


def test_the_key_is_read_as_it_was_written(tmp_path: Path):
    key = tiny_study(tmp_path, checks=1)
    (tmp_path / "again").mkdir()
    key.save(tmp_path / "again")
    assert load_key(tmp_path / "again") == key


def test_no_study(tmp_path: Path):
    with pytest.raises(UserError, match="holds no study"):
        load_key(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"questions": [], "clips": {}, "trials": {}, "more": 1}'])
def test_a_damaged_key(tmp_path: Path, content: str):
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(UserError, match="damaged"):
        load_key(tmp_path)

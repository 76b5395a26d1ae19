import json

import pytest

from glassine.curation.blocks import read_rows, run_block, write_blocks
from glassine.utils.errors import UserError


class Doubling:
    """Adds twice the number; dies on rows that say so, as a decoder may."""

    name, risky = "doubling", True

    def __init__(self, factor: int = 2) -> None:
        self.factor, self.calls = factor, 0

    def settings(self):
        return {"factor": self.factor}

    def __call__(self, rows):
        self.calls += len(rows)
        if any(row.get("deadly") for row in rows):
            raise KeyboardInterrupt
        return [{**row, "twice": row["n"] * self.factor} for row in rows]


def test_blocks_do_not_change_when_nothing_changes(tmp_path):
    rows = [{"n": number} for number in range(7)]
    first = write_blocks(tmp_path / "in", rows, 3)
    stamps = [block.path.stat().st_mtime_ns for block in first]
    again = write_blocks(tmp_path / "in", rows, 3)
    assert [block.path for block in again] == [block.path for block in first]
    assert [block.path.stat().st_mtime_ns for block in again] == stamps
    assert [row for block in again for row in read_rows(block.path)] == rows
    shorter = write_blocks(tmp_path / "in", rows[:4], 3)
    assert shorter[0].path == first[0].path
    assert len(list((tmp_path / "in").iterdir())) == 2


def test_a_finished_block_is_not_done_again_and_new_settings_are_another_result(tmp_path):
    block = write_blocks(tmp_path / "in", [{"n": 1}, {"n": 2}], 5)[0]
    stage = Doubling()
    result = run_block([stage], block, tmp_path)
    assert [row["twice"] for row in result.rows()] == [2, 4]
    assert run_block([stage], block, tmp_path) == result
    assert stage.calls == 2
    assert [row["twice"] for row in run_block([Doubling(3)], block, tmp_path).rows()] == [3, 6]


def test_a_row_that_kills_its_worker_again_and_again_is_given_up_and_the_others_are_done(tmp_path):
    block = write_blocks(tmp_path / "in", [{"n": 1}, {"n": 2, "deadly": True}, {"n": 3}], 5)[0]
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_block([Doubling()], block, tmp_path)
    rows = run_block([Doubling()], block, tmp_path).rows()
    assert [row.get("twice") for row in rows] == [2, None, 6]
    assert rows[1]["crashed"] is True
    assert not list(tmp_path.rglob("*.trying"))


def test_a_damaged_block_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"n": 1}) + "\n{")
    with pytest.raises(UserError, match="line 2 is damaged"):
        list(read_rows(path))


def test_names_that_are_no_unicode_survive(tmp_path):
    name = b"caf\xe9.gif".decode("utf-8", "surrogateescape")
    block = write_blocks(tmp_path / "in", [{"at": name}], 1)[0]
    assert block.rows() == [{"at": name}]

from pathlib import Path

import pytest
from tests.helpers.small_crawl import sticker

from glassine.curation.accuracy import accuracy_tables, measure_accuracy, share_interval
from glassine.curation.ocr import Line
from glassine.data.shards import ShardFormat, ShardWriter

pytest.importorskip("pdqhash")


class Deaf:
    identity = "deaf"

    def read(self, picture) -> list[Line]:
        return [Line("Hello", 0.99, 0, 0)]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "shards", ShardFormat(codec="png")) as writer:
        for number in range(4):
            writer.write(f"s{number}", sticker(number, frames=2), {"group": f"g{number}", "description": "a blob"})
    return tmp_path / "shards"


def test_the_interval_of_a_share_is_wilsons():
    assert share_interval(9, 10) == pytest.approx((0.596, 0.982), abs=0.001)
    assert share_interval(0, 0) == (0, 1)
    low, high = share_interval(300, 300)
    assert low == pytest.approx(0.987, abs=0.001)
    assert high == pytest.approx(1)


def test_groups_of_earlier_measurements_are_left_out(shards: Path, tmp_path: Path):
    record = measure_accuracy([shards], 3, tmp_path, earlier=[2], engine=Deaf())
    assert record["sources"] == {"shards": 2}
    assert record["groups_left_out"] == 2
    assert record["copies"]["resized"] == {"n": 2, "found": 2}
    assert record["pairs"]["wrong"] == 0
    table = accuracy_tables(record)
    assert "| resized | 2 of 2 | 1.000 [0.342, 1.000] |" in table
    assert "| English | 80 | 0.050 |" in table
    assert "Chinese" not in table

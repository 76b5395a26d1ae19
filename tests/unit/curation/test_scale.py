from pathlib import Path

import pytest
from tests.helpers.small_crawl import drawing, sticker

from glassine.curation.scale import measure_run, scale_tables, small_files, speed_up
from glassine.curation.settings import read_settings
from glassine.data.shards import ShardFormat, ShardWriter
from glassine.data.sticker import Sticker

pytest.importorskip("pdqhash")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path / "shards", ShardFormat(codec="png")) as writer:
        writer.write("moving", sticker(1), {"description": "a blob"})
        writer.write("still", Sticker(drawing(2, 1), (1000,)), {"description": "a blob"})
    return tmp_path / "shards"


def test_small_files_are_as_many_as_asked_for_and_differ(shards: Path, tmp_path: Path) -> None:
    small_files([shards], tmp_path / "crawl", 7)
    files = [path.read_bytes() for path in (tmp_path / "crawl").rglob("*.*")]
    assert len(files) == len(set(files)) == 7


def test_what_a_curation_took_is_told_by_stage(shards: Path, tmp_path: Path) -> None:
    small_files([shards], tmp_path / "crawl", 5)
    plain = {"class_path": "glassine.curation.describe.Measured", "init_args": {"network": None}}
    settings = read_settings([{"ocr": None, "describe": plain}])
    took = measure_run(tmp_path / "crawl", tmp_path / "to", 0, settings, apart=True)
    assert list(took["stages"]) == ["ingest", "ocr", "domain", "describe", "encode", "join"]
    assert took["files"] == took["stages"]["ingest"]["files"] == 5
    assert took["stages"]["ingest"]["cpu_s"] > 0
    assert took["peak_mib"]["main"] > 30
    assert sum(stage["cpu_s"] for stage in took["stages"].values()) == pytest.approx(took["cpu_s"], abs=0.05)


def test_tables_name_the_slowest_stage_and_what_two_workers_bring() -> None:
    def run(wall: float) -> dict:
        stages = {
            "ingest": {"files": 100, "cpu_s": 2.0, "wall_s": wall},
            "ocr": {"files": 50, "cpu_s": 9.0, "wall_s": 9},
        }
        join = {"files": 100, "cpu_s": 0.1, "wall_s": 0.1}
        return {
            "files": 100,
            "stickers": 50,
            "groups": 40,
            "cpu_s": 11.1,
            "peak_mib": {"main": 90.0, "worker": 80.0},
            "stages": {**stages, "join": join},
        }

    turns = [{"one": run(4.0), "two": run(2.0)}, {"one": run(2.0), "two": run(1.0)}]
    assert speed_up(turns) == {"ingest": 2.0, "ocr": 1.0, "all": pytest.approx(24 / 21, abs=0.001)}
    text = scale_tables({"stages": run(4.0), "sizes": [run(4.0)], "speed_up": speed_up(turns)})
    assert "| ingest | 20.0 | 50 | 14 |" in text
    assert "ocr is the slowest stage with 125" in text
    assert "| 100 | 50 | 40 | 90 | 80 | 111.0 |" in text

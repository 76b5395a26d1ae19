"""Shards take other groups and splits; pixels, keys and what is known of the stickers stay."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from glassine.data.shards import (
    ShardWriter,
    StickerInfo,
    StickerShards,
    build_index,
    find_tars,
    load_index,
    regroup_shards,
)
from glassine.data.sticker import Split, Sticker
from glassine.utils.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with ShardWriter(tmp_path, max_bytes=20_000) as writer:
        for number in range(6):
            frames = rng.integers(0, 256, (3, 24, 24, 4), np.uint8)
            info = {"description": f"thing {number}", "description_zh": "物", "group": f"g{number}", "split": "val"}
            writer.write(f"key{number}", Sticker(frames, (40, 50, 60), 0), info)
    assert len(find_tars(tmp_path)) > 1
    return tmp_path


def renamed(info: StickerInfo) -> tuple[str, Split]:
    return ("one", "test") if info.key in ("key1", "key4") else (info.group, info.split)


def test_groups_and_splits_change_and_nothing_else(folder: Path) -> None:
    before = StickerShards(folder)
    frames = [before.read(row, [2, 0]) for row in range(6)]
    infos = [before.metadata(row) for row in range(6)]
    assert regroup_shards(folder, renamed) == 2
    after = StickerShards(folder)
    assert [after.group(row) for row in range(6)] == ["g0", "one", "g2", "g3", "one", "g5"]
    assert after.select("test").tolist() == [1, 4]
    for row in range(6):
        np.testing.assert_array_equal(after.read(row, [2, 0]), frames[row])
        info = after.metadata(row)
        assert (info.group, info.split) == renamed(infos[row])
        assert (info.description, info.description_zh, info.durations) == (
            infos[row].description,
            infos[row].description_zh,
            infos[row].durations,
        )
    assert not list(folder.glob(".*"))


def test_a_reader_at_work_goes_on_reading_the_right_frames(folder: Path) -> None:
    at_work = StickerShards(folder)
    frames = [at_work.read(row, [1]) for row in range(6)]
    regroup_shards(folder, renamed)
    for row in range(6):
        np.testing.assert_array_equal(at_work.read(row, [1]), frames[row])
        at_work.metadata(row)


def test_names_much_longer_than_before_move_frames_and_the_index_follows(folder: Path) -> None:
    frames = [StickerShards(folder).read(row, [1]) for row in range(6)]
    assert regroup_shards(folder, lambda info: ("long " * 200, "train")) == 6
    after = StickerShards(folder)
    assert not after.damaged
    for row in range(6):
        np.testing.assert_array_equal(after.read(row, [1]), frames[row])
        assert after.metadata(row).group == "long " * 200
    for tar in find_tars(folder):
        index = load_index(tar)
        fresh = build_index(tar)
        assert fresh.samples == index.samples
        with tarfile.open(tar) as archive:
            texts = [archive.extractfile(member).read() for member in archive if member.name.endswith(".json")]
        assert all(json.loads(text)["split"] == "train" for text in texts)


def test_where_nothing_changes_nothing_is_written(folder: Path) -> None:
    stamps = {tar: tar.stat().st_mtime_ns for tar in find_tars(folder)}
    assert regroup_shards(folder, lambda info: (info.group, info.split)) == 0
    assert {tar: tar.stat().st_mtime_ns for tar in find_tars(folder)} == stamps


def test_shards_without_an_index_are_told(folder: Path) -> None:
    for index in folder.glob("*.index.json"):
        index.unlink()
    with pytest.raises(UserError, match="glassine data index"):
        regroup_shards(folder, renamed)


@pytest.mark.parametrize("group", ["two", "of a name that is longer than the JSON has room for " * 20])
def test_a_run_that_was_killed_before_it_wrote_an_index_is_gone_on_with(folder: Path, group: str) -> None:
    indexes = {path: path.read_bytes() for path in folder.glob("*.json")}
    settings = [load_index(tar).settings for tar in find_tars(folder)]
    assert regroup_shards(folder, lambda info: (group, "test")) == 6
    for path, content in indexes.items():
        path.write_bytes(content)
    regroup_shards(folder, lambda info: (group, "test"))
    shards = StickerShards(folder)
    assert not shards.damaged
    assert [(shards.group(row), shards.split(row)) for row in range(6)] == [(group, "test")] * 6
    assert [shards.metadata(row).group for row in range(6)] == [group] * 6
    assert [load_index(tar).settings for tar in find_tars(folder)] == settings
    assert not list(folder.glob(".*"))

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.helpers.small_shards import small_shards

from glassine.bench.pretrain_pack import join, pack, pack_frames, split, unpack_frames
from glassine.data.frame_cache import CachedFrames, write_frames
from glassine.utils.errors import UserError


@pytest.fixture
def cache(tmp_path):
    shards = small_shards(tmp_path / "shards", {"a1": "a", "a2": "a", "b1": "b"})
    write_frames(shards, range(len(shards)), 4, (32, 32), tmp_path / "frames" / "drawn")
    return tmp_path / "frames" / "drawn"


def test_a_packed_cache_comes_back_nearly_as_it_was(cache, tmp_path):
    pack_frames(cache, tmp_path / "p.tar", quality=90)
    assert unpack_frames(tmp_path / "p.tar", tmp_path / "back", workers=1) == 1
    assert unpack_frames(tmp_path / "p.tar", tmp_path / "back", workers=1) == 0  # there already
    before, after = CachedFrames(cache, "all", 4, draw=False), CachedFrames(tmp_path / "back", "all", 4, draw=False)
    assert len(before) == len(after) == 2
    for row in range(2):
        one, other = before[row], after[row]
        assert one["key"] == other["key"]
        torch.testing.assert_close(one["rgba"][:, 3], other["rgba"][:, 3], atol=0.02, rtol=0)
        error = ((one["rgba"] - other["rgba"]).abs() * one["rgba"][:, 3:]).mean()
        assert error < 0.02


def test_frames_that_stand_still_are_all_there(tmp_path):
    shards = small_shards(tmp_path / "shards", {"a1": "a"}, moves=False)
    write_frames(shards, [0], 4, (32, 32), tmp_path / "frames")
    pack_frames(tmp_path / "frames", tmp_path / "p.tar")
    unpack_frames(tmp_path / "p.tar", tmp_path / "back", workers=1)
    assert CachedFrames(tmp_path / "back", "all", 4)[0]["rgba"].shape == (4, 4, 32, 32)


def test_few_variants_of_a_group_are_packed(cache, tmp_path):
    pack_frames(cache, tmp_path / "p.tar", variants=1)
    unpack_frames(tmp_path / "p.tar", tmp_path / "back", workers=1)
    assert len(CachedFrames(tmp_path / "back", "all", by_subject=False)) == 2


def test_a_damaged_pack_is_refused(cache, tmp_path):
    pack_frames(cache, tmp_path / "p.tar")
    data = (tmp_path / "p.tar").read_bytes()
    (tmp_path / "p.tar").write_bytes(data[:900])
    with pytest.raises(UserError, match="must be a pack of frames"):
        unpack_frames(tmp_path / "p.tar", tmp_path / "back", workers=1)


def test_weights_travel_in_parts(tmp_path):
    weights = tmp_path / "there" / "weights" / "net"
    weights.mkdir(parents=True)
    values = torch.from_numpy(np.random.default_rng(0).standard_normal(5000).astype(np.float32))
    save_file({"x": values}, weights / "model.safetensors")
    (weights / "config.yaml").write_text("class_path: torch.nn.Identity")
    parts = list(split(tmp_path / "there" / "weights", tmp_path / "out", part_bytes=8000))
    assert len(parts) > 2
    assert all(part.stat().st_size <= 8000 for part in parts)
    assert join(tmp_path / "out", tmp_path / "here") == ["net"]
    assert (tmp_path / "here/weights/net/model.safetensors").read_bytes() == (
        weights / "model.safetensors"
    ).read_bytes()
    parts[1].unlink()
    with pytest.raises(UserError, match="without a gap"):
        join(tmp_path / "out", tmp_path / "again")


def test_a_pack_says_what_it_weighs_and_that_frames_are_missing(cache, tmp_path, capsys):
    pack(cache.parent, tmp_path / "pack", tmp_path / "no state", quality=75, variants=2)
    assert "MiB in all" in capsys.readouterr().out
    with pytest.raises(UserError, match="must hold caches of frames"):
        pack(tmp_path / "empty", tmp_path / "pack", tmp_path / "no state", quality=75, variants=2)

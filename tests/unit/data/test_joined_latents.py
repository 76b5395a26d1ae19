import pytest
import torch

from glassine.data.latent_cache import CachedLatents, JoinedLatents
from glassine.utils.errors import UserError

from .test_latent_cache import IDENTITY, write, write_moving


def test_its_samples_are_those_of_the_caches_in_turn(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", encode=lambda clip: clip[..., :2, :2])
    parts = [CachedLatents(tmp_path / name) for name in "ab"]
    joined = JoinedLatents(parts)
    assert (len(joined), joined.identity) == (14, IDENTITY)
    for row in (0, 6, 7, 13):
        item, expected = joined[1, row], parts[row // 7][1, row % 7]
        assert torch.equal(item["latents"], expected["latents"])
        assert item["key"] == expected["key"]
    assert joined[8]["key"] == "s1"
    with pytest.raises(IndexError):
        joined[14]


def test_caches_of_different_networks_and_none_are_refused(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", identity=IDENTITY | {"vae": "other"})
    with pytest.raises(UserError, match=r"a and .*b were made by different networks"):
        JoinedLatents([CachedLatents(tmp_path / name) for name in "ab"])
    with pytest.raises(UserError, match="no folder of latents"):
        JoinedLatents([])


def test_motion_is_handed_on_only_where_all_have_it(tmp_path):
    write_moving(tmp_path / "a")
    write(tmp_path / "b")
    with_motion, without = (CachedLatents(tmp_path / name) for name in "ab")
    assert JoinedLatents([with_motion, with_motion])[8]["motion"] == with_motion[1]["motion"]
    mixed = JoinedLatents([with_motion, without])
    assert not mixed.has_motion
    assert "motion" not in mixed[1]
    assert mixed[1].keys() == mixed[8].keys()

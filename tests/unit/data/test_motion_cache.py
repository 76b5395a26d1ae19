import json

import numpy as np
import pytest
import torch
from tests.helpers.small_shards import small_shards

from glassine.data.frame_cache import CachedFrames, write_frames
from glassine.data.motion_cache import CachedMotion, write_motion
from glassine.utils.errors import UserError

GROUPS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c", "d1": "d"}
FIELD = np.zeros((8, 16, 16, 2), np.float32)
FIELD[0, :, :4, 0] = 0.1
GAINS = {0: 3.0, 1: 3.0, 2: 0.2, 3: 3.0, 4: 3.0}  # the third sticker's motion is no displacement


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    shards = small_shards(folder / "shards", GROUPS, splits={"c1": "val"})
    write_frames(shards, range(len(shards)), 4, (64, 64), folder / "frames")
    frames = CachedFrames(folder / "frames", "all", 4, by_subject=False)
    calls: list[int] = []

    def fit(clip: np.ndarray, reference: int) -> tuple[np.ndarray, float, float]:
        assert clip.shape == (4, 64, 64, 4)
        row = len(calls) // 2
        calls.append(reference)
        return FIELD, 0.5 if row == 4 else 0.02, GAINS[row]

    assert write_motion(frames, "x", fit, folder / "motion", references=2, samples_a_file=4) == 3
    assert calls == [1, 3] * 5
    assert write_motion(frames, "x", fit, folder / "motion", references=2, samples_a_file=4) == 0
    return folder / "motion"


def test_only_what_moves_and_is_explained_is_kept_one_sample_a_subject(cache):
    every = CachedMotion(cache, "all")
    keys = {every[epoch, row]["key"] for epoch in range(9) for row in range(len(every))}
    assert keys == {"a1", "a2", "c1"}
    assert len(CachedMotion(cache, "val")) == 1
    assert len(CachedMotion(cache, "all", least_gain=0.0, amounts=(0.0, 1.0))) == len({"a", "b", "c", "d"})


def test_samples_are_the_same_again_and_a_mirrored_still_moves_the_other_way(cache):
    data = CachedMotion(cache, "val")
    seen = [data[epoch, 0] for epoch in range(12)]
    assert torch.equal(data[3, 0]["field"], seen[3]["field"])
    plain = [sample for sample in seen if sample["field"][0, 0, 0, 0] > 0]
    mirrored = [sample for sample in seen if sample["field"][0, 0, -1, 0] < 0]
    assert len(plain) + len(mirrored) == 12
    assert plain
    assert mirrored
    assert any(torch.equal(one["still"].flip(2), other["still"]) for one in plain for other in mirrored)
    assert seen[0]["still"].shape == (4, 64, 64)
    assert seen[0]["amount"] == pytest.approx(0.02)


def test_statistics_are_those_of_fields_of_amount_one(cache):
    amounts, deviations = CachedMotion(cache, "all").statistics()
    assert amounts == pytest.approx([0.02] * 10)
    assert deviations == pytest.approx([0.1 * np.sqrt(0.25 / 2) / 0.02] + [0.0] * 7, rel=1e-2)
    json.dumps([amounts, deviations])


def test_what_is_missing_is_said(cache, tmp_path):
    with pytest.raises(UserError, match="glassine data cache-motion"):
        CachedMotion(tmp_path)
    with pytest.raises(UserError, match="no motion of split 'test' that fits"):
        CachedMotion(cache, "test")
    with pytest.raises(UserError, match="split must be one of"):
        CachedMotion(cache, "none")

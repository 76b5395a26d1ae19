"""Caches of pictures with their closed-form alpha."""

from pathlib import Path

import numpy as np
import pytest
import torch

from glassine.data.cut_cache import CachedCuts, varied, write_cuts
from glassine.utils.errors import UserError


class Squares(torch.utils.data.Dataset):
    """A red square on white, further right with each row."""

    def __getitem__(self, item):
        _, row = item
        alpha = torch.zeros(1, 1, 16, 16)
        alpha[..., 4:12, 2 + row : 6 + row] = 1
        clip = alpha * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1) + (1 - alpha)
        return {"clip": clip, "alpha": alpha, "key": f"square {row}", "condition": "white"}


def write(folder: Path, count: int = 5, settings: dict[str, str] | None = None) -> int:
    def cut(picture):
        assert (picture.shape, picture.dtype) == ((16, 16, 3), np.uint8)
        return np.full((16, 16, 5), 255, np.uint8), 3.0

    samples = [(0, row) for row in range(count)]
    return write_cuts(Squares(), samples, cut, settings or {"size": "16"}, folder, samples_a_file=2)


def test_samples_come_back_as_they_were_written(tmp_path: Path):
    assert write(tmp_path) == 3
    cuts = CachedCuts(str(tmp_path))
    assert len(cuts) == 5
    sample = cuts[4]
    assert (sample["key"], sample["condition"], sample["noise"]) == ("square 4", "white", 3.0)
    truth = Squares()[0, 4]
    assert torch.equal(sample["picture"], truth["clip"][0])
    assert torch.equal(sample["alpha"], truth["alpha"][0])
    assert sample["behind"].shape == (3, 16, 16)
    assert sample["closed"].min() == 1


def test_an_interrupted_cache_is_finished_and_another_one_is_refused(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "cuts-000001.safetensors").unlink()
    with pytest.raises(UserError, match="2 of 3 files: run the same `glassine data cache-cuts` again"):
        len(CachedCuts(str(tmp_path)))
    assert write(tmp_path) == 1
    with pytest.raises(UserError, match="other pictures"):
        write(tmp_path, settings={"size": "32"})


def test_training_varies_samples_and_keeps_what_belongs_together(tmp_path: Path):
    write(tmp_path)
    cuts = CachedCuts([str(tmp_path)], training=True, seed=1)
    seen = [cuts[epoch, 0] for epoch in range(12)]
    assert len({one["picture"].numpy().tobytes() for one in seen}) > 2
    for one in seen:  # where the square is, the picture differs from its corner
        differs = (one["picture"] - one["picture"][:, :1, :1]).abs().amax(0, keepdim=True) > 0.5
        assert torch.equal(differs.float(), one["alpha"])
    assert torch.equal(cuts[3, 0]["picture"], seen[3]["picture"])
    assert not cuts.evaluation("val").training


def test_inverting_and_mixing_channels_leave_alpha_alone():
    planes = torch.rand(9, 4, 4)
    for seed in range(8):
        changed = varied(planes, torch.Generator().manual_seed(seed))
        kept = changed[6:]
        assert torch.equal(kept, planes[6:]) or torch.equal(kept, planes[6:].flip(-1))


def test_limit_spreads_evenly(tmp_path: Path):
    write(tmp_path)
    assert [CachedCuts(str(tmp_path), limit=3)[n]["key"] for n in range(3)] == ["square 0", "square 2", "square 4"]
    with pytest.raises(UserError, match="limit at least 1"):
        CachedCuts(str(tmp_path), limit=0)


def test_samples_come_at_a_fraction_of_their_size(tmp_path: Path):
    write(tmp_path)
    small = CachedCuts(str(tmp_path), reduce=2)
    assert small[0]["alpha"].shape == (1, 8, 8)
    assert small[0]["alpha"].mean() == CachedCuts(str(tmp_path))[0]["alpha"].mean()
    assert small.evaluation("val")[1]["picture"].shape == (3, 8, 8)
    with pytest.raises(UserError, match="reduce must be at least 1, got 0"):
        CachedCuts(str(tmp_path), reduce=0)

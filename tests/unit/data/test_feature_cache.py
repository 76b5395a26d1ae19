import pickle

import pytest
import torch
from torch.nn import functional as F

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
from glassine.data.feature_cache import CachedFeatures, write_features
from glassine.utils.errors import UserError

IDENTITY = {"image_size": "64", "digest": "abc"}
SETTINGS = {"stickers": "procedural", "size": "32"}
SAMPLES = [(view, row) for view in range(2) for row in range(5)]


def pictures():
    return Stickers(procedural=5, num_frames=1, size=(32, 32), families=["glass"])


def teacher(pictures: torch.Tensor) -> torch.Tensor:
    return F.interpolate(pictures, (4, 4), mode="area")


def write(folder, identity=IDENTITY, settings=SETTINGS, teach=teacher, **arguments) -> int:
    arguments = {"samples_a_file": 4, "batch_size": 3} | arguments
    return write_features(pictures(), SAMPLES, teach, identity, settings, folder, **arguments)


def test_it_gives_back_each_picture_with_its_features(tmp_path):
    assert write(tmp_path) == 3
    cache = CachedFeatures(tmp_path).setup()
    assert (len(cache), cache.identity) == (10, IDENTITY)
    dataset = pictures()
    for row, sample in enumerate(SAMPLES):
        item = cache[row]
        torch.testing.assert_close(item["clip"], dataset[sample]["clip"], atol=1 / 510, rtol=0)
        torch.testing.assert_close(item["teacher_features"], teacher(item["clip"])[0], atol=1e-3, rtol=0)
    assert len({cache[row]["key"] for row in range(10)}) == 10


def test_an_interrupted_cache_is_refused_until_it_is_finished(tmp_path):
    seen = []

    def stopped(batch):
        seen.append(len(batch))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return teacher(batch)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, teach=stopped)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features-000000.safetensors"]
    with pytest.raises(UserError, match=r"1 of 3 files: run the same `glassine data cache-features` again"):
        CachedFeatures(tmp_path).setup()
    assert write(tmp_path) == 2
    assert write(tmp_path) == 0
    assert len(CachedFeatures(tmp_path)) == 10


def test_a_cache_of_another_teacher_or_other_pictures_is_not_written_into(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match=r"another teacher \(image_size 64, digest abc\).*digest xyz"):
        write(tmp_path, identity=IDENTITY | {"digest": "xyz"})
    with pytest.raises(UserError, match="other pictures"):
        write(tmp_path, settings=SETTINGS | {"size": "64"})
    with pytest.raises(UserError, match="other pictures"):
        write(tmp_path, grid=2)


def test_features_can_be_reduced(tmp_path):
    write(tmp_path, grid=2)
    item = CachedFeatures(tmp_path)[0]
    expected = F.interpolate(item["clip"], (2, 2), mode="area")[0]
    torch.testing.assert_close(item["teacher_features"], expected, atol=2e-3, rtol=0)


def test_damage_and_other_sizes_are_said(tmp_path):
    with pytest.raises(UserError, match="make them with `glassine data cache-features`"):
        CachedFeatures(tmp_path).setup()
    write(tmp_path)
    with pytest.raises(UserError, match=r"must be of size 64 x 64, got 32 x 32"):
        CachedFeatures(tmp_path, (64, 64)).setup()
    second = tmp_path / "features-000001.safetensors"
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(UserError, match=r"features-000001\.safetensors is not a file of cached features or is damaged"):
        CachedFeatures(tmp_path).setup()


def test_features_of_the_test_stickers_are_not_trained_on(tmp_path):
    write(tmp_path, settings=SETTINGS | {"split": "test"})
    assert len(CachedFeatures(tmp_path, split="test")) == 10
    with pytest.raises(UserError, match="must be of split 'train', got 'test'"):
        CachedFeatures(tmp_path, split="train").setup()


def test_workers_can_have_it(tmp_path):
    write(tmp_path)
    cache = CachedFeatures(tmp_path).setup()
    first = cache[9]["clip"]
    assert torch.equal(pickle.loads(pickle.dumps(cache))[9]["clip"], first)


def test_the_data_module_trains_on_it_and_validates_on_stickers(tmp_path):
    write(tmp_path)
    module = StickerDataModule(CachedFeatures(tmp_path), Stickers(None, "val", (32, 32), 1, procedural=8), batch_size=4)
    batch = next(iter(module.train_dataloader()))
    assert batch["clip"].shape == (4, 1, 3, 32, 32)
    assert batch["teacher_features"].shape == (4, 3, 4, 4)
    assert module.features_identity == IDENTITY
    assert "alpha" in next(iter(module.val_dataloader()))


def test_a_folder_is_looked_through_before_anything_is_written_into_it(tmp_path):
    write(tmp_path)
    (tmp_path / "features-000000.safetensors").unlink()
    with pytest.raises(UserError, match="another teacher"):
        write(tmp_path, identity=IDENTITY | {"digest": "xyz"})
    assert not (tmp_path / "features-000000.safetensors").exists()

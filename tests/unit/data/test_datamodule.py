import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from glassine.data.datamodule import StickerDataModule
from glassine.data.shards import ShardWriter, load_index
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def write(folder: Path) -> str:
    with ShardWriter(folder) as writer:
        for number in range(12):
            split = {10: "val", 11: "test"}.get(number, "train")
            count = 1 if number == 4 else 9
            frames = np.full((count, 16, 16, 4), 200, np.uint8)
            writer.write(f"s{number}", Sticker(frames, (100,) * count), {"split": split, "group": f"g{number}"})
    return str(folder)


def plain(frames: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"clip": torch.from_numpy(frames).float() / 255}


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.keys: list[str] = []

    def training_step(self, batch: dict, number: int) -> torch.Tensor:
        self.keys += batch["key"]
        return self.layer(batch["clip"].mean().reshape(1)).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, **settings: int) -> Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return Trainer(accelerator="cpu", default_root_dir=folder, **quiet, **settings)


def test_it_works_on_rendered_stickers_alone() -> None:
    module = StickerDataModule(procedural=16, batch_size=2, num_frames=3, size=(16, 24))
    batch = next(iter(module.train_dataloader()))
    assert batch["clip"].shape == batch["foreground"].shape == (2, 3, 3, 16, 24)
    assert batch["alpha"].shape == (2, 3, 1, 16, 24)
    assert batch["background"].shape == (2, 3)
    assert all("\t" in caption for caption in batch["caption"])
    groups = [
        {sample["group"] for sample in map(module.dataset(stage).__getitem__, range(8))}
        for stage in ("train", "val", "test")
    ]
    assert len(groups[0] | groups[1] | groups[2]) == 24


def test_splits_never_share_a_group_and_evaluation_is_in_order(tmp_path: Path) -> None:
    module = StickerDataModule(write(tmp_path), batch_size=3, size=(16, 16), stills=True, train_transform=plain)
    keys = {
        stage: [module.dataset(stage)[row]["group"] for row in range(len(module.dataset(stage)))]
        for stage in ("train", "val", "test", "predict")
    }
    assert keys == {"train": [f"g{n}" for n in range(10)], "val": ["g10"], "test": ["g11"], "predict": ["g11"]}
    assert [key for batch in module.val_dataloader() for key in batch["key"]] == ["s10"]


def test_stills_and_limit_choose_what_is_trained_on(tmp_path: Path) -> None:
    root = write(tmp_path)
    assert len(StickerDataModule(root).dataset("train")) == 9
    assert len(StickerDataModule(root, stills=True).dataset("train")) == 10
    assert len(StickerDataModule(root, stills="only").dataset("train")) == 1
    limited = StickerDataModule(root, limit=3, procedural=5, size=(16, 16), train_transform=plain).dataset("train")
    assert [limited[row]["key"] for row in range(3)] == ["s0", "s5", "s9"]
    assert len(limited) == 8


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_several_processes_score_each_sticker_once(processes: int) -> None:
    seen = []
    for rank in range(processes):
        data = StickerDataModule(procedural=40, size=(16, 16), train_transform=plain, eval_transform=plain)
        data.trainer = SimpleNamespace(world_size=processes, global_rank=rank)
        loader = data.val_dataloader()
        seen += [index for batch in loader.batch_sampler for index in batch]
    assert sorted(seen) == list(range(len(data.dataset("val"))))


def test_only_training_and_validation_are_limited(tmp_path: Path) -> None:
    data = StickerDataModule(write(tmp_path), limit=3, val_limit=1, size=(16, 16), test_split="train")
    assert [len(data.dataset(stage)) for stage in ("train", "val", "test")] == [3, 1, 9]


def test_evaluation_gives_the_same_batch_every_time() -> None:
    batches = [
        next(iter(StickerDataModule(procedural=8, num_frames=2, size=(16, 16)).test_dataloader())) for _ in range(2)
    ]
    assert torch.equal(batches[0]["clip"], batches[1]["clip"])


def test_yaml_sets_every_argument() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(StickerDataModule, "data")
    config = parser.parse_object(
        {
            "data": {
                "root": None,
                "procedural": 4,
                "size": [32, 16],
                "train_transform": {
                    "class_path": "glassine.data.transforms.StickerTransform",
                    "init_args": {"clean": 1.0, "augmentations": []},
                },
            }
        }
    )
    module = parser.instantiate(config).data
    assert module.size == (32, 16)
    assert module.train_transform.clean == 1.0
    assert module.dataset("train")[0]["clip"].shape == (8, 3, 32, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no `root` and `procedural: 0`"),
        ({"procedural": 4, "batch_size": 0}, "batch_size is 0"),
        ({"procedural": 4, "size": (0, 8)}, r"size is \(0, 8\)"),
        ({"procedural": 4, "val_split": "dev"}, "split 'dev' came; choose one of train, val, test"),
    ],
)
def test_bad_settings_are_one_clear_line(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        StickerDataModule(**settings)


def test_a_missing_folder_is_reported_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        StickerDataModule(str(tmp_path / "none")).setup("fit")


@pytest.mark.filterwarnings("ignore")
def test_a_new_run_with_the_same_object_begins_at_the_beginning(tmp_path: Path) -> None:
    module = StickerDataModule(
        write(tmp_path), batch_size=2, size=(16, 16), train_transform=plain, eval_transform=plain
    )
    first, second = Recorder(), Recorder()
    trainer(tmp_path, max_epochs=2).fit(first, module)
    module.load_state_dict(module.state_dict())
    trainer(tmp_path, max_epochs=2).fit(second, module)
    assert second.keys == first.keys


@pytest.mark.filterwarnings("ignore")
def test_overfitting_takes_the_same_batches_again(tmp_path: Path) -> None:
    module = StickerDataModule(
        write(tmp_path), batch_size=2, size=(16, 16), train_transform=plain, eval_transform=plain
    )
    model = Recorder()
    trainer(tmp_path, max_epochs=3, overfit_batches=2).fit(model, module)
    assert model.keys == ["s0", "s1", "s2", "s3"] * 3


def test_damaged_stickers_are_named_at_the_end_of_an_epoch_and_never_stop_training(tmp_path: Path) -> None:
    root = write(tmp_path)
    tar = tmp_path / "shard-000000.tar"
    data = bytearray(tar.read_bytes())
    for sample in load_index(tar).samples[:2]:
        offset, size = sample.members[0]
        data[offset : offset + size] = b"\0" * size
    tar.write_bytes(data)
    module = StickerDataModule(
        root, batch_size=2, size=(16, 16), train_transform=plain, eval_transform=plain, stills=True
    )
    model = Recorder()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(tmp_path, max_epochs=2).fit(model, module)
    lines = [str(warning.message) for warning in caught if "damaged" in str(warning.message)]
    assert len(lines) == 1
    assert "train stickers: 2 of 10 are damaged" in lines[0]
    assert f"{tar}:s0 (" in lines[0]
    assert f"{tar}:s1 (" in lines[0]
    assert len(model.keys) == 20
    assert model.keys.count("s2") == 6  # itself and in place of both, in each of two passes

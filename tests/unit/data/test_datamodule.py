import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
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


def of_plain_frames(root: str, **settings: bool) -> StickerDataModule:
    val = Stickers(root, "val", (16, 16), transform=plain)
    return StickerDataModule(Stickers(root, size=(16, 16), transform=plain, **settings), val, batch_size=2)


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
    module = StickerDataModule(Stickers(procedural=16, num_frames=3, size=(16, 24)), batch_size=2)
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
    train = Stickers(write(tmp_path), size=(16, 16), stills=True, transform=plain)
    module = StickerDataModule(train, batch_size=3)
    keys = {
        stage: [module.dataset(stage)[row]["group"] for row in range(len(module.dataset(stage)))]
        for stage in ("train", "val", "test", "predict")
    }
    assert keys == {"train": [f"g{n}" for n in range(10)], "val": ["g10"], "test": ["g11"], "predict": ["g11"]}
    assert [key for batch in module.val_dataloader() for key in batch["key"]] == ["s10"]


def test_stills_and_limit_choose_what_is_trained_on(tmp_path: Path) -> None:
    root = write(tmp_path)
    assert len(Stickers(root)) == 9
    assert len(Stickers(root, stills=True)) == 10
    assert len(Stickers(root, stills="only")) == 1
    limited = Stickers(root, limit=3, procedural=5, size=(16, 16), transform=plain)
    assert [limited[row]["key"] for row in range(3)] == ["s0", "s5", "s9"]
    assert len(limited) == 8


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_several_processes_score_each_sticker_once(processes: int) -> None:
    seen = []
    for rank in range(processes):
        val = Stickers(procedural=5, split="val", size=(16, 16), transform=plain)
        data = StickerDataModule(val=val)
        data.trainer = SimpleNamespace(world_size=processes, global_rank=rank)
        loader = data.val_dataloader()
        seen += [index for batch in loader.batch_sampler for index in batch]
    assert sorted(seen) == list(range(len(data.dataset("val"))))


def test_what_a_yaml_leaves_out_is_the_split_of_that_name_in_full(tmp_path: Path) -> None:
    root = write(tmp_path)
    data = StickerDataModule(Stickers(root, limit=3, size=(16, 16)), Stickers(root, "val", (16, 16), 4, plain, limit=1))
    assert [len(data.dataset(stage)) for stage in ("train", "val", "test", "predict")] == [3, 1, 1, 1]
    assert (data.dataset("test").split, data.dataset("test").transform) == ("test", plain)
    alone = StickerDataModule(Stickers(root, limit=3, size=(16, 16), transform=plain, stills=True))
    val = alone.dataset("val")
    assert (val.split, val.limit, val.stills, val.training) == ("val", None, False, False)
    assert val.transform.name == "white"


def test_datasets_without_a_seed_take_that_of_the_data_module() -> None:
    first, second, own = Stickers(procedural=4), Stickers(procedural=4), Stickers(procedural=4, seed=3)
    modules = [StickerDataModule(train, seed=7) for train in (first, own)]
    assert [module.dataset("train").seed for module in modules] == [7, 3]
    assert second[0]["key"] != first[0]["key"]


def test_a_dataset_is_opened_only_by_a_stage_that_needs_it(tmp_path: Path) -> None:
    module = StickerDataModule(Stickers(str(tmp_path / "none")), Stickers(procedural=8, split="val"))
    module.setup("validate")
    assert len(module.dataset("val")) == 8


def test_any_dataset_of_dicts_will_do() -> None:
    class Numbers(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, item: int | tuple[int, int]) -> dict:
            return {"number": item if isinstance(item, int) else item[1]}

    module = StickerDataModule(Numbers(), Numbers(), batch_size=3)
    seen = [number for batch in module.train_dataloader() for number in batch["number"].tolist()]
    assert sorted(seen) == list(range(6))
    assert next(iter(module.val_dataloader()))["number"].tolist() == [0, 1, 2]
    module.report_damage()


def test_evaluation_gives_the_same_batch_every_time() -> None:
    batches = [
        next(iter(StickerDataModule(Stickers(procedural=8, num_frames=2, size=(16, 16))).test_dataloader()))
        for _ in range(2)
    ]
    assert torch.equal(batches[0]["clip"], batches[1]["clip"])


def test_yaml_sets_every_argument() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(StickerDataModule, "data")
    config = parser.parse_object(
        {
            "data": {
                "train": {
                    "class_path": "glassine.data.dataset.Stickers",
                    "init_args": {
                        "procedural": 4,
                        "size": [32, 16],
                        "transform": {
                            "class_path": "glassine.data.transforms.StickerTransform",
                            "init_args": {"clean": 1.0, "augmentations": []},
                        },
                    },
                },
                "batch_size": 3,
            }
        }
    )
    module = parser.instantiate(config).data
    assert module.batch_size == 3
    assert module.dataset("train").transform.clean == 1.0
    assert module.dataset("train")[0]["clip"].shape == (8, 3, 32, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "root must be a folder of shards or procedural at least 1, got neither"),
        ({"procedural": -1}, "procedural must be 0 or more, got -1"),
        ({"procedural": 4, "size": (0, 8)}, r"size must be at least 1, got \(0, 8\)"),
        ({"procedural": 4, "split": "dev"}, "split must be one of train, val, test, got 'dev'"),
    ],
)
def test_bad_settings_of_stickers_are_one_clear_line(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Stickers(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": None}, "data.train, data.val or data.test must be a dataset, got none"),
        ({"batch_size": 0}, "data.batch_size must be at least 1, got 0"),
        ({"prefetch_factor": 4}, "data.prefetch_factor must be at least 1 and needs workers, got 4 and num_workers 0"),
    ],
)
def test_bad_settings_of_the_data_module_are_one_clear_line(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        StickerDataModule(**{"train": Stickers(procedural=4), **settings})


def test_a_missing_folder_is_reported_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        StickerDataModule(Stickers(str(tmp_path / "none"))).setup("fit")


@pytest.mark.filterwarnings("ignore")
def test_a_new_run_with_the_same_object_begins_at_the_beginning(tmp_path: Path) -> None:
    module = of_plain_frames(write(tmp_path))
    first, second = Recorder(), Recorder()
    trainer(tmp_path, max_epochs=2).fit(first, module)
    module.load_state_dict(module.state_dict())
    trainer(tmp_path, max_epochs=2).fit(second, module)
    assert second.keys == first.keys


@pytest.mark.filterwarnings("ignore")
def test_overfitting_takes_the_same_batches_again(tmp_path: Path) -> None:
    module = of_plain_frames(write(tmp_path))
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
    module = of_plain_frames(root, stills=True)
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


def test_a_validation_can_be_cut_and_is_spread_over_its_split(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        for number in range(9):
            frames = np.full((3, 16, 16, 4), 200, np.uint8)
            writer.write(f"s{number}", Sticker(frames, (100,) * 3), {"split": "val" if number else "train"})
    train = Stickers(str(tmp_path), size=(16, 16), transform=plain)
    data = StickerDataModule(train, Stickers(str(tmp_path), "val", (16, 16), transform=plain), val_limit=3)
    assert [sample["key"] for sample in data.dataset("val")] == ["s1", "s5", "s8"]
    assert len(StickerDataModule(train, data._given["val"], val_limit=30).dataset("val")) == 8
    with pytest.raises(UserError, match=r"data\.val_limit must be at least 1, got 0"):
        StickerDataModule(train, val_limit=0)


def test_damage_in_a_cut_validation_is_reported(tmp_path: Path) -> None:
    root = write(tmp_path)
    data = StickerDataModule(val=Stickers(root, "val", (16, 16), transform=plain), val_limit=1)
    tar = tmp_path / "shard-000000.tar"
    content = bytearray(tar.read_bytes())
    for sample in load_index(tar).samples:
        for offset, size in sample.members if sample.key == "s10" else ():
            content[offset : offset + size] = b"\xff" * size
    tar.write_bytes(content)
    with pytest.raises(UserError, match="s10"):
        data.dataset("val")[0]
    with pytest.warns(UserWarning, match=r"val stickers: 1 of 1 are damaged.*s10"):
        data.report_damage()


def test_domains_choose_stickers_and_go_over_to_the_evaluation(tmp_path: Path) -> None:
    with ShardWriter(tmp_path) as writer:
        for number, (domain, split) in enumerate(
            [("Cartoon", "train"), ("real", "train"), ("real", "test"), ("cartoon", "test")]
        ):
            about = {"split": split, "domain": domain}
            writer.write(f"s{number}", Sticker(np.full((3, 16, 16, 4), 200, np.uint8), (100,) * 3), about)
    cartoons = Stickers(str(tmp_path), size=(16, 16), num_frames=4, domains=["cartoon"], fps=5.0)
    assert [sample["key"] for sample in cartoons] == ["s0"]
    tested = cartoons.evaluation("test")
    assert [(sample["key"], sample["fps"]) for sample in tested] == [("s3", 5.0)]
    assert len(Stickers(str(tmp_path), size=(16, 16))) == 2
    with pytest.raises(UserError, match=r"no sticker of split 'train' and domain 'photo'"):
        Stickers(str(tmp_path), domains=["photo"]).setup()

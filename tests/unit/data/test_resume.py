"""Runs that are stopped and resumed must see exactly what a run that was never stopped sees."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from glassine.data.datamodule import StickerDataModule
from glassine.data.dataset import Stickers
from glassine.data.shards import ShardWriter
from glassine.data.sticker import Sticker


class Killed(Exception):
    """Stands for a run that ends without warning."""


class Recorder(LightningModule):
    """Writes down every batch it trains on, and ends without warning before batch `kill_at`."""

    def __init__(self, kill_at: int = -1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.kill_at = kill_at
        self.seen: list[tuple[list[str], list[float]]] = []

    def training_step(self, batch: dict, number: int) -> torch.Tensor:
        if len(self.seen) == self.kill_at:
            raise Killed
        self.seen.append((batch["key"], batch["draw"].flatten().tolist()))
        return self.layer(batch["draw"]).mean()

    def validation_step(self, batch: dict, number: int) -> None:
        return None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def draw(frames: np.ndarray, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """What a sample's chance and its chosen frames were."""
    return {"draw": torch.rand(1, generator=generator) + float(frames.sum(dtype=np.int64) % 997)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    generator = np.random.default_rng(0)
    with ShardWriter(folder) as writer:
        for number in range(25):
            frames = generator.integers(0, 256, (9, 4, 4, 4), dtype=np.uint8)
            writer.write(f"s{number}", Sticker(frames, (100,) * 9), {"split": "train" if number < 23 else "val"})
    return folder


def fit(root: Path, model: Recorder, workers: int, **settings: object) -> None:
    ckpt_path = settings.pop("ckpt_path", None)
    train, val = (Stickers(str(root), split, (4, 4), 4, draw) for split in ("train", "val"))
    module = StickerDataModule(train, val, batch_size=3, num_workers=workers)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", default_root_dir=root, **quiet, **settings)
    trainer.fit(model, module, ckpt_path=ckpt_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("length", "saving", "kill_at"),
    [
        ({"max_epochs": 3}, {"every_n_train_steps": 2}, 5),  # killed between two checkpoints, in the first epoch
        ({"max_epochs": 3}, {"every_n_train_steps": 1}, 10),  # in the second
        ({"max_epochs": 3}, {"every_n_epochs": 1}, 16),  # after two whole epochs
        ({"max_steps": 20, "max_epochs": -1}, {"every_n_train_steps": 7}, 15),  # a checkpoint at the end of an epoch
        ({"max_epochs": 4, "limit_train_batches": 4}, {"every_n_train_steps": 3}, 13),
        ({"max_epochs": 3, "val_check_interval": 2}, {"every_n_epochs": 1, "save_on_train_epoch_end": False}, 10),
    ],
)
def test_a_resumed_run_sees_what_an_unbroken_one_sees(
    root: Path, tmp_path: Path, length: dict, saving: dict, kill_at: int
) -> None:
    unbroken, killed, resumed = Recorder(), Recorder(kill_at), Recorder()
    fit(root, unbroken, 0, enable_checkpointing=False, **length)
    with pytest.raises(Killed):
        fit(root, killed, 0, callbacks=[ModelCheckpoint(tmp_path, save_last=True, **saving)], **length)
    checkpoint = tmp_path / "last.ckpt"
    done = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 0 < done <= kill_at
    fit(root, resumed, 0, ckpt_path=checkpoint, enable_checkpointing=False, **length)
    assert killed.seen[:done] + resumed.seen == unbroken.seen


@pytest.mark.filterwarnings("ignore")
def test_batches_fetched_ahead_by_workers_are_neither_lost_nor_repeated(root: Path, tmp_path: Path) -> None:
    unbroken, killed, resumed = Recorder(), Recorder(9), Recorder()
    fit(root, unbroken, 0, max_epochs=2, enable_checkpointing=False)
    with pytest.raises(Killed):
        fit(root, killed, 2, max_epochs=2, callbacks=[ModelCheckpoint(tmp_path, save_last=True, every_n_train_steps=1)])
    fit(root, resumed, 2, max_epochs=2, ckpt_path=tmp_path / "last.ckpt", enable_checkpointing=False)
    assert killed.seen + resumed.seen == unbroken.seen


@pytest.mark.full
def test_two_processes_resume_together(root: Path, tmp_path: Path) -> None:
    def launch(kill_at: int, *ckpt_path: Path) -> list[list]:
        ended = subprocess.run(
            [sys.executable, __file__, str(root), str(tmp_path), str(kill_at), *map(str, ckpt_path)],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert (ended.returncode == 0) == (kill_at < 0), ended.stderr[-3000:]
        ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
        return [first + second for first, second in zip(*ranks, strict=True)]  # global batches

    unbroken = launch(-1)
    killed = launch(5)
    assert killed == unbroken[:5]
    done = torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"]
    assert done == 4
    resumed = launch(-1, tmp_path / "last.ckpt")
    assert killed[:done] + resumed == unbroken
    keys = [key for batch in unbroken for key in batch[0] + batch[2]]
    assert len(set(keys[:23])) == 23  # every sticker once before any comes again


def _rank(root: Path, folder: Path, kill_at: int, ckpt_path: Path | None) -> None:
    """One of two ranks; Lightning starts the other one by the same command line."""
    model = Recorder(kill_at)
    saving = [ModelCheckpoint(folder, save_last=True, every_n_train_steps=2)] if kill_at >= 0 else []
    try:
        fit(
            root,
            model,
            1,
            max_epochs=3,
            strategy="ddp",
            devices=2,
            callbacks=saving,
            enable_checkpointing=bool(saving),
            ckpt_path=ckpt_path,
        )
    finally:
        rank = model.trainer.global_rank
        (folder / f"rank{rank}.json").write_text(json.dumps(model.seen))


if __name__ == "__main__":
    _rank(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)

"""A checkpoint on disk is whole, and its weights are numbers."""

import os
import resource
import signal
import tempfile

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from glassine.tasks.checkpoints import AtomicCheckpointIO, LastCheckpoint, StopAtSignal, first_not_finite
from glassine.utils.errors import UserError

GOOD = {"state_dict": {"w": torch.ones(1000)}, "global_step": 3, "callbacks": {"best": torch.tensor(float("inf"))}}


def is_good(path):
    return torch.equal(torch.load(path, weights_only=True)["state_dict"]["w"], GOOD["state_dict"]["w"])


def test_it_is_written_beside_the_target_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    AtomicCheckpointIO().save_checkpoint(GOOD, str(tmp_path / "run" / "last.ckpt"))
    assert is_good(tmp_path / "run" / "last.ckpt")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_one_line_and_leaves_the_old_one(tmp_path):
    AtomicCheckpointIO().save_checkpoint(GOOD, tmp_path / "last.ckpt")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*last\.ckpt: the file grew past"):
            AtomicCheckpointIO().save_checkpoint(GOOD | {"more": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert is_good(tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_stop_before_it_is_on_the_disk_leaves_the_old_one(tmp_path, monkeypatch):
    AtomicCheckpointIO().save_checkpoint(GOOD, tmp_path / "last.ckpt")

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, tmp_path / "last.ckpt")
    assert is_good(tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("part", ["state_dict", "current_model_state", "optimizer_states"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_do_not_replace_those_that_are(tmp_path, part, value):
    AtomicCheckpointIO().save_checkpoint(GOOD, tmp_path / "last.ckpt")
    bad = GOOD | {part: [{"deep": {"w": torch.tensor([1.0, float(value)])}}]}
    with pytest.raises(UserError, match=rf"{part}\.0\.deep\.w after step 3: the last good checkpoint is .*last\.ckpt"):
        AtomicCheckpointIO().save_checkpoint(bad, tmp_path / "last.ckpt")
    assert is_good(tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="no good checkpoint was written yet"):
        AtomicCheckpointIO().save_checkpoint(bad, tmp_path / "other.ckpt")


def test_whole_numbers_and_small_floats_are_finite():
    assert first_not_finite({"a": torch.tensor([2**62]), "b": [torch.tensor([1e-30], dtype=torch.float64)]}) is None
    assert first_not_finite({"a": torch.ones(2), "b": (torch.tensor([float("nan")], dtype=torch.bfloat16),)}) == "b.0"


class Counts(LightningModule):
    """Sends itself a signal in step 3."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.layer, self.number, self.steps = torch.nn.Linear(1, 1), number, 0

    def training_step(self, batch, batch_idx):
        self.steps += 1
        if self.steps == 3:
            os.kill(os.getpid(), self.number)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, number: int) -> Counts:
    task = Counts(number)
    callbacks = [StopAtSignal(), LastCheckpoint(every_n_train_steps=100)]
    trainer = Trainer(
        default_root_dir=folder, max_steps=20, callbacks=callbacks, logger=False, enable_progress_bar=False
    )
    trainer.fit(task, DataLoader(torch.ones(40, 1), batch_size=1))
    return task


def test_a_signal_ends_the_run_after_its_step_and_writes_it(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        task = fit(tmp_path / str(int(number)), number)
        assert task.steps == 3
        (checkpoint,) = (tmp_path / str(int(number))).rglob("last.ckpt")
        assert torch.load(checkpoint, weights_only=True)["global_step"] == 3
        assert signal.getsignal(number) == before

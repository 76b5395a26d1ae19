import os
import signal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from glassine.tasks.checkpoints import LastCheckpoint, StopAtSignal


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

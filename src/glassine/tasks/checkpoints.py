"""A run's checkpoint, `last.ckpt`, written every few steps and at the step that ends training; and those on the way."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from glassine.tasks.checkpoint_io import write_atomically


class WholeCheckpoint(ModelCheckpoint):
    """Lightning's callback, whose files appear whole or not at all; see `AtomicCheckpointIO`."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose how files are written."""
        super().setup(trainer, pl_module, stage)
        write_atomically(trainer)


class LastCheckpoint(WholeCheckpoint):
    """`checkpoints/last.ckpt` of the run's folder, to resume from with `--ckpt_path` and to export.

    Lightning's own callback writes on a rhythm only: a run that `max_time` or `max_steps` ends between two beats would
    lose its end. The end is written while its last batch is the current one, since after that Lightning takes the
    epoch for finished, and a resumed run would skip the rest of it.

    Args:
        every_n_train_steps: the rhythm.
    """

    def __init__(self, every_n_train_steps: int = 500) -> None:
        super().__init__(filename="last", every_n_train_steps=every_n_train_steps, enable_version_counter=False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Write on the rhythm, and at the end."""
        super().on_train_batch_end(trainer, pl_module, *rest)
        ends = trainer.should_stop or trainer.global_step >= trainer.max_steps >= 0
        if ends and self.dirpath is not None:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt", weights_only=False)


class KeptCheckpoints(WholeCheckpoint):
    """`checkpoints/step-000100.ckpt` and so on: the networks on the way, to be scored against each other.

    Whole checkpoints, since weights alone would be those that `EMAWeightAveraging` has not averaged.

    Args:
        every_n_train_steps: the rhythm.
    """

    def __init__(self, every_n_train_steps: int) -> None:
        super().__init__(
            filename="step-{step:06d}",
            auto_insert_metric_name=False,
            save_top_k=-1,
            every_n_train_steps=every_n_train_steps,
            enable_version_counter=False,
        )

"""A run's checkpoint, `last.ckpt`, written every few steps and at the step that ends training; and those on the way."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.evaluation_loop import RestartStage

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See to the validation that was due when the checkpoint was written."""
        super().on_train_start(trainer, pl_module)
        repeat_validation(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Write on the rhythm, and at the end."""
        super().on_train_batch_end(trainer, pl_module, *rest)
        ends = trainer.should_stop or trainer.global_step >= trainer.max_steps >= 0
        if ends and self.dirpath is not None:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt", weights_only=False)


def repeat_validation(trainer: Trainer) -> None:
    """Let a resumed run begin with the validation that was due at its checkpoint's step.

    The checkpoint is written before that validation, so a run that was killed meanwhile has not done it; Lightning
    takes it for done.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    within_epoch = loop.batch_progress.current.ready < trainer.num_training_batches
    if not (loop.restarted_on_train_batch_end and within_epoch and trainer.enable_validation):
        return
    if loop.val_loop.restarted_mid_evaluation or not loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
        return
    loop.val_loop._restart_stage = RestartStage.RESTARTED_MID_EVALUATION  # which is how a pass over data is skipped
    loop.val_loop.restarting = False  # from its first batch
    loop._batches_that_stepped -= 1  # counted a second time when the validation ends


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

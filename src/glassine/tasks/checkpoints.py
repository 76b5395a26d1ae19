"""One checkpoint a run, `last.ckpt`, written every few steps and when training ends for whatever reason."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """`checkpoints/last.ckpt` of the run's folder, to resume from with `--ckpt_path` and to export.

    Lightning's own callback writes on a rhythm only: a run that `max_time` or `max_steps` ends between two beats would
    lose its end.

    Args:
        every_n_train_steps: the rhythm.
    """

    def __init__(self, every_n_train_steps: int = 500) -> None:
        super().__init__(filename="last", every_n_train_steps=every_n_train_steps, enable_version_counter=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the end."""
        super().on_train_end(trainer, pl_module)
        if self.dirpath is not None:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt", weights_only=False)

"""Checkpoints of a run: atomic writes, rejection of non-finite weights, and graceful stopping on signals.

`last.ckpt` is written every few steps and at the last step; further checkpoints are optional. A run that receives a
signal stops after the current step and saves its state.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.evaluation_loop import RestartStage
from torch import Tensor

from glassine.utils.errors import UserError, output_error
from glassine.utils.files import atomic_path

LEARNED = ("state_dict", "current_model_state", "averaging_state", "optimizer_states")
"""Parts of a checkpoint needed to resume; others, such as the best score so far, may contain infinity."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file next to the target and renames it, so that the old checkpoint is kept until then.

    Lightning's own implementation writes to the temporary folder and, if that is another file system, copies over the
    old checkpoint: a full disk or a kill in the meantime loses both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            UserError: a tensor is not finite, or the disk is full or not writable; the old file is kept.
        """
        if "://" in str(path):  # an object store, which replaces files atomically itself
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        if name := first_not_finite({part: checkpoint[part] for part in LEARNED if part in checkpoint}):
            raise UserError(
                f"the weights must be finite, got nan or inf in {name} after step {checkpoint.get('global_step')}: "
                f"{last_good(target)}; lower the learning rate or use a wider precision"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            save_synced(checkpoint, temporary, target)


def save_synced(content: Any, temporary: Path, target: Path) -> None:
    """`torch.save` and fsync; raises UserError if the disk is full."""
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # torch's writer hides the system error
        reason = error.__context__
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__
        if reason is None:
            raise
        raise output_error(target, reason) from error


def write_atomically(trainer: Trainer) -> None:
    """Let a trainer write its checkpoints with `AtomicCheckpointIO`, unless it has a plugin of its own."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


def last_checkpoint(trainer: Trainer) -> Path:
    """Path of a run's last checkpoint, if any."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    folders = [c.dirpath for c in callbacks if isinstance(c, ModelCheckpoint) and c.dirpath is not None]
    return Path(folders[0] if folders else trainer.default_root_dir) / "last.ckpt"


def last_good(target: Path) -> str:
    """The checkpoint to resume from, in words."""
    return f"the last good checkpoint is {target}" if target.is_file() else "no good checkpoint was written yet"


def first_not_finite(checkpoint: Any) -> str | None:
    """The name of the first tensor with nan or inf."""
    for name, tensor in tensors_in(checkpoint):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return name
    return None


def tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in nested mappings and lists, with their dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors_in(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from tensors_in(inner, f"{name}.{index}")


class WholeCheckpoint(ModelCheckpoint):
    """Lightning's callback with atomic writes; see `AtomicCheckpointIO`."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set up atomic writes."""
        super().setup(trainer, pl_module, stage)
        write_atomically(trainer)


class LastCheckpoint(WholeCheckpoint):
    """`checkpoints/last.ckpt` in the run's folder, for resuming with `--ckpt_path` and for export.

    Lightning's own callback only writes every n steps: a run ended by `max_time` or `max_steps` in between would lose
    the last steps. The final checkpoint is written while the last batch is still current, since Lightning then counts
    the epoch as finished, and a resumed run would skip the rest of it.

    Args:
        every_n_train_steps: interval.
    """

    def __init__(self, every_n_train_steps: int = 500) -> None:
        super().__init__(filename="last", every_n_train_steps=every_n_train_steps, enable_version_counter=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Schedule the validation that was due at the checkpoint."""
        super().on_train_start(trainer, pl_module)
        repeat_validation(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Save at the interval and at the end."""
        super().on_train_batch_end(trainer, pl_module, *rest)
        ends = trainer.should_stop or trainer.global_step >= trainer.max_steps >= 0
        if ends and self.dirpath is not None:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt", weights_only=False)


def repeat_validation(trainer: Trainer) -> None:
    """Let a resumed run start with the validation that was due at its checkpoint's step.

    The checkpoint is written before that validation, so a run killed in between has not done it, although Lightning
    counts it as done.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    within_epoch = loop.batch_progress.current.ready < trainer.num_training_batches
    if not (loop.restarted_on_train_batch_end and within_epoch and trainer.enable_validation):
        return
    if loop.val_loop.restarted_mid_evaluation or not loop._should_check_val_fx(trainer.fit_loop._data_fetcher):
        return
    loop.val_loop._restart_stage = RestartStage.RESTARTED_MID_EVALUATION  # Lightning's way to skip a pass
    loop.val_loop.restarting = False  # from its first batch
    loop._batches_that_stepped -= 1  # it is counted again when the validation ends


class KeptCheckpoints(WholeCheckpoint):
    """Saves `checkpoints/step-000100.ckpt` and so on: snapshots during training, for comparison.

    Full checkpoints, since weights-only ones would not be those averaged by `EMAWeightAveraging`.

    Args:
        every_n_train_steps: interval.
    """

    def __init__(self, every_n_train_steps: int) -> None:
        super().__init__(
            filename="step-{step:06d}",
            auto_insert_metric_name=False,
            save_top_k=-1,
            every_n_train_steps=every_n_train_steps,
            enable_version_counter=False,
        )


class StopAtSignal(Callback):
    """On SIGTERM or SIGINT, finish the step, let `LastCheckpoint` save, and return from `fit` normally.

    Lightning reacts to SIGTERM with an exception in the middle of a step, which loses the steps since the last
    checkpoint. A second signal goes to the previous handler. Place it before `LastCheckpoint`.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers; only possible in the main thread."""
        self.asked = False
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
            for number in self._before:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        self._restore()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Stop here if a signal has arrived."""
        if self.asked:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the previous handlers."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the previous handlers."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

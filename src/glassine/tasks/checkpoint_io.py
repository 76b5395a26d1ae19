"""How a checkpoint gets on disk: whole or not at all, and never with weights that are no numbers."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from glassine.atomic import atomic_path
from glassine.errors import UserError, output_error

LEARNED = ("state_dict", "current_model_state", "averaging_state", "optimizer_states")
"""Parts of a checkpoint that a run goes on from; others, such as the best score so far, may hold infinity."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames; a checkpoint that is there stays until the new one is complete on disk.

    Lightning's own writes into the folder for temporary files and, where that is another file system, copies over the
    old checkpoint: a full disk or a kill meanwhile loses both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            UserError: a tensor in it is not finite, or the disk is full or not writable; the old file is as it was.
        """
        if "://" in str(path):  # of an object store, which replaces whole files itself
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
    """`torch.save`, and wait until it is on the disk; UserError where the disk is full."""
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except RuntimeError as error:  # torch's writer stumbles over what the system refused
        reason = error.__context__
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__
        if reason is None:
            raise
        raise output_error(target, reason) from error


def write_atomically(trainer: Trainer) -> None:
    """Let a trainer write its checkpoints with `AtomicCheckpointIO`, unless it was given a way of its own."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


def last_checkpoint(trainer: Trainer) -> Path:
    """Where a run's last checkpoint lies if it has one."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    folders = [c.dirpath for c in callbacks if isinstance(c, ModelCheckpoint) and c.dirpath is not None]
    return Path(folders[0] if folders else trainer.default_root_dir) / "last.ckpt"


def last_good(target: Path) -> str:
    """Where training can go on from, in words."""
    return f"the last good checkpoint is {target}" if target.is_file() else "no good checkpoint was written yet"


def first_not_finite(checkpoint: Any) -> str | None:
    """The name of the first tensor that holds nan or inf."""
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

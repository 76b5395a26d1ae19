"""The verbs fit, validate, test and predict, and the files that `glassine predict` writes, one per sticker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.cli import LightningCLI
from torch import Tensor

from glassine.bench.fit import run_lightning
from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker


def run(arguments: Sequence[str]) -> LightningCLI:
    """Run `fit|validate|test|predict -c FILE.yaml [--overrides]`; raises as `run_lightning` does."""
    return run_lightning(arguments, [PredictionWriter()] if arguments[0] == "predict" else [])


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions/KEY.webp` to the run's folder after each batch, animated and lossless.

    A task's `predict_step` returns the batch's `key` and clips in [0, 1]: RGBA `b f 4 h w`, straight, or `b f 3 h w`.
    """

    def __init__(self) -> None:
        super().__init__("batch")
        self.folder = Path()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the folder; all processes must do so together, and later they may have different numbers of batches."""
        self.folder = Path(trainer.log_dir or trainer.default_root_dir) / "predictions"

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch."""
        clips = next(value for name, value in prediction.items() if name != "key")
        for key, clip, fps in zip(prediction["key"], clips, batch["fps"].tolist(), strict=True):
            frames = as_frames(clip)
            sticker = Sticker(frames, (max(1, round(1000 / fps)),) * len(frames))
            path = self.folder / f"{key}.webp"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sticker(sticker, path)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the folder."""
        print(f"wrote {self.folder}")


def as_frames(clip: Tensor) -> Any:
    """`f 3|4 h w` in [0, 1] to `f h w 4` uint8, opaque if there is no alpha."""
    if clip.shape[1] == 3:
        clip = torch.cat([clip, torch.ones_like(clip[:, :1])], dim=1)
    return rearrange((clip * 255).round().byte().cpu(), "f c h w -> f h w c").numpy()

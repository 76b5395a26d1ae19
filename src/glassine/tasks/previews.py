"""Pictures and animations of a task's `preview` in TensorBoard."""

import io
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from glassine.checkerboard import checkerboard
from glassine.tasks.base import StickerTask


class Previews(Callback):
    """After each validation: one panel (a row a sticker, all clips of `preview` side by side) still and animated.

    Args:
        stickers: how many stickers of the first validation batch to show.
        frame_ms: how long a frame of the animation stays.
    """

    def __init__(self, stickers: int = 4, frame_ms: int = 125) -> None:
        self.stickers, self.frame_ms = stickers, frame_ms

    @rank_zero_only
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Show the first batch."""
        if batch_idx or trainer.sanity_checking or not isinstance(pl_module, StickerTask):
            return
        few = {k: v[: self.stickers] if isinstance(v, Tensor | list) else v for k, v in batch.items()}
        panel = lay_out(pl_module.preview(few))  # f 3 H W
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("preview/still", panel[0], trainer.global_step)
                picture = Summary.Image(
                    height=panel.shape[2], width=panel.shape[3], colorspace=3, encoded_image_string=self.gif(panel)
                )
                writer = logger.experiment._get_file_writer()  # add_video would need moviepy for what Pillow can do
                summary = Summary(value=[Summary.Value(tag="preview/animated", image=picture)])
                writer.add_summary(summary, trainer.global_step)

    def gif(self, panel: Tensor) -> bytes:
        """`f 3 H W` in [0, 1] as an endless GIF, the one animation that TensorBoard shows."""
        arrays = (panel * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        first, *rest = [Image.fromarray(a).convert("P", palette=Image.Palette.ADAPTIVE) for a in arrays]
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=self.frame_ms, loop=0)
        return buffer.getvalue()


def lay_out(clips: dict[str, Tensor]) -> Tensor:
    """Clips (`b f 3|4 h w`, straight alpha on a checkerboard) as one panel `f 3 b*h n*w`."""
    columns = [torch.cat(list(on_checkerboard(clip.float().cpu())), dim=-2) for clip in clips.values()]  # f 3 (b h) w
    return torch.cat(columns, dim=-1).clamp(0, 1)


def on_checkerboard(clip: Tensor, square: int = 16) -> Tensor:
    """Clips with alpha composited on gray squares; opaque ones as they are."""
    if clip.shape[2] == 3:
        return clip
    board = torch.from_numpy(checkerboard(clip.shape[-2], clip.shape[-1], square)[..., 0] / np.float32(255))  # h w
    return clip[:, :, :3] * clip[:, :, 3:] + board * (1 - clip[:, :, 3:])

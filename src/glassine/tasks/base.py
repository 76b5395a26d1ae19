"""Base classes of all tasks: optimizer, schedule, frozen parts kept out of the checkpoint, previews in TensorBoard.

`ScoredTask` adds validation and test for tasks evaluated with matting metrics.
"""

import copy
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn

from glassine.metrics.matting_scores import MattingScores
from glassine.nn.inter_frame_attention import InterFrameAttention
from glassine.pretrained.partial_loading import load_partial
from glassine.pretrained.weights import read_state
from glassine.tasks.checkpoints import last_checkpoint, last_good
from glassine.utils.colors import checkerboard
from glassine.utils.errors import UserError

LAST_STEP = "#last"


def without_fused_attention(network: nn.Module) -> None:
    """Let diffusers' attention layers use plain matrix products: on a CPU, torch's fused backward pass is slow.

    A training step of the image network takes 0.72 s instead of 0.98 s (bf16, one core, 32 latents of 16 x 16).
    """
    for module in network.modules():
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0:
            module.set_processor(AttnProcessor())
        elif isinstance(module, InterFrameAttention):
            module.without_fused_attention()


class StickerTask(LightningModule):
    """A LightningModule whose `frozen` submodules are neither trained nor saved.

    Args:
        optimizer: optimizer for the parameters that require gradients.
        lr_scheduler: stepped after every optimizer step; None keeps the learning rate constant.
        init_from: checkpoint of an earlier run of the same task; only its weights are loaded at the start of training:
            the averaged ones if there are any, or the last step's with `#last` after the path. Ignored when a run is
            resumed with `--ckpt_path`.

    Subclasses name their frozen parts in `frozen` (dotted names), and return images for the logger from `preview`.
    """

    frozen: tuple[str, ...] = ()

    def __init__(
        self,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        self.optimizer_callable, self.lr_scheduler_callable = optimizer, lr_scheduler
        self.init_from = init_from
        self.register_state_dict_post_hook(drop_frozen)
        self.register_load_state_dict_post_hook(forgive_frozen)

    def __deepcopy__(self, memo: dict[int, Any]) -> "StickerTask":
        """Deep copy, e.g. for weight averaging, that shares the optimizer factory, which refers to the trainer."""
        copied = type(self).__new__(type(self))
        shared = (self.optimizer_callable, self.lr_scheduler_callable)
        memo.update({id(self): copied, **{id(maker): maker for maker in shared}})
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters."""
        return (p for p in self.parameters() if p.requires_grad)

    def rows(self, batch_idx: int, count: int) -> list[int]:
        """Dataset rows of the stickers in an evaluation batch, used as seeds.

        They do not depend on the number of processes and the batch size.

        Args:
            batch_idx: index of the batch in this process.
            count: number of stickers in the batch; the last batch may be smaller.
        """
        trainer = self._trainer  # None outside of a run
        ranks = (trainer.world_size, trainer.global_rank) if trainer is not None else (1, 0)
        usual = getattr(getattr(trainer, "datamodule", None), "eval_batch_size", count)
        # process r of n sees rows r, r + n, ...
        return [(batch_idx * usual + place) * ranks[0] + ranks[1] for place in range(count)]

    def zero_loss(self) -> Tensor:
        """The loss of a batch without targets; its backward pass keeps all processes in step."""
        return torch.stack([p.sum() for p in self.trainable_parameters()]).sum() * 0

    def train(self, mode: bool = True) -> "StickerTask":
        """Set the mode of trained parts; frozen parts stay in eval mode, including their running statistics."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        return self

    def on_fit_start(self) -> None:
        """Load the weights of `init_from`.

        Raises:
            UserError: `init_from` is missing, unreadable, or incompatible.
        """
        self.train()  # Lightning does not change the modes
        if self.device.type == "cpu":
            without_fused_attention(self)
        if self.init_from is not None and self.trainer.ckpt_path is None:
            path = self.init_from.removesuffix(LAST_STEP)
            load_partial(self, read_state(Path(path), averaged=path == self.init_from), source=self.init_from)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed each step by its number, so that a resumed run uses the same random numbers as an uninterrupted one."""
        place = (int(os.environ.get("PL_GLOBAL_SEED", 0)), self.global_rank, self.trainer.fit_loop.total_batch_idx)
        torch.manual_seed(hash(place) % 2**63)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Check that the loss is finite, then run the backward pass; also called by `manual_backward`.

        On a GPU, the loss is only checked every `log_every_n_steps` steps, since this synchronizes the device.

        Raises:
            UserError: the loss is nan or inf; the message names the step and the last good checkpoint.
        """
        rhythm = max(getattr(self.trainer, "log_every_n_steps", 1), 1)
        looks = loss.device.type == "cpu" or self.global_step % rhythm == 0
        if looks and not torch.isfinite(loss).all():
            raise UserError(
                f"the loss must be finite, got {float(loss.detach().sum())} at step {self.global_step}: "
                f"{last_good(last_checkpoint(self.trainer))}; resume from there with a lower learning rate or a wider "
                "precision"
            )
        super().backward(loss, *args, **kwargs)

    def descend(self, optimizer: Any, loss: Tensor) -> None:
        """One clipped step for tasks with alternating optimizers; clears the gradients of other losses first."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        optimizer.step()

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Lightning's clipping, extended to fused optimizers under bfloat16, which does not scale losses."""
        raw = getattr(optimizer, "optimizer", optimizer)
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if raw.defaults.get("fused") and gradient_clip_val and not scaled and gradient_clip_algorithm in (None, "norm"):
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> Any:
        """The optimizer and its per-step schedule."""
        optimizer = self.optimizer_callable(self.trainable_parameters())
        if self.lr_scheduler_callable is None:
            return optimizer
        scheduler = self.lr_scheduler_callable(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Clips for TensorBoard: name to `b f 3 h w` or RGBA `b f 4 h w`, straight alpha, all in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement preview")


def drop_frozen(task: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """State-dict hook: remove the frozen parts."""
    frozen = tuple(f"{prefix}{name}." for name in task.frozen)  # type: ignore[union-attr]
    for name in [name for name in state if name.startswith(frozen)]:
        del state[name]


def forgive_frozen(task: nn.Module, keys: Any) -> None:
    """Load hook: do not report frozen parts as missing; the constructor has already loaded them."""
    frozen = tuple(f"{name}." for name in task.frozen)  # type: ignore[union-attr]
    keys.missing_keys[:] = [key for key in keys.missing_keys if not key.removeprefix("module.").startswith(frozen)]


class Previews(Callback):
    """After each validation, log one panel, still and animated: one row per sticker with the clips of `preview`.

    Args:
        stickers: number of stickers of the first validation batch.
        frame_ms: frame duration of the animation in ms.
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
                writer = logger.experiment._get_file_writer()  # add_video would need moviepy; Pillow is enough
                summary = Summary(value=[Summary.Value(tag="preview/animated", image=picture)])
                writer.add_summary(summary, trainer.global_step)

    def gif(self, panel: Tensor) -> bytes:
        """`f 3 H W` in [0, 1] as an infinitely looping GIF, TensorBoard's only animation format."""
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
    """Composite clips with alpha on a checkerboard; opaque clips are unchanged."""
    if clip.shape[2] == 3:
        return clip
    board = torch.from_numpy(checkerboard(clip.shape[-2], clip.shape[-1], square)[..., 0] / np.float32(255))  # h w
    return clip[:, :, :3] * clip[:, :, 3:] + board * (1 - clip[:, :, 3:])


class ScoredTask(StickerTask):
    """A task that logs `MattingScores` of whole clips; subclasses update `scores` in `evaluation_step`.

    Args:
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
    """

    def __init__(
        self,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        self.scores = MattingScores()

    def evaluation_step(self, batch: dict[str, Any]) -> None:
        """Score a batch of whole clips."""
        raise NotImplementedError(f"{type(self).__name__} must implement evaluation_step")

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a batch."""
        self.evaluation_step(batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Score a batch."""
        self.evaluation_step(batch)

    def log_scores(self, stage: str) -> None:
        """Log all scores of the epoch, and reset them."""
        self.log_dict({f"{stage}/{name}": float(value) for name, value in self.scores.compute().items()})
        self.scores.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores."""
        self.log_scores("test")

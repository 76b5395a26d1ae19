"""Train the suite's own evaluators: matching clips to captions, and recognizing motion."""

from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sticker_clip import StickerCLIP
from glassine.nn.augmentation import PictureAugment
from glassine.pretrained.efficientnet_lite import start_from_imagenet
from glassine.tasks.base import StickerTask

MOTIONS = ("as it is", "still", "shuffled", "reversed")


class StickerCLIPTask(StickerTask):
    """InfoNCE between clips and captions (CLIP, arXiv 2103.00020, figure 3), with several positive pairs per batch.

    Stickers of one `group` only differ in skin tone or gender, so each also matches the others' captions: the target is
    uniform over them. With a motion head, each clip is shown with its frames unchanged, repeated, shuffled or reversed,
    and the head classifies which: this makes distances between feature distributions sensitive to motion. Reversed
    clips often look the same as the originals, so the head's accuracy cannot reach 1.

    Args:
        clip: a `StickerCLIP` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        motion_weight: weight of the head's cross-entropy.
        words: fraction of captions replaced by trigger words, one or several in random order.
        start: `imagenet` initializes the encoder, a `tf_efficientnet_lite0`, with ImageNet weights (extra `train`).
        augment: for batches of `Thumbnails`: premultiplied RGBA `b 4 h w` to opaque images `b 3 h w`; None is
            `PictureAugment` with its defaults.
    """

    frozen: tuple[str, ...] = ("clip.text_encoder",)

    def __init__(
        self,
        clip: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        motion_weight: float = 0.3,
        words: float = 0.3,
        start: Literal["imagenet"] | None = None,
        augment: nn.Module | None = None,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(clip, StickerCLIP):
            raise TypeError(f"clip must be a StickerCLIP, got a {type(clip).__name__}")
        head = clip.motion_head
        if head is not None and head.out_features != len(MOTIONS):
            raise ValueError(f"motion_head must have {len(MOTIONS)} outputs ({MOTIONS}), got {head.out_features}")
        self.clip, self.motion_weight, self.words = clip, motion_weight, words
        self.start, self.augment = start, augment or PictureAugment()

    def on_fit_start(self) -> None:
        """Load the initial weights; raises like `StickerTask` and `start_from_imagenet`."""
        if self.start is not None and self.init_from is None and self.trainer.ckpt_path is None:
            start_from_imagenet(self.clip.encoder.frames)
        super().on_fit_start()

    def shown(self, batch: dict[str, Any]) -> Tensor:
        """Opaque clips `b f 3 h w`; images from `Thumbnails` are augmented in training, and on white otherwise."""
        if "picture" not in batch:
            return batch["clip"]
        if self.training:
            return self.augment(batch["picture"])[:, None]
        picture = batch["picture"].float() / 255
        return (picture[:, :3] + 1 - picture[:, 3:])[:, None]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on a batch of clips with captions."""
        texts = [self.say(*about) for about in zip(batch["caption"], batch["trigger_words"], strict=True)]
        shown = self.shown(batch)
        clips, kinds = (shown, None) if self.clip.motion_head is None else moved(shown)
        features = self.clip.features(clips)
        loss = self.contrast(self.clip.embed_features(features), self.clip.embed_texts(texts), batch["group"])
        self.log("train/contrast", loss)
        if kinds is not None:
            motion = F.cross_entropy(self.clip.motion_head(features), kinds)  # type: ignore[misc]
            self.log("train/motion", motion)
            loss = loss + self.motion_weight * motion
        self.log("train/loss", loss)
        return loss

    def contrast(self, clips: Tensor, texts: Tensor, groups: list[str]) -> Tensor:
        """Mean cross-entropy in both directions, for normalized embeddings `b d`."""
        logits = self.clip.logit_scale.clamp(max=4.6052).exp() * clips @ texts.T  # b b; at most 100, section 2.5
        same = torch.tensor([[a == b for b in groups] for a in groups], device=logits.device, dtype=logits.dtype)
        target = same / same.sum(dim=1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def say(self, caption: str, trigger_words: list[str]) -> str:
        """The caption, or some of its trigger words instead."""
        if not trigger_words or torch.rand(()) >= self.words:
            return caption
        order = torch.randperm(len(trigger_words))[: 1 + int(torch.randint(3, ()))]
        return " ".join(trigger_words[int(i)] for i in order)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Collect embeddings; motions are scored immediately."""
        self.evaluation_step(batch, batch_idx, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluation_step(batch, batch_idx, "test")

    def evaluation_step(self, batch: dict[str, Any], batch_idx: int, stage: str) -> None:
        """Log recall within the batch and the motion head's accuracy."""
        clips = self.shown(batch)
        embedded, texts = self.clip.embed_clips(clips), self.clip.embed_texts(batch["caption"])
        best = (embedded @ texts.T).argmax(dim=1).tolist()
        found = [batch["group"][row] == batch["group"][column] for row, column in enumerate(best)]
        named = {f"{stage}/recall": sum(found) / len(found)}
        if self.clip.motion_head is not None:
            shown, kinds = moved(clips, torch.Generator().manual_seed(batch_idx))
            named[f"{stage}/motion"] = self.accuracy(shown, kinds)
        self.log_dict(named, batch_size=len(found), sync_dist=True)

    def accuracy(self, clips: Tensor, kinds: Tensor) -> float:
        """Accuracy of the motion head on clips of the given `kinds`."""
        assert self.clip.motion_head is not None
        said = self.clip.motion_head(self.clip.features(clips)).argmax(dim=1)
        return (said == kinds).float().mean().item()

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The clips and the motion head's input."""
        clips = self.shown(batch)
        return {"input": clips, "moved": moved(clips, torch.Generator().manual_seed(0))[0]}


def moved(clip: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Clips `b f 3 h w` with randomly reordered frames, and the index in `MOTIONS` of each, `b`."""
    count, frames = clip.shape[:2]
    kinds = torch.randint(len(MOTIONS), (count,), generator=generator)
    forward = torch.arange(frames)
    orders = torch.stack(
        [
            forward.expand(count, -1),
            torch.randint(frames, (count, 1), generator=generator).expand(-1, frames),
            torch.rand(count, frames, generator=generator).argsort(dim=1),
            forward.flip(0).expand(count, -1),
        ]
    )  # m b f
    order = orders[kinds, torch.arange(count)].to(clip.device)  # b f
    return clip[torch.arange(count, device=clip.device)[:, None], order], kinds.to(clip.device)

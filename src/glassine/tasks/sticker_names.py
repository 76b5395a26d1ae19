"""Train the evaluator that names stickers, on real stickers only: it must never see a generated one."""

from typing import Any, Literal, Protocol

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.models.sticker_clip import StickerNames
from glassine.nn.augmentation import PictureAugment
from glassine.pretrained.efficientnet_lite import start_from_imagenet
from glassine.tasks.base import StickerTask
from glassine.utils.errors import UserError

BATCH = 64


class ThumbnailRows(Protocol):
    """The interface of `glassine.data.thumbnails.Thumbnails`."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, row: int) -> dict[str, Any]:
        """A sample with `picture` `4 h w` and `group`."""


class StickerNamesTask(StickerTask):
    """Cross-entropy over groups, on strongly augmented `Thumbnails`, to generalize to unseen drawings.

    Args:
        network: a `StickerNames` (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        augment: premultiplied RGBA `b 4 h w` to opaque images `b 3 h w`; None is `PictureAugment` with its defaults.
        start: `imagenet` initializes the encoder, a `tf_efficientnet_lite0`, with ImageNet weights (extra `train`), and
            the embedding and prototypes from their features of the training drawings, see `embed_means`.
        label_smoothing: fraction of the target that is uniform over all groups.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        augment: nn.Module | None = None,
        start: Literal["imagenet"] | None = None,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(network, StickerNames):
            raise TypeError(f"network must be a StickerNames, got a {type(network).__name__}")
        self.network, self.augment = network, augment or PictureAugment()
        self.start, self.label_smoothing = start, label_smoothing
        self.places: dict[str, int] = {}

    def on_fit_start(self) -> None:
        """Read the names from the data, and load the initial weights.

        Raises:
            UserError: a resumed run has different groups; see also `StickerTask` and `start_from_imagenet`.
        """
        fresh = self.trainer.ckpt_path is None
        if self.start is not None and self.init_from is None and fresh:
            start_from_imagenet(self.network.encoder.frames)
        super().on_fit_start()
        groups = self.trainer.datamodule.dataset("train").groups  # type: ignore[attr-defined]
        if fresh:
            self.network.set_names(groups)
            if self.start is not None and self.init_from is None:
                self.embed_means(self.trainer.datamodule.dataset("train"))  # type: ignore[attr-defined]
        elif self.network.names != groups:
            raise UserError("the groups must be those the run started with, got others: start a new run")

    @torch.no_grad()
    def embed_means(self, dataset: ThumbnailRows) -> None:
        """Initialize the embedding by PCA of pooled features, and the prototypes by group means.

        This is a nearest class mean classifier before any training. Components are divided by the square root of their
        standard deviation, halfway between keeping and whitening them. Does nothing if the embedding has more channels
        than there are drawings.
        """
        network, head = self.network.eval(), self.network.encoder.frames.get_classifier()
        width = head.out_features
        if len(dataset) <= width:
            return
        batches = [range(start, min(start + BATCH, len(dataset))) for start in range(0, len(dataset), BATCH)]
        samples = ([dataset[row] for row in rows] for rows in batches)
        features, groups = [], []
        for batch in samples:
            picture = torch.stack([sample["picture"] for sample in batch]).to(self.device)
            features.append(network.appearance(on_white(picture)).float())
            groups += [sample["group"] for sample in batch]
        known = torch.cat(features)  # n d'
        mean = known.mean(dim=0)
        _, sizes, axes = torch.linalg.svd(known - mean, full_matrices=False)
        weight = axes[:width] * (sizes[0] / sizes[:width].clamp(min=1e-6 * float(sizes[0]))).sqrt()[:, None]
        head.weight.copy_(weight / weight.norm(dim=1).mean())
        head.bias.copy_(-head.weight @ mean)
        embedded = F.normalize(head(known), dim=1)
        sums = torch.zeros_like(network.prototypes).index_add(0, self.targets(groups), embedded)
        network.prototypes.copy_(F.normalize(sums, dim=1) + (sums.norm(dim=1, keepdim=True) == 0) * network.prototypes)
        self.train()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on `picture` (`b 4 h w` premultiplied)."""
        logits = self.network(self.augment(batch["picture"]))
        loss = F.cross_entropy(logits, self.targets(batch["group"]), label_smoothing=self.label_smoothing)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Top-1 and top-5 accuracy."""
        self.evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: dict[str, Any], stage: str) -> None:
        """Log `top1` and `top5` on white, and `top1` per source."""
        logits = self.network(on_white(batch["picture"]))
        order = logits.topk(min(5, logits.shape[1]), dim=1).indices == self.targets(batch["group"])[:, None]  # b 5
        first, found = order[:, 0].float(), order.any(dim=1).float()
        count = len(first)
        self.log_dict({f"{stage}/top1": first.mean(), f"{stage}/top5": found.mean()}, batch_size=count, sync_dist=True)
        for source in sorted(set(batch["source"])):
            mine = torch.tensor([one == source for one in batch["source"]], device=first.device)
            self.log(f"{stage}/top1_{source}", first[mine].mean(), batch_size=int(mine.sum()), sync_dist=True)

    def targets(self, groups: list[str]) -> Tensor:
        """The classes `b` of groups; raises UserError for an unknown group."""
        if len(self.places) != self.network.count:
            self.places = {name: place for place, name in enumerate(self.network.names)}
        unknown = [group for group in groups if group not in self.places]
        if unknown:
            raise UserError(f"groups must be among the {len(self.places)} trained ones, got {unknown[0]!r}")
        return torch.tensor([self.places[group] for group in groups], device=self.device)

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The images and their augmented versions."""
        picture = batch["picture"]
        return {"input": on_white(picture)[:, None], "changed": self.augment(picture)[:, None]}


def on_white(picture: Tensor) -> Tensor:
    """Opaque `b 3 h w` in [0, 1] from premultiplied RGBA `b 4 h w` uint8."""
    picture = picture.float() / 255
    return picture[:, :3] + 1 - picture[:, 3:]

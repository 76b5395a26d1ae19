"""Train SAM on stickers (Segment Anything, arXiv 2304.02643, section 3, appendix A); Meta's training code is private.

It only needs stickers with alpha: scenes are composed of several stickers, and the target for a point on a sticker or a
box around it is its visible mask.
"""

from typing import Any, Literal, get_args

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric

from glassine.models.sam import (
    Prompts,
    boxes_of,
    center_points,
    decode_masks,
    embed_pictures,
    enlarge_masks,
    loosened,
    random_points,
    shrink_masks,
)
from glassine.nn.augmentation import compose_scenes
from glassine.tasks.base import StickerTask

PromptKind = Literal["point", "box", "both"]
KINDS: tuple[PromptKind, ...] = get_args(PromptKind)


class PromptableSegmentationTask(StickerTask):
    """L = focal_weight * focal + dice + iou_weight * (predicted IoU - IoU)^2, for one round of prompts.

    Objects are prompted by a point, a box, or both. A point alone is ambiguous between part and whole: of its three
    masks, only the one with the smallest loss is trained (appendix A, "Making the model ambiguity-aware"). SAM's
    further rounds of corrective clicks are omitted: ILDiff prompts once.

    Args:
        sam: the network (typed as a module so that a loader can create it).
        optimizer: see `StickerTask`.
        lr_scheduler: see `StickerTask`.
        init_from: see `StickerTask`.
        most_layers: maximum number of stickers per scene, at least two.
        single_share: fraction of batches with single stickers as provided by the data module, including its
            degradations.
        least_area: stickers with a smaller visible fraction of the image are not prompted.
        focal_weight: 20 in the paper, with dice at 1.
        iou_weight: 1 in the paper.
        prompt_shares: relative frequency of each kind of prompt.
        tune_image_encoder: whether the image encoder is trained, too; otherwise only the prompt side is, at a third of
            the time, and anything distilled from the encoder stays valid.

    Raises:
        TypeError: `sam` is not a SAM.
        ValueError: fewer than two layers, or shares that are negative or all 0.
    """

    def __init__(
        self,
        sam: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: str | None = None,
        most_layers: int = 4,
        single_share: float = 0.3,
        least_area: float = 0.004,
        focal_weight: float = 20.0,
        iou_weight: float = 1.0,
        prompt_shares: dict[PromptKind, float] | None = None,
        tune_image_encoder: bool = True,
    ) -> None:
        super().__init__(optimizer, lr_scheduler, init_from)
        if not isinstance(sam, Sam):
            raise TypeError(f"sam must be a segment_anything Sam, got a {type(sam).__name__}")
        if most_layers < 2:
            raise ValueError(f"most_layers must be at least 2, got {most_layers}")
        self.sam, self.most_layers, self.single_share, self.least_area = sam, most_layers, single_share, least_area
        self.focal_weight, self.iou_weight = focal_weight, iou_weight
        self.prompt_shares: dict[PromptKind, float] = prompt_shares or {"point": 1.0, "box": 1.0, "both": 1.0}
        if min(self.prompt_shares.values()) < 0 or not sum(self.prompt_shares.values()):
            raise ValueError(f"prompt_shares must be at least 0, one of them positive, got {self.prompt_shares}")
        sam.image_encoder.requires_grad_(tune_image_encoder)
        sam.prompt_encoder.mask_downscaling.requires_grad_(False)  # for mask prompts, which are not used here
        self.iou = nn.ModuleDict({f"{where}_{kind}": MeanMetric() for where in ("single", "scene") for kind in KINDS})

    def scenes(
        self, batch: dict[str, Any], layers: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Images `b 3 h w`, and for each the candidate masks, `k h w` bool; with one layer, the batch's own.

        Only first frames are used.
        """
        if layers == 1:
            pictures, seen = batch["clip"][:, 0], batch["alpha"][:, 0]  # b 3 h w, b 1 h w
        else:
            pictures, seen = compose_scenes(
                batch["foreground"][:, 0], batch["alpha"][:, 0], batch["background"], layers, generator
            )
        masks = seen > 0.5  # b k h w
        large = masks.float().mean((-2, -1)) >= self.least_area  # b k
        return pictures, [mask[keep] for mask, keep in zip(masks, large, strict=True)]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One step on scenes of the batch's stickers."""
        single = bool(torch.rand(()) < self.single_share)
        pictures, masks = self.scenes(batch, 1 if single else int(torch.randint(2, self.most_layers + 1, ())))
        embeddings = embed_pictures(self.sam, pictures)  # b c g g
        losses = [
            self.prompt_loss(embedding[None], truth, self.draw_kind())
            for embedding, truth in zip(embeddings, masks, strict=True)
            if len(truth)
        ]
        if not losses:  # only faded or tiny stickers
            return self.zero_loss()
        named = {name: torch.stack([one[name] for one in losses]).mean() for name in losses[0]}
        loss = torch.stack(list(named.values())).sum()
        self.log_dict({f"train/{name}": value for name, value in named.items()} | {"train/loss": loss})
        return loss

    def draw_kind(self) -> PromptKind:
        """The kind of prompt for the objects of one image."""
        kinds = list(self.prompt_shares)
        return kinds[int(torch.multinomial(torch.tensor(list(self.prompt_shares.values())), 1))]

    def prompt_loss(self, embedding: Tensor, truth: Tensor, kind: PromptKind) -> dict[str, Tensor]:
        """Losses of the objects of one image, with one kind of prompt: `1 c g g`, `k h w` bool."""
        size = (truth.shape[-2], truth.shape[-1])
        points = random_points(truth) if kind != "box" else None
        boxes = loosened(boxes_of(truth), size) if kind != "point" else None
        prompts = Prompts(points, boxes)
        logits, predicted_iou = decode_masks(self.sam, embedding, prompts, size, kind == "point")  # k m s s, k m
        target = shrink_masks(self.sam, truth.float())[:, None].expand_as(logits)
        focal, dice = focal_loss(logits, target), dice_loss(logits, target)  # k m
        best = (self.focal_weight * focal + dice).argmin(dim=1, keepdim=True)  # k 1
        return {
            "focal": self.focal_weight * focal.gather(1, best).mean(),
            "dice": dice.gather(1, best).mean(),
            "iou": self.iou_weight * F.mse_loss(predicted_iou, mask_iou(logits > 0, target > 0.5)),
        }

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Mean IoU with point, box and both, on the clips and on scenes of two."""
        self.evaluate(batch, batch_idx)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """The same for the test split."""
        self.evaluate(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the means."""
        self.log_iou("val")

    def on_test_epoch_end(self) -> None:
        """Log the means."""
        self.log_iou("test")

    def log_iou(self, stage: str) -> None:
        """Log the mean IoUs of this evaluation, and reset them."""
        for name, metric in self.iou.items():
            self.log(f"{stage}/{name}_iou", metric.compute())  # type: ignore[operator]
            metric.reset()  # type: ignore[operator]

    def evaluate(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Accumulate the IoU of the mask that the network ranks highest."""
        for name, layers in (("single", 1), ("scene", 2)):
            pictures, masks = self.scenes(batch, layers, torch.Generator().manual_seed(batch_idx))
            embeddings = embed_pictures(self.sam, pictures)
            for embedding, truth in zip(embeddings, masks, strict=True):
                if not len(truth):
                    continue
                points, boxes = center_points(truth), boxes_of(truth)
                for kind, prompts in (
                    ("point", Prompts(points)),
                    ("box", Prompts(boxes=boxes)),
                    ("both", Prompts(points, boxes)),
                ):
                    best = self.best_masks(embedding[None], prompts, truth)
                    self.iou[f"{name}_{kind}"].update(mask_iou(best, truth))  # type: ignore[operator]

    def best_masks(self, embedding: Tensor, prompts: Prompts, truth: Tensor) -> Tensor:
        """For each prompt, the mask with the highest predicted IoU, `k h w` bool."""
        size = (truth.shape[-2], truth.shape[-1])
        logits, iou = decode_masks(self.sam, embedding, prompts, size, multimask=prompts.boxes is None)
        best = logits[torch.arange(len(logits)), iou.argmax(1)]  # k s s
        return enlarge_masks(self.sam, best[:, None], size)[:, 0] > 0

    @torch.no_grad()
    def preview(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Scenes, and the masks for a point at each sticker's center, one color channel per sticker."""
        pictures, masks = self.scenes(batch, 2, torch.Generator().manual_seed(0))
        shown = {"scene": pictures, "truth": torch.zeros_like(pictures), "by point": torch.zeros_like(pictures)}
        for row, (embedding, truth) in enumerate(zip(embed_pictures(self.sam, pictures), masks, strict=True)):
            if len(truth):
                found = self.best_masks(embedding[None], Prompts(points=center_points(truth)), truth)
                shown["truth"][row, : len(truth)] = truth.float()
                shown["by point"][row, : len(truth)] = found.float()
        return {name: pictures[:, None] for name, pictures in shown.items()}  # b 1 3 h w


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, positive: float = 0.25) -> Tensor:
    """Focal loss (arXiv 1708.02002, equation 5) averaged over pixels, `... h w` to `...`.

    torchvision's `sigmoid_focal_loss` computes 1 - p_t as 1 - (1 - p), which is 0 for small p in half precision.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wrong = (logits.sigmoid() - target).abs()  # 1 - p_t
    weight = positive * target + (1 - positive) * (1 - target)
    return (weight * wrong**gamma * entropy).mean((-2, -1))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - soft Dice (V-Net, arXiv 1606.04797), `... h w` to `...`."""
    soft = logits.sigmoid()
    common = (soft * target).sum((-2, -1))
    return 1 - (2 * common + 1) / (soft.sum((-2, -1)) + target.sum((-2, -1)) + 1)


def mask_iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of bool masks, `... h w` to `...`; 1 if both are empty."""
    common, either = (one & other).sum((-2, -1)), (one | other).sum((-2, -1))
    return torch.where(either > 0, common / either.clamp(min=1), 1.0)

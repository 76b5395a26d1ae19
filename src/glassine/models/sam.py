"""Segment Anything (arXiv 2304.02643) with gradients and at any input size, and its prompts.

Uses the modules of `segment_anything`, whose `build_sam` fixes the input size at 1024 px and whose `Sam.forward` has no
gradients. Images are `n 3 h w` in [0, 1]; they are resized so that the longer side is `image_size`, and padded at the
right and bottom. Points and boxes are made from masks as in SAM's training and in ILDiff's evaluation.
`TimmImageEncoder` allows a timm network as image encoder of the layout adapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import masks_to_boxes

from glassine.utils.errors import UserError
from glassine.utils.tensors import weights_digest


@dataclass(frozen=True)
class Prompts:
    """k prompts on one image, in pixels: a point, a box or both for each.

    Attributes:
        points: foreground points `k 2`, x before y; None for none.
        boxes: `k 4`: left, top, right, bottom; None for none.
    """

    points: Tensor | None = None
    boxes: Tensor | None = None

    @property
    def labelled_points(self) -> tuple[Tensor, Tensor] | None:
        """The points in SAM's format: coordinates `k 1 2` and labels `k 1`, all 1 for foreground."""
        if self.points is None:
            return None
        return self.points[:, None], torch.ones_like(self.points[:, :1])

    def scaled(self, x: float, y: float) -> "Prompts":
        """The same prompts on an image `x` times as wide and `y` times as high."""
        factors = torch.tensor([x, y])
        points = None if self.points is None else self.points.float() * factors.to(self.points.device)
        boxes = None if self.boxes is None else self.boxes.float() * factors.repeat(2).to(self.boxes.device)
        return Prompts(points, boxes)

    def check(self, height: int, width: int) -> None:
        """Raise UserError if there is no prompt, or one that is malformed or outside an image of this size."""
        given = [corners.reshape(-1, 2) for corners in (self.points, self.boxes) if corners is not None]
        if not given:
            raise UserError("there must be points, boxes or both, got neither")
        shapes = [tuple(x.shape) for x in (self.points, self.boxes) if x is not None]
        widths = [n for n, x in ((2, self.points), (4, self.boxes)) if x is not None]
        if shapes != [(len(given[-1]) * 2 // widths[-1], width) for width in widths]:
            raise UserError(f"points must be k 2 and boxes k 4, as many of each, got {shapes}")
        if self.boxes is not None and (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise UserError("boxes must be left, top, right, bottom, got one that ends before it begins")
        for corner in torch.cat(given).tolist():
            if not (0 <= corner[0] <= width and 0 <= corner[1] <= height):
                raise UserError(
                    f"prompts must lie inside the picture of {width} x {height} pixels, got one at x {corner[0]:g}, "
                    f"y {corner[1]:g}"
                )


def visible_part(alpha: Tensor) -> Tensor:
    """Bool mask `... h w` of the visible object in a true alpha `... h w` in [0, 1], from which prompts are made.

    The threshold is half of the maximum alpha of each frame, so that a fading sticker keeps its prompts. Frames whose
    maximum is below 1/255 are empty.
    """
    highest = alpha.amax((-2, -1), keepdim=True)
    return (alpha > highest / 2) & (highest >= 1 / 255)


def boxes_of(masks: Tensor) -> Tensor:
    """The bounding box of each mask, `k h w` bool to `k 4` float, with inclusive coordinates; no mask may be empty."""
    return masks_to_boxes(masks).float()


def center_points(masks: Tensor) -> Tensor:
    """The foreground pixel nearest to each mask's center of mass: `k h w` bool to `k 2` float; no mask may be empty.

    The center of mass itself may lie outside the object, such as in the hole of a ring.
    """
    points = []
    for mask in masks:
        pixels = mask.nonzero().float().flip(-1)  # p 2, x before y
        distance = (pixels - pixels.mean(0)).square().sum(-1)
        points.append(pixels[distance.argmin()])
    return torch.stack(points)


def random_points(masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A uniformly sampled foreground pixel of each mask: `k h w` bool to `k 2` float; no mask may be empty.

    The `generator` must be on the device of the masks.
    """
    chosen = torch.multinomial(masks.flatten(1).float(), 1, generator=generator)[:, 0]  # k
    width = masks.shape[-1]
    return torch.stack([chosen % width, chosen // width], dim=-1).float()


def loosened(boxes: Tensor, size: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
    """Imitate hand-drawn boxes (SAM, appendix A): shift each side by Gaussian noise.

    Args:
        boxes: `k 4` in pixels. The standard deviation is 10% of the box's side, and shifts are limited to 20 pixels.
        size: height and width of the image; boxes are clipped to it.
        generator: source of randomness, on the device of the boxes.
    """
    height, width = size
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # k 4: w h w h
    noise = torch.randn(boxes.shape, generator=generator, device=boxes.device) * 0.1 * sides
    moved = boxes + noise.clamp(-20, 20)
    limits = torch.tensor([width - 1, height - 1], device=boxes.device).repeat(2)
    return torch.minimum(moved.clamp(min=0), limits)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TimmImageEncoder(nn.Module):
    """One feature map of a timm network: images `n 3 h w` in [0, 1] to `n d h/stride w/stride`.

    Args:
        name: any timm model that supports `features_only`.
        stage: index of the feature map; for most networks, stage 3 has a stride of 16.
        pretrained: load timm's public weights (needs the hub or timm's cache).

    Attributes:
        out_channels: channels of the feature map (d).
        stride: pixels per feature.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "mobilenetv4_conv_small", stage: int = 3, pretrained: bool = False) -> None:
        super().__init__()
        self.network = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=(stage,))
        info: Any = self.network.feature_info
        drop_later_blocks(self.network, info.module_name()[0])
        self.out_channels: int = info.channels()[0]
        self.stride: int = info.reduction()[0]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The feature map `n d h/stride w/stride` of images `n 3 h w` in [0, 1]."""
        return self.network((pictures - self.mean) / self.std)[0]


def drop_later_blocks(network: nn.Module, last: str) -> None:
    """Delete all blocks after the one named `last`, for instance `blocks.2`.

    timm's MobileNets keep and run the blocks after the last requested feature map. These would cost time, count as
    parameters and never get a gradient.
    """
    blocks, _, number = last.rpartition(".")
    if number.isdigit():
        del network.get_submodule(blocks)[int(number) + 1 :]  # type: ignore[operator]


PIXEL_MEAN, PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def make_sam(
    image_size: int = 1024,
    embed_dim: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    global_attn_indexes: Sequence[int] = (2, 5, 8, 11),
    window_size: int = 14,
    out_channels: int = 256,
    decoder_mlp_dim: int = 2048,
    patch_size: int = 16,
) -> Sam:
    """SAM of any size with random weights, for use as a `class_path` in a YAML; the defaults are ViT-B's.

    Args:
        image_size: longer side of the input in pixels; a multiple of `patch_size`.
        embed_dim: width of the image encoder; a multiple of `num_heads`.
        depth: blocks of the image encoder.
        num_heads: attention heads per block.
        global_attn_indexes: blocks with global instead of windowed attention.
        window_size: side of a window in patches.
        out_channels: channels of the image embedding and width of the mask decoder; a multiple of 8.
        decoder_mlp_dim: hidden width of the mask decoder's MLPs.
        patch_size: side of a patch in pixels.

    Raises:
        ValueError: a size that is not such a multiple.
    """
    if image_size % patch_size or out_channels % 8 or embed_dim % num_heads:
        raise ValueError(
            "image_size must be a multiple of patch_size, out_channels of 8 and embed_dim of num_heads, got "
            f"{image_size} and {patch_size}, {out_channels}, {embed_dim} and {num_heads}"
        )
    grid = image_size // patch_size
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            out_chans=out_channels,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=window_size,
            global_attn_indexes=tuple(global_attn_indexes),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=out_channels,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=out_channels, mlp_dim=decoder_mlp_dim, num_heads=8),
            transformer_dim=out_channels,
            iou_head_depth=3,
            iou_head_hidden_dim=out_channels,
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )


def frozen_sam(sam: nn.Module) -> Sam:
    """Freeze `sam` and return it; raises TypeError if it is not a segment_anything `Sam`."""
    if not isinstance(sam, Sam):
        raise TypeError(f"sam must be a segment_anything Sam, got a {type(sam).__name__}")
    return sam.requires_grad_(False).eval()


def seen_size(sam: Sam, height: int, width: int) -> tuple[int, int]:
    """Height and width to which SAM resizes an image, before padding."""
    scale = sam.image_encoder.img_size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def embed_pictures(sam: Sam, pictures: Tensor) -> Tensor:
    """The image encoder's output `n c g g`, including padding, for images `n 3 h w` in [0, 1]."""
    seen = seen_size(sam, *pictures.shape[-2:])
    if pictures.shape[-2:] != seen:
        pictures = F.interpolate(pictures, seen, mode="bilinear", antialias=True, align_corners=False)
    return sam.image_encoder(sam.preprocess(pictures * 255))  # normalized, padded


def decode_masks(
    sam: Sam, embedding: Tensor, prompts: Prompts, size: tuple[int, int], multimask: bool
) -> tuple[Tensor, Tensor]:
    """Predict masks for k prompts on one image.

    Args:
        sam: the network.
        embedding: embedding of the image, `1 c g g`.
        prompts: prompts in pixels of the image.
        size: height and width of the image.
        multimask: predict three masks per prompt instead of one; meant for a single point, which may stand for a part
            or for the whole.

    Returns:
        Mask logits `k m s s` at a quarter of SAM's input size, including padding, and predicted IoU `k m`.

    Raises:
        UserError: a prompt is malformed or outside the image.
    """
    prompts.check(*size)
    seen = seen_size(sam, *size)
    scaled = prompts.scaled(seen[1] / size[1], seen[0] / size[0])
    sparse, dense = sam.prompt_encoder(points=scaled.labelled_points, boxes=scaled.boxes, masks=None)
    masks, iou = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )
    return masks, iou


def enlarge_masks(sam: Sam, masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Remove the padding of logits `k m s s` and resize them to the image's `size`: `k m h w`."""
    return sam.postprocess_masks(masks, seen_size(sam, *size), size)


def shrink_masks(sam: Sam, masks: Tensor) -> Tensor:
    """Training target for the mask decoder: masks `k h w` in [0, 1] resized and zero-padded to `k s s`."""
    height, width = seen_size(sam, *masks.shape[-2:])
    side, small = sam.image_encoder.img_size, 4 * sam.prompt_encoder.image_embedding_size[0]
    seen = F.interpolate(masks[:, None], (height, width), mode="area")
    padded = F.pad(seen, (0, side - width, 0, side - height))
    return F.interpolate(padded, (small, small), mode="area")[:, 0]


class SamTeacher(nn.Module):
    """SAM's frozen image encoder as a teacher: `n 3 h w` in [0, 1] to features `n c g' g'` without the padding.

    Args:
        sam: the network; only its image encoder is used.
        pictures_a_pass: images per forward pass; ViT-H's attention at 1024 px needs half a GB per image.

    Attributes:
        out_channels: channels of the features; 256 for all published SAMs.
        identity: image size, channels and a digest of the weights, which identify a teacher.
    """

    def __init__(self, sam: nn.Module, pictures_a_pass: int = 16) -> None:
        super().__init__()
        self.pictures_a_pass = pictures_a_pass
        self.sam = frozen_sam(sam)
        self.out_channels = int(self.sam.prompt_encoder.embed_dim)
        size = int(self.sam.image_encoder.img_size)
        self.identity = {
            "image_size": str(size),
            "out_channels": str(self.out_channels),
            "digest": weights_digest(self.sam.image_encoder),
        }

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Features `n c g' g'` of images `n 3 h w` in [0, 1]."""
        parts = [embed_pictures(self.sam, part) for part in pictures.split(self.pictures_a_pass)]
        features = torch.cat(parts)  # n c g g
        encoder = self.sam.image_encoder
        patch = encoder.img_size // features.shape[-1]
        height, width = (-(-side // patch) for side in seen_size(self.sam, *pictures.shape[-2:]))
        return features[:, :, :height, :width]

"""Segment Anything (arXiv 2304.02643) with gradients and at any size, and its prompts.

The parts are `segment_anything`'s own; its `build_sam` fixes the picture at 1024 px and its `Sam.forward` has no
gradients. Pictures are `n 3 h w` in [0, 1]; SAM sees them with their longer side scaled to `image_size`, padded right
and below. Points and boxes are made from masks as in SAM's training and in ILDiff's test. `TimmImageEncoder` makes a
timm network the image encoder of the layout adapter.
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
    """k prompts on one picture, in pixels: one point each, one box each, or both.

    Attributes:
        points: `k 2`, x before y, on what is meant; None for none.
        boxes: `k 4`, left, top, right, bottom; None for none.
    """

    points: Tensor | None = None
    boxes: Tensor | None = None

    @property
    def labelled_points(self) -> tuple[Tensor, Tensor] | None:
        """The points as SAM takes them: coordinates `k 1 2` and labels `k 1`, 1 for foreground."""
        if self.points is None:
            return None
        return self.points[:, None], torch.ones_like(self.points[:, :1])

    def scaled(self, x: float, y: float) -> "Prompts":
        """The same on a picture `x` times as wide and `y` times as high."""
        factors = torch.tensor([x, y])
        points = None if self.points is None else self.points.float() * factors.to(self.points.device)
        boxes = None if self.boxes is None else self.boxes.float() * factors.repeat(2).to(self.boxes.device)
        return Prompts(points, boxes)

    def check(self, height: int, width: int) -> None:
        """Raise UserError if there is no prompt, a malformed one, or one outside a picture of this size."""
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
    """What a true alpha `... h w` in [0, 1] shows for prompts to be made of, `... h w` bool.

    From half of the frame's highest alpha, so that a fading sticker keeps its prompts; nothing where all is below a
    255th.
    """
    highest = alpha.amax((-2, -1), keepdim=True)
    return (alpha > highest / 2) & (highest >= 1 / 255)


def boxes_of(masks: Tensor) -> Tensor:
    """The outer rectangle of each mask, `k h w` bool to `k 4` float, last pixels included; no mask may be empty."""
    return masks_to_boxes(masks).float()


def center_points(masks: Tensor) -> Tensor:
    """The foreground pixel nearest to each mask's center of mass, `k h w` bool to `k 2` float; none may be empty.

    A ring's center lies in its hole, where a point would be a prompt for something else.
    """
    points = []
    for mask in masks:
        pixels = mask.nonzero().float().flip(-1)  # p 2, x before y
        distance = (pixels - pixels.mean(0)).square().sum(-1)
        points.append(pixels[distance.argmin()])
    return torch.stack(points)


def random_points(masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A foreground pixel of each mask, all equally likely: `k h w` bool to `k 2` float; none may be empty.

    A `generator`, here and below, is on the device of what it draws for.
    """
    chosen = torch.multinomial(masks.flatten(1).float(), 1, generator=generator)[:, 0]  # k
    width = masks.shape[-1]
    return torch.stack([chosen % width, chosen // width], dim=-1).float()


def loosened(boxes: Tensor, size: tuple[int, int], generator: torch.Generator | None = None) -> Tensor:
    """Boxes as if drawn by hand (SAM, appendix A): each side moved by noise of a tenth of the box, up to 20 pixels.

    `boxes` is `k 4`; `size` height and width of the picture, which the result stays in.
    """
    height, width = size
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # k 4: w h w h
    noise = torch.randn(boxes.shape, generator=generator, device=boxes.device) * 0.1 * sides
    moved = boxes + noise.clamp(-20, 20)
    limits = torch.tensor([width - 1, height - 1], device=boxes.device).repeat(2)
    return torch.minimum(moved.clamp(min=0), limits)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TimmImageEncoder(nn.Module):
    """One feature map of a timm network: pictures `n 3 h w` in [0, 1] to `n d h/stride w/stride`.

    Args:
        name: any timm model that can return feature maps.
        stage: index of the map among those timm returns; for most networks stage 3 has a stride of 16.
        pretrained: take timm's public weights (needs the hub or timm's cache).
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
        """The feature map."""
        return self.network((pictures - self.mean) / self.std)[0]


def drop_later_blocks(network: nn.Module, last: str) -> None:
    """Delete what follows the block named `last`, for instance `blocks.2`.

    timm's MobileNets run and keep their blocks behind the last map that is asked for; they would cost time, count as
    parameters, and never get a gradient.
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
    """SAM of any size with fresh weights, for use as a `class_path` in a YAML; the defaults are ViT-B's.

    Args:
        image_size: longer side of what it sees, in pixels; a multiple of `patch_size`.
        embed_dim: width of the image encoder.
        depth: its blocks.
        num_heads: heads of each.
        global_attn_indexes: blocks that attend over the whole picture instead of a window.
        window_size: side of a window, in patches.
        out_channels: channels of the picture's embedding and width of the mask decoder; a multiple of 8.
        decoder_mlp_dim: hidden width in the mask decoder.
        patch_size: pixels to a patch.

    Raises:
        ValueError: sizes that do not go together.
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
    """The network, frozen; TypeError if it is no SAM."""
    if not isinstance(sam, Sam):
        raise TypeError(f"sam must be a segment_anything Sam, got a {type(sam).__name__}")
    return sam.requires_grad_(False).eval()


def seen_size(sam: Sam, height: int, width: int) -> tuple[int, int]:
    """Height and width at which SAM sees a picture, before the padding."""
    scale = sam.image_encoder.img_size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def embed_pictures(sam: Sam, pictures: Tensor) -> Tensor:
    """The image encoder's output for `n 3 h w` in [0, 1]: `n c g g`, padding included."""
    seen = seen_size(sam, *pictures.shape[-2:])
    if pictures.shape[-2:] != seen:
        pictures = F.interpolate(pictures, seen, mode="bilinear", antialias=True, align_corners=False)
    return sam.image_encoder(sam.preprocess(pictures * 255))  # normalized, padded


def decode_masks(
    sam: Sam, embedding: Tensor, prompts: Prompts, size: tuple[int, int], multimask: bool
) -> tuple[Tensor, Tensor]:
    """Mask logits `k m s s` at a quarter of SAM's size, padding included, and predicted IoU `k m`, for one picture.

    Args:
        sam: the network.
        embedding: of that picture, `1 c g g`.
        prompts: in pixels of the picture.
        size: its height and width.
        multimask: three masks a prompt (for a single point, which may mean a part or the whole) instead of one.

    Raises:
        UserError: a prompt lies outside the picture.
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
    """Logits `k m s s` without the padding and at the picture's `size`, `k m h w`."""
    return sam.postprocess_masks(masks, seen_size(sam, *size), size)


def shrink_masks(sam: Sam, masks: Tensor) -> Tensor:
    """Masks `k h w` in [0, 1] as SAM's decoder is to draw them, `k s s`, padding clear: training's target."""
    height, width = seen_size(sam, *masks.shape[-2:])
    side, small = sam.image_encoder.img_size, 4 * sam.prompt_encoder.image_embedding_size[0]
    seen = F.interpolate(masks[:, None], (height, width), mode="area")
    padded = F.pad(seen, (0, side - width, 0, side - height))
    return F.interpolate(padded, (small, small), mode="area")[:, 0]


class SamTeacher(nn.Module):
    """SAM's frozen image encoder as a teacher: `n 3 h w` in [0, 1] to features `n c g' g'` without the padding.

    Args:
        sam: only its image encoder is kept in use.
        pictures_a_pass: how many it sees at a time; ViT-H's attention over 1024 px takes half a GB for each.

    Attributes:
        out_channels: channels of the features, 256 for every published SAM.
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
        """The features."""
        parts = [embed_pictures(self.sam, part) for part in pictures.split(self.pictures_a_pass)]
        features = torch.cat(parts)  # n c g g
        encoder = self.sam.image_encoder
        patch = encoder.img_size // features.shape[-1]
        height, width = (-(-side // patch) for side in seen_size(self.sam, *pictures.shape[-2:]))
        return features[:, :, :height, :width]

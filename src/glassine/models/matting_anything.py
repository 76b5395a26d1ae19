"""Matting Anything (arXiv 2306.05399): a frozen SAM, and a small head that turns its mask into alpha.

Details that the paper does not give follow the authors' code (SHI-Labs/Matting-Anything, MIT), except for the
initialization, which is torch's default.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from glassine.models.sam import (
    Prompts,
    boxes_of,
    center_points,
    decode_masks,
    embed_pictures,
    enlarge_masks,
    frozen_sam,
    seen_size,
    visible_part,
)
from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError

SURE = 1 / 255  # alphas within this distance of 0 or 1 are not refined


@dataclass(frozen=True)
class Mattes:
    """Output of one pass: alpha predicted at strides 8, 4 and 1, and SAM's binary mask, all `n 1 h w` at image size."""

    os8: Tensor
    os4: Tensor
    os1: Tensor
    mask: Tensor


class MattingAnything(nn.Module):
    """Alpha of a prompted object, one image at a time (section 3).

    Args:
        sam: a segment_anything `Sam`; frozen (typed as a module so that a loader can create it).
        head: the trained part.
        multimask: SAM predicts three masks, and the one with the highest predicted IoU is used, as in the authors'
            code. False predicts one mask, which SAM recommends for every prompt except a single point.
        bands: diameters in pixels by which uncertain regions are dilated before the next finer scale replaces them.
        one_sided: keep pixels that a coarser scale classifies as foreground, as the authors do; see `uncertain_band`.
        within_mask: set the coarsest alpha to 0 outside the bounding box of SAM's mask, as the authors do for images
            of one object.
        center_point: prompts made from a true alpha have its center point in addition to its box, as in ILDiff's
            comparison (arXiv 2412.20901, V-B). It does not always help a SAM trained with one prompt at a time.

    Raises:
        TypeError: `sam` is not a segment_anything `Sam`.
        ValueError: the head expects another number of feature channels than SAM has.
    """

    def __init__(
        self,
        sam: nn.Module,
        head: "MaskToMatte",
        multimask: bool = True,
        bands: tuple[int, int] = (10, 5),
        one_sided: bool = True,
        within_mask: bool = True,
        center_point: bool = True,
    ) -> None:
        super().__init__()
        self.sam = frozen_sam(sam)
        if (needed := self.sam.prompt_encoder.embed_dim) != head.feature_channels:
            raise ValueError(f"feature_channels of the head must be {needed} for this SAM, got {head.feature_channels}")
        self.head, self.multimask, self.center_point = head, multimask, center_point
        self.bands, self.one_sided, self.within_mask = bands, one_sided, within_mask

    def train(self, mode: bool = True) -> "MattingAnything":
        """Set the mode of the head; SAM stays in eval mode."""
        super().train(mode)
        self.sam.eval()
        return self

    def forward(self, pictures: Tensor, prompts: Sequence[Prompts]) -> Mattes:
        """The three alphas for images `n 3 h w` in [0, 1], one prompt per image.

        Raises:
            UserError: a prompt lies outside its image.
        """
        size = (pictures.shape[-2], pictures.shape[-1])
        height, width = seen = seen_size(self.sam, *size)
        pictures = F.interpolate(pictures, seen, mode="bilinear", antialias=True, align_corners=False)
        with torch.no_grad():
            features = embed_pictures(self.sam, pictures)  # n c g g
            logits = torch.cat([self.mask_logits(f[None], p, size) for f, p in zip(features, prompts, strict=True)])
            mask = (enlarge_masks(self.sam, logits, size) > 0).float()  # n 1 h w
            padded = self.sam.preprocess(pictures * 255)  # n 3 s s
        scales = self.head(features, padded, (logits > 0).float())  # n 1 s s each
        os8, os4, os1 = (resized(scale[..., :height, :width], size) for scale in scales)
        return Mattes(os8, os4, os1, mask)

    def mask_logits(self, embedding: Tensor, prompt: Prompts, size: tuple[int, int]) -> Tensor:
        """Logits `1 1 s' s'` of the mask with the highest predicted IoU, for one prompt on the embedding `1 c g g`.

        Raises:
            UserError: more than one prompt, or one outside the image of `size` (height, width).
        """
        logits, iou = decode_masks(self.sam, embedding, prompt, size, self.multimask)  # k m s' s', k m
        if len(logits) != 1:
            raise UserError(f"there must be one prompt for a picture, got {len(logits)}: repeat the picture for others")
        return logits[:, iou[0].argmax()][:, None]

    @torch.no_grad()
    def decode(self, clip: Tensor, true_alpha: Tensor | None = None, prompts: Sequence[Prompts | None] = ()) -> Tensor:
        """Refined alpha `b f 1 h w` in [0, 1] of an opaque clip `b f 3 h w` in [0, 1], frame by frame.

        Args:
            clip: opaque clips `b f 3 h w` in [0, 1].
            true_alpha: `b f 1 h w`; prompts are made from it.
            prompts: used if `true_alpha` is None: one for each of the b * f frames, clip after clip. A frame whose
                prompt is None gets alpha 0.

        Raises:
            UserError: the numbers of prompts and frames differ.
        """
        pictures = rearrange(clip, "b f c h w -> (b f) c h w")
        if true_alpha is not None:
            prompts = prompts_of(rearrange(true_alpha, "b f c h w -> (b f) c h w"), self.center_point)
        if len(prompts) != len(pictures):
            raise UserError(
                f"there must be a prompt or None for each of {len(pictures)} frames, or true_alpha, got {len(prompts)}"
            )
        alpha = torch.zeros_like(pictures[:, :1])
        for place, prompt in enumerate(prompts):
            if prompt is not None:
                mattes = self(pictures[place : place + 1], [prompt])
                alpha[place] = refine(mattes, self.bands, self.one_sided, self.within_mask)[0]
        return rearrange(alpha, "(b f) c h w -> b f c h w", f=clip.shape[1])


def prompts_of(alpha: Tensor, points: bool) -> list[Prompts | None]:
    """Bounding box, and with `points` also center point, of each alpha of `n 1 h w`; None where nothing is visible."""
    masks = visible_part(alpha)  # n 1 h w
    return [Prompts(center_points(m) if points else None, boxes_of(m)) if m.any() else None for m in masks]


def refine(mattes: Mattes, bands: tuple[int, int], one_sided: bool, within_mask: bool) -> Tensor:
    """Start from the coarsest alpha and replace uncertain regions by stride 4, then by stride 1 (section 3)."""
    alpha = mattes.os8 * box_around(mattes.mask > 0) if within_mask else mattes.os8
    for finer, width in zip((mattes.os4, mattes.os1), bands, strict=True):
        alpha = torch.where(uncertain_band(alpha, width, one_sided), finer, alpha)
    return alpha


def uncertain_band(alpha: Tensor, width: int, one_sided: bool = False) -> Tensor:
    """Bool mask of pixels of `n 1 h w` that are neither 0 nor 1, dilated by `width` pixels.

    With `one_sided`, all pixels that are not 0 are dilated, and pixels that are 1 are excluded from the result.
    """
    some, full = alpha >= SURE, alpha > 1 - SURE
    return dilated(some, width) & ~full if one_sided else dilated(some & ~full, width)


def dilated(region: Tensor, width: int) -> Tensor:
    """A bool region `n 1 h w` dilated by a disc (OpenCV's ellipse) of `width` pixels diameter; 1 changes nothing."""
    disc = torch.from_numpy(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))).to(region.device).float()
    before, after = width // 2, (width - 1) // 2
    return F.conv2d(F.pad(region.float(), (before, after, before, after)), disc[None, None]) > 0.5


def box_around(mask: Tensor) -> Tensor:
    """The filled bounding box of a bool mask `n 1 h w`; the whole image for an empty mask."""
    sides = [mask.any(-2).int(), mask.any(-1).int()]  # n 1 w, n 1 h
    columns, rows = (s.cummax(-1).values * s.flip(-1).cummax(-1).values.flip(-1) > 0 for s in sides)
    return (columns[..., None, :] & rows[..., :, None]) | ~mask.any(-1).any(-1)[..., None, None]


def resized(picture: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """`n c h w` resized bilinearly to another size, as everywhere in the authors' head."""
    return picture if picture.shape[-2:] == size else F.interpolate(picture, size, mode="bilinear", align_corners=False)


class MaskToMatte(nn.Module):
    """M2M (section 3): alpha at strides 8, 4 and 1 from SAM's features, the image and the mask.

    Each stage concatenates the image and the mask to its features and doubles the resolution. The defaults are those of
    the authors' code: 2,714,619 parameters, the paper's 2.7 M.

    Args:
        feature_channels: channels of SAM's embedding.
        widths: channels of the stages at strides 8, 4 and 2.
        blocks: residual blocks per stage.
        matte_width: channels at stride 1 and in the three output heads.
    """

    def __init__(
        self,
        feature_channels: int = 256,
        widths: tuple[int, int, int] = (128, 64, 32),
        blocks: tuple[int, int, int] = (3, 3, 2),
        matte_width: int = 32,
    ) -> None:
        super().__init__()
        self.feature_channels = feature_channels
        stages = [
            nn.Sequential(Block(before + 4, width, True), *(Block(width, width, False) for _ in range(count - 1)))
            for before, width, count in zip((feature_channels, *widths[:2]), widths, blocks, strict=True)
        ]
        stages[2].extend([upsampling(widths[2], matte_width), nn.BatchNorm2d(matte_width), nn.LeakyReLU(0.2)])
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, matte_width, 3, padding=1, bias=False),
                nn.BatchNorm2d(matte_width),
                nn.LeakyReLU(0.2),
                nn.Conv2d(matte_width, 1, 3, padding=1),
            )
            for width in (widths[0], widths[1], matte_width)
        )

    def forward(self, features: Tensor, picture: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Three alphas `n 1 h w` in [0, 1], coarsest first.

        Args:
            features: SAM's embedding `n c g g` of any grid size; the strides assume 16 pixels per feature.
            picture: SAM's preprocessed input `n 3 h w`.
            mask: binary mask `n 1 h' w'` of any size.
        """
        mattes = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            guides = [resized(guide, features.shape[-2:]) for guide in (picture, mask)]
            features = stage(torch.cat([features, *guides], dim=1))  # n w 2g 2g, the last n w 4g 4g
            mattes.append(resized(head(features).float(), picture.shape[-2:]))
        return tuple(torch.tanh(matte) / 2 + 0.5 for matte in mattes)


class Block(nn.Module):
    """Residual block, optionally upsampling by 2. Its branch is zero at initialization."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool) -> None:
        super().__init__()
        same = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        first = upsampling(in_channels, in_channels) if upsample else spectral_norm(same)
        second = spectral_norm(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
        norms = [nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)]
        zero_module(norms[1])
        self.branch = nn.Sequential(first, norms[0], nn.LeakyReLU(0.2), second, norms[1])
        self.shortcut: nn.Module = nn.Identity()
        if upsample:  # the authors upsample before the 1x1 convolution: the same result at four times the cost
            narrow = spectral_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False))
            self.shortcut = nn.Sequential(narrow, nn.BatchNorm2d(out_channels), nn.UpsamplingNearest2d(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        """`n c h w` to `n c' 2h 2w` if upsampling, else to `n c' h w`."""
        return F.leaky_relu(self.branch(x) + self.shortcut(x), 0.2)


def upsampling(in_channels: int, out_channels: int) -> nn.Module:
    """A transposed convolution that upsamples by 2; spectral norm over input channels, as in the authors' code."""
    return spectral_norm(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False), dim=0)

"""Matting Anything (arXiv 2306.05399): a frozen SAM, and a small head that turns its mask into alpha.

What the paper leaves open is as in the authors' code (SHI-Labs/Matting-Anything, MIT), but for the initialization,
which is torch's.
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

SURE = 1 / 255  # alphas this near to 0 or 1 are not refined


@dataclass(frozen=True)
class Mattes:
    """One pass: alpha as read at strides 8, 4 and 1, and SAM's mask (0 or 1), all `n 1 h w` of the picture's size."""

    os8: Tensor
    os4: Tensor
    os1: Tensor
    mask: Tensor


class MattingAnything(nn.Module):
    """Alpha of the object at a prompt, picture by picture (section 3).

    Args:
        sam: a segment_anything `Sam`; frozen (typed as a module so that a loader may make it).
        head: what is trained.
        multimask: let SAM draw three masks and take the one it prefers, as the authors do; without it SAM draws one, as
            it was meant to for anything but a single point.
        bands: diameters, in pixels, by which uncertain regions grow before the next finer scale replaces them.
        one_sided: keep what a coarser scale is sure to be foreground, as the authors do; see `uncertain_band`.
        within_mask: cut the coarsest alpha to the box around SAM's mask, as the authors do for pictures of one thing.
        center_point: beside the box, prompts made from a true alpha have its center point, as ILDiff compares (arXiv
            2412.20901, V-B); it need not help a SAM that learnt from one prompt at a time.

    Raises:
        TypeError, ValueError: `sam` is something else, or has other channels than the head reads.
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
        """Train mode for all but SAM, which stays frozen."""
        super().train(mode)
        self.sam.eval()
        return self

    def forward(self, pictures: Tensor, prompts: Sequence[Prompts]) -> Mattes:
        """The three alphas of `n 3 h w` in [0, 1], one prompt for each picture; UserError if it lies outside."""
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
        """The mask that SAM itself prefers, `1 1 s' s'`, for one prompt on the picture of `1 c g g`."""
        logits, iou = decode_masks(self.sam, embedding, prompt, size, self.multimask)  # k m s' s', k m
        if len(logits) != 1:
            raise UserError(f"there must be one prompt for a picture, got {len(logits)}: repeat the picture for others")
        return logits[:, iou[0].argmax()][:, None]

    @torch.no_grad()
    def decode(self, clip: Tensor, true_alpha: Tensor | None = None, prompts: Sequence[Prompts | None] = ()) -> Tensor:
        """Refined alpha `b f 1 h w` in [0, 1] of an opaque clip `b f 3 h w` in [0, 1], each frame alone.

        Args:
            clip: what to cut out of.
            true_alpha: `b f 1 h w`, which the prompts are made from.
            prompts: without it, one for each frame, clip after clip; None for a frame with nothing in it, which gets 0.

        Raises:
            UserError: numbers of prompts and frames that differ.
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
    """The box around each alpha of `n 1 h w`, and with `points` its center, too; None where nothing is visible."""
    masks = visible_part(alpha)  # n 1 h w
    return [Prompts(center_points(m) if points else None, boxes_of(m)) if m.any() else None for m in masks]


def refine(mattes: Mattes, bands: tuple[int, int], one_sided: bool, within_mask: bool) -> Tensor:
    """The coarsest alpha; where it is uncertain the finer one; where that still is, the finest (section 3)."""
    alpha = mattes.os8 * box_around(mattes.mask > 0) if within_mask else mattes.os8
    for finer, width in zip((mattes.os4, mattes.os1), bands, strict=True):
        alpha = torch.where(uncertain_band(alpha, width, one_sided), finer, alpha)
    return alpha


def uncertain_band(alpha: Tensor, width: int, one_sided: bool = False) -> Tensor:
    """Where `n 1 h w` is neither 0 nor 1, grown by `width`; one-sided: from the foreground, too, but never into it."""
    some, full = alpha >= SURE, alpha > 1 - SURE
    return dilated(some, width) & ~full if one_sided else dilated(some & ~full, width)


def dilated(region: Tensor, width: int) -> Tensor:
    """A bool region `n 1 h w` grown by a disc (OpenCV's ellipse) `width` pixels across; 1 leaves it as it is."""
    disc = torch.from_numpy(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))).to(region.device).float()
    before, after = width // 2, (width - 1) // 2
    return F.conv2d(F.pad(region.float(), (before, after, before, after)), disc[None, None]) > 0.5


def box_around(mask: Tensor) -> Tensor:
    """The rectangle around a bool mask `n 1 h w`, filled; the whole picture for an empty mask."""
    sides = [mask.any(-2).int(), mask.any(-1).int()]  # n 1 w, n 1 h
    columns, rows = (s.cummax(-1).values * s.flip(-1).cummax(-1).values.flip(-1) > 0 for s in sides)
    return (columns[..., None, :] & rows[..., :, None]) | ~mask.any(-1).any(-1)[..., None, None]


def resized(picture: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """`n c h w` at another size, as the authors' head resizes everything."""
    return picture if picture.shape[-2:] == size else F.interpolate(picture, size, mode="bilinear", align_corners=False)


class MaskToMatte(nn.Module):
    """M2M (section 3): SAM's features, the picture and the mask to alpha at strides 8, 4 and 1.

    Each stage has the picture and the mask laid beside its features, and doubles the grid. The defaults, those of the
    authors' code, have the paper's 2.7 M parameters (2,714,619).

    Args:
        feature_channels: of SAM's embedding.
        widths: of the stages at strides 8, 4 and 2.
        blocks: of each stage.
        matte_width: at stride 1, and in the three heads that read the alphas.
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
        """Three alphas `n 1 h w` of features `n c g g`, the picture `n 3 h w` as SAM sees it and the mask `n 1 h' w'`.

        The grid and the mask, 0 or 1, may be of any size; strides are given for 16 pixels to a feature.
        """
        mattes = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            guides = [resized(guide, features.shape[-2:]) for guide in (picture, mask)]
            features = stage(torch.cat([features, *guides], dim=1))  # n w 2g 2g, the last n w 4g 4g
            mattes.append(resized(head(features).float(), picture.shape[-2:]))
        return tuple(torch.tanh(matte) / 2 + 0.5 for matte in mattes)


class Block(nn.Module):
    """Residual block, on twice the grid if it is to upsample; it begins as its shortcut."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool) -> None:
        super().__init__()
        same = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        first = upsampling(in_channels, in_channels) if upsample else spectral_norm(same)
        second = spectral_norm(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
        norms = [nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)]
        zero_module(norms[1])
        self.branch = nn.Sequential(first, norms[0], nn.LeakyReLU(0.2), second, norms[1])
        self.shortcut: nn.Module = nn.Identity()
        if upsample:  # after the convolution, not before it as the authors do: the same for a quarter of the work
            narrow = spectral_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False))
            self.shortcut = nn.Sequential(narrow, nn.BatchNorm2d(out_channels), nn.UpsamplingNearest2d(scale_factor=2))

    def forward(self, x: Tensor) -> Tensor:
        """`n c h w` to `n c' 2h 2w` or `n c' h w`."""
        return F.leaky_relu(self.branch(x) + self.shortcut(x), 0.2)


def upsampling(in_channels: int, out_channels: int) -> nn.Module:
    """A transposed convolution to twice the grid, normalized as the authors do it, over its input channels."""
    return spectral_norm(nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False), dim=0)

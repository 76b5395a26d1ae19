"""Batched on-device augmentation of stickers for evaluators and segmentation.

`PictureAugment` changes geometry, colors, sharpness and noise, and composites on random backgrounds; `compose_scenes`
puts several stickers into one image, since prompts on an image of a single object are trivial.
"""

import math
from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.utils.colors import LUMA


def compose_scenes(
    foreground: Tensor,
    alpha: Tensor,
    background: Tensor,
    layers: int,
    generator: torch.Generator | None = None,
    scales: tuple[float, float] = (0.3, 0.9),
) -> tuple[Tensor, Tensor]:
    """Compose scenes: each sticker and others from the batch, randomly transformed, over the sticker's background.

    Args:
        foreground: straight colors `b 3 h w` in [0, 1].
        alpha: `b 1 h w` in [0, 1].
        background: `b 3` in [0, 1].
        layers: stickers per scene; the scene's own sticker comes first, at the bottom.
        generator: CPU random generator.
        scales: smallest and largest size of a sticker, as fractions of the image.

    Returns:
        Opaque images `b 3 h w`, and the visible part of each sticker, `b layers h w` in [0, 1].
    """
    batch = len(alpha)
    others = torch.randint(batch, (batch, layers - 1), generator=generator)
    chosen = torch.cat([torch.arange(batch)[:, None], others], dim=1).to(alpha.device)  # b k
    premultiplied = torch.cat([foreground * alpha, alpha], dim=1)[chosen.flatten()]  # (b k) 4 h w
    moves = random_moves(len(premultiplied), scales, generator).to(alpha)
    grid = F.affine_grid(moves, list(premultiplied.shape), align_corners=False)
    moved = F.grid_sample(premultiplied, grid, align_corners=False)  # transparent outside
    stickers = rearrange(moved, "(b k) c h w -> k b c h w", b=batch)

    picture = background[:, :, None, None].expand_as(foreground)
    seen: list[Tensor] = []
    for sticker in stickers:
        color, cover = sticker[:, :3], sticker[:, 3:]  # b 3 h w premultiplied, b 1 h w
        picture = color + picture * (1 - cover)
        seen = [*(below * (1 - cover) for below in seen), cover]
    return picture.clamp(0, 1), torch.cat(seen, dim=1).clamp(0, 1)


def random_moves(count: int, scales: tuple[float, float], generator: torch.Generator | None = None) -> Tensor:
    """Affine maps from positions in the scene to positions in the sticker, `count 2 3`, for `affine_grid`."""
    draws = torch.rand(count, 5, generator=generator)
    scale = scales[0] + (scales[1] - scales[0]) * draws[:, 0]
    angle = (draws[:, 1] - 0.5) * (torch.pi / 3)  # 30 degrees to each side
    mirror = torch.where(draws[:, 2] < 0.5, -1.0, 1.0)
    center = (2 * draws[:, 3:] - 1) * (1 - scale)[:, None]  # count 2; it stays fully inside unless rotated
    cos, sin = angle.cos() / scale, angle.sin() / scale
    turn = torch.stack([mirror * cos, mirror * sin, -sin, cos], dim=-1).view(count, 2, 2)
    return torch.cat([turn, -turn @ center[:, :, None]], dim=2)


GRAY_AXIS = 1 / math.sqrt(3)


class PictureAugment(nn.Module):
    """Random augmentation of a batch of images, with independent parameters per image.

    There is no mirroring, since some names differ in direction only. The damage imitates decoders and short training:
    low resolution, blur, patches of wrong color, noise, bent outlines, missing parts.

    Args:
        rotate: maximum rotation in degrees, in either direction.
        scale: smallest and largest scale of the sticker.
        shift: maximum shift as a fraction of the image side.
        bend: displacement of a coarse grid, as a fraction of the image side.
        color: maximum relative change of contrast, brightness and saturation.
        hue: maximum hue rotation as a fraction of a full circle; small, since names differ by color.
        white: fraction of images on white; half as many are on gray, the rest on random colors.
        damage: probability of each kind of damage.
        missing: probability of a missing part.
    """

    def __init__(
        self,
        rotate: float = 12.0,
        scale: tuple[float, float] = (0.65, 1.1),
        shift: float = 0.1,
        bend: float = 0.025,
        color: float = 0.25,
        hue: float = 0.02,
        white: float = 0.4,
        damage: float = 0.3,
        missing: float = 0.2,
    ) -> None:
        super().__init__()
        self.rotate, self.scale, self.shift, self.bend = math.radians(rotate), scale, shift, bend
        self.color, self.hue, self.white, self.damage, self.missing = color, hue, white, damage, missing

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Opaque images `b 3 h w` in [0, 1] from premultiplied RGBA `b 4 h w` in [0, 1] or uint8."""
        pictures = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures
        pictures = recolored(self.without_parts(self.moved(pictures)), self.color_matrices(pictures))
        backgrounds = self.backgrounds(len(pictures)).to(pictures)[..., None, None]  # b 3 1 1
        return self.damaged(pictures[:, :3] + backgrounds * (1 - pictures[:, 3:])).clamp(0, 1)

    def moved(self, pictures: Tensor) -> Tensor:
        """Rotate, scale, shift and bend."""
        count, _, height, width = pictures.shape
        angle, size = uniform(count, -self.rotate, self.rotate), uniform(count, *self.scale)
        cos, sin = angle.cos() / size, angle.sin() / size
        offsets = uniform(2 * count, -2 * self.shift, 2 * self.shift).view(2, count)
        rows = [torch.stack([cos, -sin, offsets[0]], dim=1), torch.stack([sin, cos, offsets[1]], dim=1)]
        grid = F.affine_grid(torch.stack(rows, dim=1), [count, 1, height, width], align_corners=False)  # b h w 2
        coarse = torch.randn(count, 2, 5, 5) * self.bend * (torch.rand(count, 1, 1, 1) < 0.5)
        bends = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
        grid = (grid + 2 * bends.permute(0, 2, 3, 1)).to(pictures)
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def without_parts(self, pictures: Tensor) -> Tensor:
        """Erase a rectangle of at most a third of each side, in some images."""
        count, _, height, width = pictures.shape
        rows, columns = torch.arange(height) / height, torch.arange(width) / width
        middle, side = torch.rand(2, count, 1), uniform(2 * count, 0.1, 0.33).view(2, count, 1)
        inside = [
            ((place - at).abs() < length / 2) for place, at, length in zip((rows, columns), middle, side, strict=True)
        ]
        cut = inside[0][:, :, None] & inside[1][:, None] & (torch.rand(count, 1, 1) < self.missing)  # b h w
        return pictures * ~cut[:, None].to(pictures.device)

    def color_matrices(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices `b 3 3` and offsets `b 1`, for `recolored`."""
        count = len(pictures)
        contrast, saturation = uniform(2 * count, 1 - self.color, 1 + self.color).view(2, count, 1, 1)
        brightness = uniform(count, -self.color, self.color)[:, None] / 2
        angle = uniform(count, -2 * math.pi * self.hue, 2 * math.pi * self.hue)[:, None, None]
        axis = GRAY_AXIS * torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
        # Rodrigues' rotation about the gray axis
        turn = angle.cos() * torch.eye(3) + angle.sin() * axis + (1 - angle.cos()) / 3
        gray = torch.tensor(LUMA).expand(3, 3)
        matrix = contrast * (saturation * torch.eye(3) + (1 - saturation) * gray) @ turn
        return matrix.to(pictures), (brightness + (1 - contrast[:, 0]) / 2).to(pictures)

    def backgrounds(self, count: int) -> Tensor:
        """Colors `b 3`: white, mid gray, or random."""
        kind = torch.rand(count, 1)
        flat = torch.where(kind < self.white, torch.ones(1), torch.full((1,), 0.5)).expand(count, 3)
        return torch.where(kind < 1.5 * self.white, flat, torch.rand(count, 3))

    def damaged(self, pictures: Tensor) -> Tensor:
        """Low resolution, blur, patches and noise, each in some of the images."""
        height, width = pictures.shape[-2:]
        side = int(torch.randint(min(height, width) // 4, 3 * min(height, width) // 4, ()))
        for kind in (coarse(side), blur(float(uniform(1, 0.5, 2.0))), patches, noise):
            rows = torch.rand(len(pictures)) < self.damage  # compute only these
            if rows.any():
                pictures[rows] = kind(pictures[rows])
        return pictures


def uniform(count: int, low: float, high: float) -> Tensor:
    """`count` numbers between `low` and `high`."""
    return low + (high - low) * torch.rand(count)


def coarse(side: int) -> Callable[[Tensor], Tensor]:
    """Downsample to `side` and upsample back."""

    def change(pictures: Tensor) -> Tensor:
        small = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return F.interpolate(small, pictures.shape[-2:], mode="bilinear", align_corners=False)

    return change


def blur(sigma: float) -> Callable[[Tensor], Tensor]:
    """Gaussian blur with `sigma` pixels, replicating edges."""

    def change(pictures: Tensor) -> Tensor:
        reach, channels = math.ceil(2.5 * sigma), pictures.shape[1]
        weights = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2)).to(pictures)
        kernel = (weights / weights.sum()).expand(channels, 1, 1, -1)
        padded = F.pad(pictures, (reach, reach, reach, reach), mode="replicate")
        return F.conv2d(F.conv2d(padded, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)

    return change


def patches(pictures: Tensor) -> Tensor:
    """Smooth patches of other colors, about 8 pixels wide, like those decoded from wrong latents."""
    count, _, height, width = pictures.shape
    coarse_noise = torch.randn(count, 3, height // 8 + 1, width // 8 + 1)
    smooth = F.interpolate(coarse_noise, (height, width), mode="bilinear", align_corners=False)
    return pictures + (uniform(count, 0, 0.1)[:, None, None, None] * smooth).to(pictures)


def noise(pictures: Tensor) -> Tensor:
    """Add independent noise per pixel."""
    return pictures + (uniform(len(pictures), 0, 0.08)[:, None, None, None] * torch.randn(pictures.shape)).to(pictures)


def recolored(pictures: Tensor, change: tuple[Tensor, Tensor]) -> Tensor:
    """Transform the colors of premultiplied RGBA `b 4 h w` by matrices `b 3 3` and offsets `b 1`; alpha is kept."""
    matrices, offsets = change
    alpha = pictures[:, 3:]
    colors = torch.einsum("bij,bjhw->bihw", matrices, pictures[:, :3]) + offsets[..., None, None] * alpha
    return torch.cat([colors.clamp(min=0).minimum(alpha), alpha], dim=1)

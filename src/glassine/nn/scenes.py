"""Scenes of several stickers: a prompt on a picture of one thing asks nothing."""

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


def compose_scenes(
    foreground: Tensor,
    alpha: Tensor,
    background: Tensor,
    layers: int,
    generator: torch.Generator | None = None,
    scales: tuple[float, float] = (0.3, 0.9),
) -> tuple[Tensor, Tensor]:
    """Each sticker of a batch and others drawn from the batch, moved, scaled, turned and mirrored, over its background.

    Args:
        foreground: straight colours `b 3 h w` in [0, 1].
        alpha: `b 1 h w` in [0, 1].
        background: `b 3` in [0, 1].
        layers: stickers a scene; the scene's own comes first, at the bottom.
        generator: source of all chance, on the CPU.
        scales: smallest and largest size of a sticker, in shares of the picture.

    Returns:
        Opaque pictures `b 3 h w`, and what is seen of each sticker, `b layers h w` in [0, 1].
    """
    batch = len(alpha)
    others = torch.randint(batch, (batch, layers - 1), generator=generator)
    chosen = torch.cat([torch.arange(batch)[:, None], others], dim=1).to(alpha.device)  # b k
    premultiplied = torch.cat([foreground * alpha, alpha], dim=1)[chosen.flatten()]  # (b k) 4 h w
    moves = random_moves(len(premultiplied), scales, generator).to(alpha)
    grid = F.affine_grid(moves, list(premultiplied.shape), align_corners=False)
    moved = F.grid_sample(premultiplied, grid, align_corners=False)  # clear outside
    stickers = rearrange(moved, "(b k) c h w -> k b c h w", b=batch)

    picture = background[:, :, None, None].expand_as(foreground)
    seen: list[Tensor] = []
    for sticker in stickers:
        colour, cover = sticker[:, :3], sticker[:, 3:]  # b 3 h w premultiplied, b 1 h w
        picture = colour + picture * (1 - cover)
        seen = [*(below * (1 - cover) for below in seen), cover]
    return picture.clamp(0, 1), torch.cat(seen, dim=1).clamp(0, 1)


def random_moves(count: int, scales: tuple[float, float], generator: torch.Generator | None = None) -> Tensor:
    """Affine maps from places in the scene to places in the sticker, `count 2 3`, as `affine_grid` takes them."""
    draws = torch.rand(count, 5, generator=generator)
    scale = scales[0] + (scales[1] - scales[0]) * draws[:, 0]
    angle = (draws[:, 1] - 0.5) * (torch.pi / 3)  # 30 degrees to each side
    mirror = torch.where(draws[:, 2] < 0.5, -1.0, 1.0)
    centre = (2 * draws[:, 3:] - 1) * (1 - scale)[:, None]  # count 2; unless turned, all of it stays inside
    cos, sin = angle.cos() / scale, angle.sin() / scale
    turn = torch.stack([mirror * cos, mirror * sin, -sin, cos], dim=-1).view(count, 2, 2)
    return torch.cat([turn, -turn @ centre[:, :, None]], dim=2)

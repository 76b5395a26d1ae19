"""Batched compositing of transparent images on random backgrounds, to train VAEs."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = ("flat", "own color", "gradient", "clutter", "plain")
SHARES = (0.4, 0.1, 0.15, 0.1, 0.25)
PLAIN = (1.0, 0.5, 0.0)  # white, mid gray, black: the most common backgrounds, and those used for evaluation


def composite_on(rgba: Tensor, background: Tensor) -> Tensor:
    """`n 4 h w` straight RGBA over `background` (`n 3 1 1` or `n 3 h w`), all in [0, 1], gives `n 3 h w`."""
    color, alpha = rgba[:, :3], rgba[:, 3:]
    return color * alpha + background * (1 - alpha)


def random_backgrounds(rgba: Tensor) -> Tensor:
    """A background `n 3 h w` in [0, 1] for each image `n 4 h w`, from torch's global generator.

    The kinds are sampled with the probabilities `SHARES`: one random color, a color of the sticker itself, a gradient
    between two colors, soft random clutter, or white, mid gray or black.
    """
    count, _, height, width = rgba.shape
    kinds = torch.multinomial(torch.tensor(SHARES), count, replacement=True)
    first, second = torch.rand(2, count, 3, 1, 1)
    plain = torch.tensor(PLAIN)[torch.randint(len(PLAIN), (count,))].view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = torch.rand(count, 1, 1, 1) * 2 * math.pi
    ramp = (angle.cos() * x + angle.sin() * y) / 2.83 + 0.5  # n 1 h w in [0, 1]
    clutter = torch.rand(count, 3, 6, 6)
    made = {
        "flat": first.expand(-1, -1, height, width),
        "own color": own_colors(rgba.cpu())[..., None, None].expand(-1, -1, height, width),
        "gradient": first + (second - first) * ramp,
        "clutter": F.interpolate(clutter, (height, width), mode="bicubic").clamp(0, 1),
        "plain": plain.expand(-1, -1, height, width),
    }
    stacked = torch.stack([made[kind] for kind in KINDS])  # kind n 3 h w
    return stacked[kinds, torch.arange(count)].to(rgba)


def own_colors(rgba: Tensor) -> Tensor:
    """The color `n 3` of one opaque pixel of each image `n 4 h w`, chosen at random; of any pixel if none is opaque."""
    opaque = (rgba[:, 3] > 0.9).flatten(1).float()  # n h*w
    opaque[opaque.sum(1) == 0] = 1
    place = torch.multinomial(opaque, 1)  # n 1
    return rgba[:, :3].flatten(2).gather(2, place[:, None].expand(-1, 3, -1))[..., 0]


def random_placement(rgba: Tensor, share: float = 0.5) -> Tensor:
    """Rotate, scale, shift, mirror and recolor a `share` of the images `n 4 h w`; the others are unchanged.

    Without this, a VAE overfits to the position of each sticker. Geometry is interpolated with premultiplied alpha;
    areas from outside are transparent.
    """
    count = len(rgba)
    chosen = torch.rand(count) < share
    if not chosen.any():
        return rgba
    some = rgba[chosen]
    angle = (torch.rand(len(some)) - 0.5) * 0.6
    zoom = torch.exp((torch.rand(len(some)) - 0.35) * 0.9)  # above 1 shrinks: from 0.73 to 1.8
    mirror = torch.where(torch.rand(len(some)) < 0.5, -1.0, 1.0)
    shift = (torch.rand(len(some), 2) - 0.5) * 0.4
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    matrix = torch.stack(
        [torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)], 1
    )  # n 2 3
    grid = F.affine_grid(matrix.to(some), list(some.shape), align_corners=False)
    alpha = some[:, 3:]
    product = torch.cat([some[:, :3] * alpha, alpha, some[:, :3]], dim=1)  # n 7 h w
    moved = F.grid_sample(product, grid, padding_mode="zeros", align_corners=False)
    clear = moved[:, 3:4]
    color = torch.where(clear > 1e-3, moved[:, :3] / clear.clamp(min=1e-3), moved[:, 4:])
    order = torch.stack([torch.randperm(3) if torch.rand(()) < 0.3 else torch.arange(3) for _ in range(len(some))])
    color = color.gather(1, order.to(color.device)[..., None, None].expand_as(color))
    result = rgba.clone()
    result[chosen] = torch.cat([color, clear], dim=1).clamp(0, 1)
    return result

"""`LayoutHint` in ONNX operations, bit-exact wherever a threshold follows.

Flood fill from the border runs on many planes at once, stored as the bits of one integer per pixel. The background
color is the one found by `glassine.pipelines.backgrounds.find_background`.
"""

import numpy as np
import torch
from einops import rearrange
from onnx import TensorProto
from torch import Tensor, nn

from glassine.models.classic import ColorProjection, connected_to_border
from glassine.models.ildiff import LayoutHint
from glassine.nn.background import LEVELS, spread_small
from glassine.pipelines.backgrounds import NEAR
from glassine.pipelines.onnx_export.nodes import DOMAIN, Nodes, disc, ellipse, grown, median_filter, nearest_pixel
from glassine.utils.errors import UserError

FLOOD_FILL = "ConnectedToBorder"
MOST_PLANES = 30


def connected_planes(near: Tensor) -> Tensor:
    """The part of each plane that is 4-connected to the border.

    Args:
        near: `n h w` int32; bit k of a pixel indicates membership in plane k, k below `MOST_PLANES`.

    Returns:
        The same, keeping only bits of pixels reachable from the border within their plane.

    In an export it becomes a node `FLOOD_FILL`, which `write_connected_planes` implements; otherwise OpenCV is used.
    """
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{FLOOD_FILL}", (near,), dtype=near.dtype, shape=near.shape, version=1
        )
    result = np.zeros(near.shape, np.int32)
    for bit in (1 << plane for plane in range(MOST_PLANES)):
        for picture, filled in zip(near.numpy() & bit, result, strict=True):
            if picture.any():
                filled += connected_to_border(picture > 0).astype(np.int32) * bit
    return torch.from_numpy(result)


def write_connected_planes(outer: Nodes, near: str, height: int, width: int) -> str:
    """Implement `connected_planes` for images of a fixed size.

    Each round propagates the reached pixels along their rows and columns within their plane, in steps of 1, 2, 4, ...
    pixels, until a round adds nothing. Few rounds are needed if paths have few turns, and it always terminates.
    """
    ring = np.full((height, width), 2**MOST_PLANES - 1, np.int32)
    ring[1:-1, 1:-1] = 0
    inner = Nodes(f"{outer.prefix}_round")
    before = reached = f"{inner.prefix}_reached"
    for axis, length in ((2, width), (1, height)):
        for direction in (1, -1):
            run, step = near, 1  # run: the pixel and the `step` pixels before it are all in the plane
            while step < length:
                source = inner.shift(reached, 3, axis, direction * step)
                reached = inner("BitwiseOr", [reached, inner("BitwiseAnd", [source, run])])
                run = outer("BitwiseAnd", [run, outer.shift(run, 3, axis, direction * step)])
                step *= 2
    news = inner("ReduceMax", [inner("BitwiseXor", [reached, before])], {"keepdims": 0})
    grew = inner("Greater", [news, inner.constant(np.array(0, np.int32))])
    body = inner.body(
        {before: TensorProto.INT32},
        {grew: TensorProto.BOOL, reached: TensorProto.INT32},
        scalars={f"{inner.prefix}_number": TensorProto.INT64, f"{inner.prefix}_going": TensorProto.BOOL},
    )
    start = outer("BitwiseAnd", [near, outer.constant(ring)])
    return outer("Loop", ["", outer.constant(np.array(True)), start], {"body": body})


CELLS = 16  # of the histogram, per channel
TOLERANCE = 0.06  # the default of `estimate_background`


def background_of(clip: Tensor) -> Tensor:
    """The most frequent border color of a `clip` (`1 f 3 h w` in [0, 1]), quantized to 8 bits: `1 3` in [0, 1].

    See `flat_background.find_background`, with the same result for opaque clips of 8-bit colors.
    """
    border = torch.cat([clip[..., 0, :], clip[..., -1, :], clip[..., :, 0], clip[..., :, -1]], dim=-1)  # 1 f 3 n
    pixels = rearrange((border * 255).round(), "1 f c n -> (f n) c")
    # there, a row of pixels has its own border: every pixel twice, both ends once more
    mode = _mode(torch.cat([pixels, pixels, pixels[:1], pixels[-1:]]) / 255) * 255  # 3
    near = (pixels - mode).abs().amax(dim=1) <= NEAR  # n
    middle = _median(torch.where(near[:, None], pixels, torch.inf), near.sum())
    return rearrange(torch.where(near.any(), middle, mode).round() / 255, "c -> 1 c")


def _mode(pixels: Tensor) -> Tensor:
    """`nn.background.estimate_background` of pixels `n 3`: `3`."""
    levels = (pixels * (CELLS - 0.001)).long().clamp(0, CELLS - 1)
    cell = (levels[:, 0] * CELLS + levels[:, 1]) * CELLS + levels[:, 2]  # n
    votes = torch.zeros(CELLS**3).scatter_add(0, cell, torch.ones_like(cell, dtype=torch.float32))
    center = _mean(pixels, cell == votes.argmax())
    near = (pixels - center).abs().amax(dim=1) < TOLERANCE
    return torch.where(near.any(), _mean(pixels, near), center)


def _mean(pixels: Tensor, chosen: Tensor) -> Tensor:
    weights = chosen.float()[:, None]  # n 1
    return (pixels * weights).sum(dim=0) / weights.sum()


def _median(pixels: Tensor, count: Tensor) -> Tensor:
    """Median of each channel's `count` smallest values, `n 3` to `3`; for an even count, the mean of the middle two."""
    ordered = pixels.sort(dim=0).values
    both = torch.stack([(count - 1).clamp(min=0) // 2, count // 2])
    return ordered.index_select(0, both).mean(dim=0)


class ExportableHint(nn.Module):
    """The result of `hint` for one clip, without OpenCV when exported.

    Args:
        hint: hint with `ColorProjection` as its only kind of candidate.

    Raises:
        UserError: it has another candidate, or too many.

    All flood fills, of the candidates and of the border's barrier, run at once, one bit of an integer each.
    """

    barriers: Tensor
    below: Tensor

    def __init__(self, hint: LayoutHint) -> None:
        super().__init__()
        self.hint = hint
        self.candidates = [method for method in hint.candidates if isinstance(method, ColorProjection)]
        most = MOST_PLANES - len(LEVELS)
        if len(self.candidates) != len(hint.candidates) or len(self.candidates) > most:
            kinds = ", ".join(sorted({type(method).__name__ for method in hint.candidates}))
            raise UserError(
                f"candidates of the hint must be at most {most} ColorProjections for ONNX, got {len(hint.candidates)} "
                f"({kinds}): train without the others"
            )
        levels = torch.arange(256)[:, None] <= torch.tensor([int(level * 255) for level in LEVELS])  # 256 l
        bits = 2 ** torch.arange(len(LEVELS))
        # the level planes that a pixel belongs to, by its distance from the background
        self.register_buffer("below", (levels * bits).sum(dim=1).int(), persistent=False)
        reached = (torch.arange(2 ** len(LEVELS))[:, None] & bits) > 0  # r l
        least = torch.where(reached, torch.tensor(LEVELS), 1.0).amin(dim=1)
        self.register_buffer("barriers", least, persistent=False)

    def forward(self, clip: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`clip` is `1 f 3 h w` in [0, 1], `background` `1 3`; the result is `LayoutHint`'s."""
        frames = rearrange(clip, "1 f c h w -> f c h w")
        difference = frames - rearrange(background, "1 c -> 1 c 1 1")  # f 3 h w
        distance = difference.abs().amax(dim=1)  # f h w
        calm = {m: median_filter(frames, m) if m else frames for m in {c.median for c in self.candidates}}
        calm = {m: picture - rearrange(background, "1 c -> 1 c 1 1") for m, picture in calm.items()}
        near = [(calm[c.median].abs().amax(dim=1) <= c.tolerance).int() for c in self.candidates]  # f h w each
        planes = self.below[(distance.clamp(0, 1) * 255).long()]  # f h w
        for k, (method, plane) in enumerate(zip(self.candidates, near, strict=True), len(LEVELS)):
            planes = planes | (1 - grown(1 - plane, ellipse(method.gap))) * 2**k
        reached = connected_planes(planes)
        outside = [
            grown(plane_of(reached, k), ellipse(method.gap)) & plane
            for k, (method, plane) in enumerate(zip(self.candidates, near, strict=True), len(LEVELS))
        ]
        alphas = self._project(difference, [calm[c.median] for c in self.candidates], outside)  # f n h w
        barrier = self.barriers[(reached & (2 ** len(LEVELS) - 1)).long()]  # f h w
        evidence = [difference, spread_small(distance)[:, None], spread_small(barrier)[:, None]]
        hint = rearrange(torch.cat([*evidence, alphas], dim=1), "f k h w -> 1 f k h w")
        alphas = rearrange(alphas, "f n h w -> 1 f n h w")
        return hint, alphas, self.hint.weigh(self.hint.statistics(clip, background, alphas))[..., None, None]

    def _project(self, difference: Tensor, calm: list[Tensor], outside: list[Tensor]) -> Tensor:
        """The alphas of `ColorProjection`, `f n h w`.

        Args:
            difference: difference of the frames to the background, `f 3 h w`.
            calm: the same for the filtered frames, one per candidate.
            outside: the area reached by each candidate's fill, `f h w` of 0 and 1.
        """
        solids = [grown(plane, disc(c.band)) == 0 for c, plane in zip(self.candidates, outside, strict=True)]
        places = nearest_pixel(torch.cat(solids)).view(len(solids), *outside[0].shape)  # n f h w
        alphas = []
        for plane, solid, place, source in zip(outside, solids, places, calm, strict=True):
            flat = rearrange(source, "f c h w -> f c (h w)")
            there = rearrange(place, "f h w -> f 1 (h w)").expand_as(flat)
            color = flat.gather(2, there).view_as(difference)  # f 3 h w
            length = color.square().sum(dim=1).clamp(min=1e-4)  # f h w
            mixed = ((difference * color).sum(dim=1) / length).clamp(0, 1)
            edge = (plane == 0) & ~solid & solid.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
            alphas.append(torch.where(edge, mixed, 1 - plane.float()))
        return torch.stack(alphas, dim=1)


def plane_of(planes: Tensor, k: int) -> Tensor:
    """Bit k of integers as 0 and 1."""
    return ((planes & 2**k) > 0).int()

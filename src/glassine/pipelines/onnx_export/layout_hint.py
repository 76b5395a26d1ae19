"""`LayoutHint` in operations that ONNX has, bit for bit where a threshold follows."""

import torch
from einops import rearrange
from torch import Tensor, nn

from glassine.errors import UserError
from glassine.models.classic import ColourProjection
from glassine.models.layout_hint import LayoutHint
from glassine.nn.background import LEVELS, spread_small
from glassine.pipelines.onnx_export.flood_fill import MOST_PLANES, connected_planes
from glassine.pipelines.onnx_export.median import median_filter
from glassine.pipelines.onnx_export.morphology import disc, ellipse, grown
from glassine.pipelines.onnx_export.nearest import nearest_pixel


class ExportableHint(nn.Module):
    """What `hint` gives for one clip, without OpenCV where it is exported.

    Args:
        hint: with `ColourProjection` as its only kind of candidate.

    Raises:
        UserError: it has another candidate, or too many.

    All flood fills, the candidates' and those of the border's barrier, are done at once, a bit of an integer each.
    """

    barriers: Tensor
    below: Tensor

    def __init__(self, hint: LayoutHint) -> None:
        super().__init__()
        self.hint = hint
        self.candidates = [method for method in hint.candidates if isinstance(method, ColourProjection)]
        most = MOST_PLANES - len(LEVELS)
        if len(self.candidates) != len(hint.candidates) or len(self.candidates) > most:
            kinds = ", ".join(sorted({type(method).__name__ for method in hint.candidates}))
            raise UserError(
                f"a hint with {len(hint.candidates)} candidates ({kinds}) came; ONNX takes up to {most}, all of them "
                "ColourProjection: train without the others"
            )
        levels = torch.arange(256)[:, None] <= torch.tensor([int(level * 255) for level in LEVELS])  # 256 l
        bits = 2 ** torch.arange(len(LEVELS))
        # of which levels' planes a pixel is that lies so far from the background
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
        """`ColourProjection`'s alphas, `f n h w`.

        Args:
            difference: of the frames to the background, `f 3 h w`.
            calm: the same of the filtered frames, one a candidate.
            outside: what each candidate's fill has reached, `f h w` of 0 and 1.
        """
        solids = [grown(plane, disc(c.band)) == 0 for c, plane in zip(self.candidates, outside, strict=True)]
        places = nearest_pixel(torch.cat(solids)).view(len(solids), *outside[0].shape)  # n f h w
        alphas = []
        for plane, solid, place, source in zip(outside, solids, places, calm, strict=True):
            flat = rearrange(source, "f c h w -> f c (h w)")
            there = rearrange(place, "f h w -> f 1 (h w)").expand_as(flat)
            colour = flat.gather(2, there).view_as(difference)  # f 3 h w
            length = colour.square().sum(dim=1).clamp(min=1e-4)  # f h w
            mixed = ((difference * colour).sum(dim=1) / length).clamp(0, 1)
            edge = (plane == 0) & ~solid & solid.any(dim=2, keepdim=True).any(dim=1, keepdim=True)
            alphas.append(torch.where(edge, mixed, 1 - plane.float()))
        return torch.stack(alphas, dim=1)


def plane_of(planes: Tensor, k: int) -> Tensor:
    """Bit k of integers as 0 and 1."""
    return ((planes & 2**k) > 0).int()

"""Perceived video quality by FAST-VQA: what the network is shown, and how its answer becomes a score."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional
from torchmetrics.utilities.data import dim_zero_cat

from glassine.metrics.generated import GeneratedClipMetric, exactly, opaque_clips, score_name
from glassine.metrics.image import background_color

GRID = 7
PATCH = 32


def frame_index(frames: int, clip_len: int = 32, frame_interval: int = 2, num_clips: int = 4) -> Tensor:
    """Which frames of a clip are looked at, int64 `num_clips clip_len`.

    The windows are spread evenly, as in FAST-VQA's test mode; a clip shorter than a window is begun again until it is
    long enough, and all windows begin at its first frame.
    """
    spare = frames - clip_len * frame_interval + 1
    starts = torch.zeros(num_clips, dtype=torch.int64)
    if spare > 0:
        starts = ((torch.arange(num_clips) + 0.5) * spare / num_clips).long()
    return (starts[:, None] + torch.arange(clip_len) * frame_interval) % frames


def spatial_fragments(clip: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
    """Cut a patch of raw pixels out of each cell of a 7 x 7 grid and join them: FAST-VQA's grid mini-patch sampling.

    A patch lies at a random place of its cell, at the same place in all frames of a window. Frames with a side under
    224 are enlarged (bilinear, same aspect) until the shorter side is 224.

    The authors' code enlarges such frames too, but goes on with the grid of the original size, so that it looks at
    their upper left part only; here the grid covers the whole frame. Frames of 224 and more are cut as there.

    Args:
        clip: `f c h w`.
        index: the frames of each window, see `frame_index`.
        generator: of the places, on the CPU; the row of all patches is drawn before the column.

    Returns:
        `n t c 224 224`.
    """
    side = GRID * PATCH
    height, width = clip.shape[-2:]
    if min(height, width) < side:
        scale = side / min(height, width)
        height, width = (max(side, int(size * scale)) for size in (height, width))
        clip = functional.interpolate(clip, size=(height, width), mode="bilinear", align_corners=False)
    pieces = []
    for size in (height, width):
        cell = size // GRID
        shape = (GRID, GRID, len(index))
        # cells that are as large as a patch leave nothing to draw
        places = torch.randint(cell - PATCH, shape, generator=generator) if cell > PATCH else torch.zeros(shape).long()
        starts = (torch.arange(GRID) * cell).clamp(max=size - PATCH)
        pieces.append((starts, places))
    (tops, down), (lefts, right) = pieces
    rows = (tops[:, None, None] + down)[..., None] + torch.arange(PATCH)  # i j n p
    columns = (lefts[None, :, None] + right)[..., None] + torch.arange(PATCH)  # i j n q
    windows = []
    for place, frames in enumerate(index):
        shown, again = frames.unique(return_inverse=True)  # a short clip's frames are shown several times, but cut once
        cut = clip[shown.to(clip.device)][..., rows[:, :, place, :, None], columns[:, :, place, None, :]]
        windows.append(rearrange(cut, "f c i j p q -> f c (i p) (j q)")[again.to(clip.device)])  # t c 224 224
    return torch.stack(windows)


class VQA(GeneratedClipMetric):
    """Mean over clips of FAST-VQA's quality (Wu et al. 2022, arXiv 2207.02595), 0 to 1; a raw score of mu gives 0.5.

    It was trained on natural videos: compare stickers with stickers only. Short clips are repeated until there are 32
    frames, two apart, as in the authors' data sets; so every other frame of a sticker of 8 is never seen. Their command
    for single videos has an interval of 1, which shows all.

    A clip's score depends on the clip and the seed only, not on the clips around it. Frames are not rounded to 8 bits.

    Args:
        network: opaque fragments `n 3 t 224 224` in [0, 1] to raw scores `n`; normalizing is its own. For instance
            `glassine.pretrained.fast_vqa.FastVQA`.
        name: what the network is called in the results: `fast_b`.
        background: what transparent clips are composited on; RGB clips are taken to lie on it.
        seed: of the patches' places.
        clip_len: frames of one window.
        frame_interval: from one frame of a window to the next.
        num_clips: windows a clip, whose raw scores are averaged.
        mean: mu of sigmoid((score - mu) / sd); the authors' number for FAST-VQA by default.
        std: sd.

    Raises:
        UserError: an unknown color or name.
    """

    higher_is_better = True
    raw: list[Tensor]

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        name: str,
        background: str = "white",
        seed: int = 0,
        clip_len: int = 32,
        frame_interval: int = 2,
        num_clips: int = 4,
        mean: float = -0.110198185,
        std: float = 0.04178565,
    ) -> None:
        super().__init__()
        background_color(background)
        self.network = self.hold(network)
        self.name = score_name("vqa", name, background)
        self.background, self.seed, self.mean, self.std = background, seed, mean, std
        self.clip_len, self.frame_interval, self.num_clips = clip_len, frame_interval, num_clips
        self.add_state("raw", default=[], dist_reduce_fx="cat")

    def update(self, clips: Tensor) -> None:
        """Add clips `b f c h w` in [0, 1], straight RGBA or RGB. Raises as `opaque_clips` does."""
        opaque = opaque_clips(clips, self.background)
        index = frame_index(opaque.shape[1], self.clip_len, self.frame_interval, self.num_clips)  # n t
        scores = []
        for clip in opaque:
            generator = torch.Generator().manual_seed(self.seed)
            fragments = spatial_fragments(clip, index, generator)  # n t c 224 224
            with exactly(clips.device):
                scores.append(self.network(rearrange(fragments, "n t c h w -> n c t h w")).float().mean())
        self.raw.append(torch.stack(scores))

    def per_clip(self) -> Tensor:
        """This process's scores, `n`, 0 to 1, float64, in the order of the updates."""
        raw = dim_zero_cat(self.raw) if len(self.raw) else torch.empty(0, device=self.device)
        return ((raw.double() - self.mean) / self.std).sigmoid()

    def compute(self) -> dict[str, float]:
        """The mean by its name, NaN if there is no clip, and as `_n` the clips it is made of."""
        scores = self.per_clip()
        return {self.name: scores.mean().item(), f"{self.name}_n": len(scores)}

"""Perceived video quality by FAST-VQA: sampling of its input, and scaling of its output to a score."""

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
    """Indices of the sampled frames, int64 `num_clips clip_len`.

    Windows are evenly spaced, as in FAST-VQA's test mode. A clip that is shorter than a window is repeated, and all
    windows start at its first frame.
    """
    spare = frames - clip_len * frame_interval + 1
    starts = torch.zeros(num_clips, dtype=torch.int64)
    if spare > 0:
        starts = ((torch.arange(num_clips) + 0.5) * spare / num_clips).long()
    return (starts[:, None] + torch.arange(clip_len) * frame_interval) % frames


def spatial_fragments(clip: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
    """Cut a patch of raw pixels out of each cell of a 7 x 7 grid and join them: FAST-VQA's grid mini-patch sampling.

    A patch is at a random position in its cell, the same in all frames of a window. Frames with a side below 224 are
    upsampled (bilinear, same aspect ratio) until the shorter side is 224.

    The authors' code also upsamples such frames, but then uses the grid of the original size, which only covers their
    upper left part. Here the grid covers the whole frame. For frames of 224 and more, the results are the same.

    Args:
        clip: `f c h w`.
        index: indices of the frames of each window, see `frame_index`.
        generator: CPU generator for the positions; rows of all patches are sampled before columns.

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
        # cells that are as large as a patch have a single position
        places = torch.randint(cell - PATCH, shape, generator=generator) if cell > PATCH else torch.zeros(shape).long()
        starts = (torch.arange(GRID) * cell).clamp(max=size - PATCH)
        pieces.append((starts, places))
    (tops, down), (lefts, right) = pieces
    rows = (tops[:, None, None] + down)[..., None] + torch.arange(PATCH)  # i j n p
    columns = (lefts[None, :, None] + right)[..., None] + torch.arange(PATCH)  # i j n q
    windows = []
    for place, frames in enumerate(index):
        shown, again = frames.unique(return_inverse=True)  # repeated frames of short clips are only cut once
        cut = clip[shown.to(clip.device)][..., rows[:, :, place, :, None], columns[:, :, place, None, :]]
        windows.append(rearrange(cut, "f c i j p q -> f c (i p) (j q)")[again.to(clip.device)])  # t c 224 224
    return torch.stack(windows)


class VQA(GeneratedClipMetric):
    """Mean over clips of FAST-VQA's quality (Wu et al. 2022, arXiv 2207.02595), 0 to 1; a raw score of mu gives 0.5.

    It was trained on natural videos, so scores of stickers are only comparable with each other. Short clips are
    repeated to fill a window of 32 frames with an interval of 2, as in the authors' data sets; every other frame of a
    sticker of 8 is therefore never used. The authors' command for single videos has an interval of 1, which uses all
    frames.

    A clip's score only depends on the clip and the seed, not on the batch. Frames are not rounded to 8 bits.

    Args:
        network: opaque fragments `n 3 t 224 224` in [0, 1] to raw scores `n`, including normalization; for instance
            `glassine.pretrained.fast_vqa.FastVQA`.
        name: name of the network in the results, such as `fast_b`.
        background: color on which transparent clips are composited; RGB clips are assumed to be on it already.
        seed: seed of the patch positions.
        clip_len: frames per window.
        frame_interval: distance between the frames of a window.
        num_clips: windows per clip, whose raw scores are averaged.
        mean: mu in sigmoid((score - mu) / sd); the default is the authors' value for FAST-VQA.
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
        """The mean by name, NaN if there are no clips, and the number of clips as `..._n`."""
        scores = self.per_clip()
        return {self.name: scores.mean().item(), f"{self.name}_n": len(scores)}

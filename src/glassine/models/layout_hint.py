"""What classic methods know about a sticker on a flat background, as a hint for the transparency decoder. Ours.

ILDiff reads alpha from latents and a picture alone. On a clean flat background closed-form un-mixing is close to exact
where a small network is not; under compression, or where the sticker has the background's colour, it fails and the
network does not. `LayoutHint` hands the decoder both the evidence and the closed-form answers, and `ILDiff` lets the
decoder say, pixel by pixel, whom to believe, starting from how far each can be trusted on so damaged a frame.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from glassine.models.classic import ColourProjection, for_damaged_files
from glassine.nn.background import BackgroundEvidence, estimate_background, spread_small
from glassine.nn.damage import DamageStatistics


class LayoutHint(nn.Module):
    """Background evidence, the alphas of classic methods, and how far to trust each.

    Args:
        candidates: classic methods `(clip, background) -> alpha b f 1 h w`; by default colour projection, once set for
            undamaged pictures and three times for compressed ones.
        width: of the hidden layer that makes trust out of a frame's statistics.

    Trust is learned: a hidden layer over the frame's `DamageStatistics` and how much each two candidates differ.
    """

    def __init__(self, candidates: Sequence[nn.Module] | None = None, width: int = 32) -> None:
        super().__init__()
        self.evidence, self.damage = BackgroundEvidence(), DamageStatistics()
        self.candidates = nn.ModuleList(
            candidates
            or [
                # chosen one after the other on the training split, each for what those before it get wrong
                ColourProjection(tolerance=0.012, band=1),
                for_damaged_files(),
                ColourProjection(tolerance=0.012, band=4, median=5),
                ColourProjection(tolerance=0.05, band=4, median=3, gap=2),
            ]
        )
        count = len(self.candidates)
        statistics = self.damage.channels + count * (count - 1) // 2
        last = nn.Linear(width, count + 1)
        nn.init.zeros_(last.weight)  # all are trusted alike at first
        nn.init.zeros_(last.bias)
        self.trust = nn.Sequential(nn.Linear(statistics, width), nn.SiLU(), last)

    @property
    def channels(self) -> int:
        """Channels of the hint picture: the evidence and one for each candidate."""
        return self.evidence.channels + len(self.candidates)

    def forward(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The hint picture `b f k h w`; for the mix the n candidates, `b f n h w` in [0, 1], and trust `b f n+1 1 1`.

        `clip` is `b f 3 h w` in [0, 1]; `background` is `b 3` or estimated. The candidates run on the CPU whatever the
        device. Trust is in logits, the decoder's own alpha first.
        """
        hint, alphas, statistics = self.look(clip, background)
        return hint, alphas, self.weigh(statistics)[..., None, None]

    @torch.no_grad()
    def look(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The hint picture and the candidates as above, and what trust is made of: each frame's statistics `b f s`."""
        if background is None:
            background = estimate_background(clip)
        alphas = torch.cat([method(clip, background) for method in self.candidates], dim=2)  # b f n h w
        hint = torch.cat([self.evidence(clip, background), alphas], dim=2)
        return hint, alphas, self.statistics(clip, background, alphas)

    def statistics(self, clip: Tensor, background: Tensor, alphas: Tensor) -> Tensor:
        """What trust is made of, `b f s`: traces of compression, and where the candidates `b f n h w` disagree."""
        found = torch.cat([self.damage(clip, background), disagreement(alphas)], dim=2)
        # both live along edges, whose share of the pixels falls as pictures grow
        found = found * math.sqrt(clip.shape[-2] * clip.shape[-1]) / 256
        return 8 * (spread_small(found, unit=0.001) - 0.2)  # scales for an even learning rate

    def weigh(self, statistics: Tensor) -> Tensor:
        """Trust `... n+1` in logits, from statistics `... s`."""
        return 4 * self.trust(statistics)


def disagreement(alphas: Tensor) -> Tensor:
    """Mean absolute difference of each two of `b f n h w`: `b f n(n-1)/2`."""
    pairs = list(combinations(range(alphas.shape[2]), 2))
    if not pairs:
        return alphas.new_zeros((*alphas.shape[:2], 0))
    return torch.stack([(alphas[:, :, i] - alphas[:, :, j]).abs().mean((-2, -1)) for i, j in pairs], dim=2)

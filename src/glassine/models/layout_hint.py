"""What classic methods know about a sticker on a flat background, as a hint for the transparency decoder. Ours.

ILDiff reads alpha from latents and a picture alone. On a clean flat background closed-form un-mixing is close to exact
where a small network is not; under compression, or where the sticker has the background's colour, it fails and the
network does not. `LayoutHint` hands the decoder both the evidence and the closed-form answers, and `ILDiff` lets the
decoder say, pixel by pixel, whom to believe.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glassine.models.classic import ColourProjection, for_damaged_files
from glassine.nn.background import BackgroundEvidence, estimate_background


class LayoutHint(nn.Module):
    """Background evidence and the alphas of classic methods.

    Args:
        candidates: classic methods `(clip, background) -> alpha b f 1 h w`; by default colour projection, once set for
            undamaged pictures and three times for compressed ones.
    """

    def __init__(self, candidates: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        self.evidence = BackgroundEvidence()
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

    @property
    def channels(self) -> int:
        """Channels of the hint picture: the evidence and one for each candidate."""
        return self.evidence.channels + len(self.candidates)

    @torch.no_grad()
    def forward(self, clip: Tensor, background: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The hint picture `b f k h w` and, for the mix, the candidates `b f n h w` in [0, 1].

        `clip` is `b f 3 h w` in [0, 1]; `background` is `b 3` or estimated. Runs on the CPU whatever the device.
        """
        if background is None:
            background = estimate_background(clip)
        alphas = torch.cat([method(clip, background) for method in self.candidates], dim=2)  # b f n h w
        return torch.cat([self.evidence(clip, background), alphas], dim=2), alphas

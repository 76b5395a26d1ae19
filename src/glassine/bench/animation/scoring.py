"""Score transparent clips: what is seen on white, how it moves, and what becomes of alpha."""

import torch
from torch import Tensor

from glassine.bench.generation.rows import Maker
from glassine.bench.generation.scoring import Scorer
from glassine.bench.generation.test_set import TestSet
from glassine.metrics.alpha_motion import alpha_flicker, alpha_levels, alpha_motion, alpha_overlap
from glassine.metrics.dynamic_degree import DynamicDegree
from glassine.metrics.farneback import farneback_flow
from glassine.metrics.generated import opaque_clips
from glassine.metrics.matting_scores import MattingScores

# the paper's clips lie on gray, which "significantly skews" the flow; so does any other flat colour
FLOW_BACKGROUND = "gray"
FPS = 8.0


class AnimationScorer(Scorer):
    """What `Scorer` measures of clips on white, and more that needs their alpha.

    `dynamic_degree_farneback_...`
        See `glassine.metrics.dynamic_degree`; the flow needs no weights.
    `alpha_overlap`, `alpha_levels`
        Agreement of each frame's alpha with that of the middle frame, which Layer-Animate's base image is; the same
        frame is looked at in clips of methods that have no base image. See `glassine.metrics.alpha_motion`.
    `alpha_motion`, `alpha_flicker`
        See there, too.
    """

    def scores(self, wanted: TestSet, made: Tensor, maker: Maker) -> dict[str, float]:
        """Of straight RGBA clips `n f 4 h w` in [0, 1]; of rebuilt ones `MattingScores`, too."""
        found = super().scores(wanted, opaque_clips(made, "white"), maker)
        if maker.rebuilds:
            matting, true = MattingScores(), torch.stack([one.rgba for one in wanted.clips])
            matting.update(made[:, :, 3:], true[:, :, 3:])
            found |= matting.compute()
        moving = DynamicDegree(farneback_flow, "farneback", FLOW_BACKGROUND, FPS)
        moving.update(made)
        return found | {name: float(value) for name, value in moving.compute().items()} | alpha_scores(made[:, :, 3:])


def alpha_scores(alpha: Tensor) -> dict[str, float]:
    """Means over clips `n f 1 h w`."""
    middle = alpha[:, alpha.shape[1] // 2, None].expand_as(alpha)
    values: dict[str, Tensor] = {
        "alpha_overlap": alpha_overlap(alpha, middle),
        "alpha_levels": alpha_levels(alpha, middle),
        "alpha_motion": alpha_motion(alpha),
        "alpha_flicker": alpha_flicker(alpha),
    }
    return {name: float(torch.nanmean(value)) for name, value in values.items()}

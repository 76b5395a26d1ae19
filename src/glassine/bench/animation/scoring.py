"""Score transparent clips: what is seen on white and black, how it moves, and what becomes of alpha."""

from pathlib import Path

import torch
from torch import Tensor

from glassine.bench.generation.rows import VideoSampler
from glassine.bench.generation.scoring import Scorer
from glassine.bench.generation.test_set import TestSet
from glassine.metrics.dynamic_degree import DynamicDegree, farneback_flow
from glassine.metrics.matting_scores import MattingScores
from glassine.metrics.temporal import alpha_flicker, alpha_levels, alpha_motion, alpha_overlap

# a veil or a rim that one of them hides is seen on the other
BACKGROUNDS = ("white", "black")
# the paper's clips lie on gray, which "significantly skews" the flow; so does any other flat color
FLOW_BACKGROUND = "gray"


class AnimationScorer(Scorer):
    """What `Scorer` measures of clips on white, the distances on black, too, and more that needs their alpha.

    `dynamic_degree_farneback_...`, `dynamic_degree_raft_...`
        See `glassine.metrics.dynamic_degree`; Farnebäck's flow needs no weights.
    `alpha_overlap`, `alpha_levels`
        Agreement of the other frames' alpha with that of the base image, or of the middle frame where a method has no
        base image. See `glassine.metrics.temporal`.
    `alpha_motion`, `alpha_flicker`
        See there, too.
    """

    def scores(self, wanted: TestSet, made: Tensor, maker: VideoSampler) -> dict[str, float]:
        """Of straight RGBA clips `n f 4 h w` in [0, 1]; of rebuilt ones `MattingScores`, too."""
        true, captions = torch.stack([one.rgba for one in wanted.clips]), [one.caption for one in wanted.clips]
        found = self.evaluators.score(true, made, captions, BACKGROUNDS)
        if maker.rebuilds:
            matting = MattingScores()
            matting.update(made[:, :, 3:], true[:, :, 3:])
            found |= matting.compute()
        rates = [one.fps for one in wanted.clips] if maker.own_rate else None
        for moving in self.flows():
            moving.update(made, rates)
            found |= {name: float(value) for name, value in moving.compute().items()}
        return found | alpha_scores(made[:, :, 3:], maker.reference(made.shape[1]))

    def flows(self) -> list[DynamicDegree]:
        """Dynamic degrees by Farnebäck's flow, and by RAFT's where its weights are given."""
        found = [DynamicDegree(farneback_flow, "farneback", FLOW_BACKGROUND)]
        if path := self.evaluators.sources.raft:
            from glassine.pretrained.raft import raft

            small = Path(path).name.startswith("raft_small")
            found.append(DynamicDegree(raft(path, small), "raft_small" if small else "raft_large", FLOW_BACKGROUND))
        return found


def alpha_scores(alpha: Tensor, reference: int) -> dict[str, float]:
    """Means over clips `n f 1 h w`, frame number `reference` of which is or stands for the base image."""
    others = torch.cat([alpha[:, :reference], alpha[:, reference + 1 :]], dim=1)
    base = alpha[:, reference, None].expand_as(others)
    values: dict[str, Tensor] = {
        "alpha_overlap": alpha_overlap(others, base),
        "alpha_levels": alpha_levels(others, base),
        "alpha_motion": alpha_motion(alpha),
        "alpha_flicker": alpha_flicker(alpha),
    }
    return {name: float(torch.nanmean(value)) for name, value in values.items()}

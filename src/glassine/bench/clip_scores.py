"""From a method and clips to the scores of one cell."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from glassine.bench.method import Method
from glassine.bench.records import Cell, plain
from glassine.metrics import MattingScores
from glassine.nn.background import estimate_background

# not one of the conditions' backgrounds, on which a color un-mixed from any alpha would come out right
COMPOSITE_ON = "black"


def pack(sample: dict[str, Any]) -> dict[str, Any]:
    """Only what scoring needs of a sample, pixels in 8 bits (which the clip has anyway): a third of the memory."""
    packed = {name: (sample[name] * 255).round().byte() for name in ("clip", "foreground")}
    return {**packed, "alpha": sample["alpha"], "key": sample["key"]}


def score_clip(method: Method, sample: dict[str, Any]) -> MattingScores:
    """Scores of one packed clip; the method is told neither the background nor, but for a box or point, the truth."""
    clip = sample["clip"].float().unsqueeze(0) / 255  # 1 f 3 h w
    return score_alpha(method.alpha(clip, None, sample["alpha"].unsqueeze(0)), sample)


def score_alpha(alpha: Tensor, sample: dict[str, Any]) -> MattingScores:
    """Scores of a method's `alpha`, `1 f 1 h w`, for one packed clip."""
    clip, foreground = (sample[name].float().unsqueeze(0) / 255 for name in ("clip", "foreground"))  # 1 f 3 h w
    scores = MattingScores(COMPOSITE_ON)
    scores.update(alpha, sample["alpha"].unsqueeze(0), unmix(clip, alpha), foreground)
    return scores


def unmix(clip: Tensor, alpha: Tensor) -> Tensor:
    """Straight colors `b f 3 h w` in [0, 1] of an opaque clip for a given alpha, the same way for all methods.

    C = alpha F + (1 - alpha) B, solved for F; B is estimated from the border.
    """
    background = estimate_background(clip)[:, None, :, None, None]  # b 1 3 1 1
    return ((clip - (1 - alpha) * background) / alpha.clamp(min=1 / 255)).clamp(0, 1)


def make_cell(inputs: str, samples: Sequence[dict[str, Any]], results: Sequence[MattingScores]) -> Cell:
    """Sum up the clips of one condition.

    Args:
        inputs: the cell's fingerprint.
        samples: packed samples.
        results: the scores of each.
    """
    total, *others = results
    for other in others:
        total.merge_state(other)
    psnr = total.per_clip()["psnr"].tolist()
    return Cell(
        inputs,
        len(samples),
        {name: plain(value) for name, value in total.compute().items()},
        {sample["key"]: round(value, 2) for sample, value in zip(samples, psnr, strict=True)},
    )

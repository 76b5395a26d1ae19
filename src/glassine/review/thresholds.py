"""What a clip has to pass to be chosen by the proxy.

The defaults are what true animations pass: 200 clips of 8 frames at 64 x 64 pixels from the training split of the
animated Noto emoji, measured by `glassine.review.measures` with the shipped evaluators. Lower bounds are their 5th
percentile and upper bounds their 95th, rounded: over whole plays, whose changes are the largest and which loop by
construction, and for `min_motion` over random parts, whose changes are the smallest. Some 5% of true clips fail each.
`min_distance` is the 1st percentile of their distances to the nearest of another group; a clip nearer to one is a copy.
Clips of another number of frames, rate or style need values of their own, or are compared with each other
(`leaving_out`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from glassine.utils.errors import UserError


def _threshold(value: float, says: str) -> float:
    threshold: float = field(default=value, metadata={"says": says})
    return threshold


@dataclass(frozen=True)
class Thresholds:
    """The proxy's thresholds.

    Attributes:
        min_motion: least motion.
        max_motion: most motion.
        max_flicker: most flicker of alpha.
        max_loop_gap: most that the change from the last frame to the first may be.
        max_caption_drop: most that the agreement with the caption may fall from the still to the clip.
        min_still_agreement: least agreement of the frames with the still.
        min_distance: least distance to the nearest training clip of another group, where training data is given.
    """

    min_motion: float = _threshold(0.004, "least motion")
    max_motion: float = _threshold(0.15, "most motion")
    max_flicker: float = _threshold(75.0, "most flicker of alpha")
    max_loop_gap: float = _threshold(2.7, "most change from the last frame to the first, in mean changes")
    max_caption_drop: float = _threshold(0.1, "most fall of the agreement with the caption, from still to clip")
    min_still_agreement: float = _threshold(0.6, "least agreement of the frames with the still")
    min_distance: float = _threshold(0.004, "least distance to training clips of other groups, with --train")

    def __post_init__(self) -> None:
        """Raise UserError for thresholds that nothing can pass."""
        for one in fields(self):
            if math.isnan(getattr(self, one.name)):
                raise UserError(f"{one.name} must be a number, got nan")
        if self.min_motion > self.max_motion:
            raise UserError(f"min_motion must be at most max_motion, got {self.min_motion:g} and {self.max_motion:g}")

    def rejections(self, measures: Mapping[str, float]) -> list[str]:
        """Why a clip is rejected, such as `max_flicker (12.1 is above 8)`; empty if it is chosen.

        Args:
            measures: from `glassine.review.measures.Measures`; one that is missing or NaN is not judged.
        """
        found = []
        for one in fields(self):
            bound = getattr(self, one.name)
            end, _, name = one.name.partition("_")
            value = measures.get(name, math.nan)
            if end == "min" and value < bound:
                found.append(f"{one.name} ({value:.4g} is below {bound:g})")
            if end == "max" and value > bound:
                found.append(f"{one.name} ({value:.4g} is above {bound:g})")
        return found


def leaving_out(worst: float, measured: Sequence[Mapping[str, float]]) -> Thresholds:
    """Thresholds that reject so large a share of these clips, the worst ones, by each measure, and no more.

    For clips of networks that are hardly trained, which true animations' thresholds would reject altogether. Of `n`
    clips `floor(worst * (n - 1))` are rejected by each threshold, fewer where measures are equal.

    Args:
        worst: share in (0, 1).
        measured: measures of each clip.

    Raises:
        UserError: a share out of range.
    """
    if not 0 < worst < 1:
        raise UserError(f"the share of the worst must be in (0, 1), got {worst:g}")
    bounds = {}
    for one in fields(Thresholds):
        end, _, name = one.name.partition("_")
        values = sorted(value for clip in measured if not math.isnan(value := clip.get(name, math.nan)))
        bounds[one.name] = -math.inf if end == "min" else math.inf
        if values:
            place = math.floor(worst * (len(values) - 1))
            bounds[one.name] = values[place if end == "min" else -1 - place]
    return Thresholds(**bounds)

"""The background over time: kept while it fits, found anew where the picture flashes, fades or changes its scene."""

from collections.abc import Sequence

import numpy as np

from glassine.pipelines.background_models import (
    GOOD_FIT,
    NEAR,
    Behind,
    Kind,
    border_of,
    find_behind,
    most_frequent,
)
from glassine.pipelines.insets import Inset, Picture, largest_difference

_LOST = 0.2  # of the border: a background that explains no more than this has gone
_MOVES = 24  # of 255: a change that is no noise
_LEAST_MOTION = 0.005  # of the pixels: without as much motion a temporal median is the sticker itself


class BackgroundTrack:
    """Background models of the frames of one sticker, in order.

    Args:
        head: its first frames, `h w 3` uint8 each, at least one.
        color: the flat background, where the user gives it.
    """

    def __init__(self, head: Sequence[Picture], color: tuple[int, int, int] | None = None) -> None:
        self._color = color
        self._model = find_behind(head[0], color)
        self._misses = self._wait = 0
        self.brightest = 0.0
        if color is None and self._model.kind == "flat":  # a white background that fades in is gray or black at first
            self.brightest = max(float(most_frequent(border_of(frame)).min()) for frame in head)
        if color is None and self._model.fit < GOOD_FIT and len(head) > 1:
            self._model = max((find_behind(frame) for frame in head[1:3]), key=lambda m: m.fit, default=self._model)

    @property
    def is_given(self) -> bool:
        """Whether the user named the background's color."""
        return self._color is not None

    @property
    def is_found(self) -> bool:
        """Whether the current model explains most of the border."""
        return self._model.fit >= GOOD_FIT and self._model.kind != "unknown"

    def look_for_still_picture(self, frames: Sequence[Picture]) -> bool:
        """Take the median of many frames for the background, if the camera stands still and something moves."""
        picture = still_picture(frames)
        if picture is None or picture.fit <= max(self._model.fit, GOOD_FIT):
            return False
        self._model = picture
        return True

    def of(self, frame: Picture) -> Behind:
        """The model of the next frame, `h w 3`."""
        if self._color is not None:
            return self._model
        model, fit = self._model, self._fit(frame)
        if model.kind == "flat":
            self._model = self._recolored(model, frame, fit)
        elif fit < min(_LOST, 0.5 * model.fit) or not self.is_found:
            self._model = self._found_anew(model, frame, fit)
        return self._model

    def _found_anew(self, model: Behind, frame: Picture, fit: float) -> Behind:
        """The background of another scene; where none is found, it is looked for less and less often."""
        if self._wait > 0:
            self._wait -= 1
            return model
        other = find_behind(frame)
        if other.fit > fit + 0.3:
            self._misses = 0
            return other
        self._misses = min(self._misses + 1, 5)
        self._wait = 2**self._misses
        return model

    def _fit(self, frame: Picture) -> float:
        inner = self._model.inset.of(frame)
        border = border_of(inner)
        colors = self._model.colors
        behind = border_of(colors) if colors.ndim > 1 else colors
        return float((largest_difference(border, behind) <= 12).mean())

    def _recolored(self, model: Behind, frame: Picture, fit: float) -> Behind:
        """A flat background's own color in this frame: fading moves it little by little, flashing at once."""
        border = border_of(model.inset.of(frame))
        exact = float((largest_difference(border, model.colors) <= 1.5).mean())
        if exact >= 0.3:
            return model
        color = most_frequent(border)
        distance = largest_difference(border, color)
        share = float((distance <= 12).mean())
        close = float(np.abs(color - model.colors).max()) <= NEAR
        if (close and share >= 0.5) or (fit < _LOST and share > fit + 0.3):
            if np.abs(color - model.colors).max() < 1.5 and model.noise > 1:
                return model  # the same color under noise
            noise = float(np.percentile(distance[distance <= 12], 95))
            found = Behind("flat", color, share, noise, model.inset)
            if share < 0.9 or fit < _LOST:  # another scene may have another kind of background
                other = find_behind(frame)
                return other if other.fit > share + 0.1 else found
            return found
        return model


def still_picture(frames: Sequence[Picture]) -> Behind | None:
    """The temporal median of `frames`, if it explains their borders while something else moves; else None."""
    if len(frames) < 5:
        return None
    clip = np.stack(frames[:: max(1, len(frames) // 24)])  # f h w 3
    median = np.median(clip, axis=0).astype(np.float32)  # h w 3
    fits, moved, noise = [], [], []
    for frame in clip:
        distance = largest_difference(frame, median)
        border = border_of(distance[..., None])[:, 0]
        fits.append(float((border <= 12).mean()))
        noise.append(float(np.percentile(border[border <= 12], 95)) if (border <= 12).any() else 0.0)
        moved.append(float((distance > _MOVES).mean()))
    if np.mean(moved) < _LEAST_MOTION or np.mean(moved) > 0.6:
        return None
    kind: Kind = "picture"
    return Behind(kind, median, float(np.mean(fits)), float(np.median(noise)), Inset())

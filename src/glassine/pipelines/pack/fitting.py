"""Fit one sticker into one file of a platform with minimal loss, by a search in a fixed order.

Lossless steps come first: cropping to the visible area, merging repeated frames, a palette if the colors fit. Then come
three rounds, each lower than the previous one (`ROUNDS`); within a round, frames, quality and size are lowered in the
user's order. The first step whose file is small enough is used. The speed is never changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from glassine.data.sticker import Sticker
from glassine.pipelines.pack.canvas import Placing, content_box, place
from glassine.pipelines.pack.encoders import QUALITIES, Encoded, OneBit, encode
from glassine.pipelines.pack.limits import Limits
from glassine.pipelines.pack.report import Fidelity, fidelity
from glassine.pipelines.pack.timing import (
    REPRESENTS,
    TooLong,
    begin_visible,
    fewer_frames,
    fit_length,
    fit_rate,
    hold_to_whole_second,
    merge_repeats,
    plays,
    split_frames,
    visible_shares,
)
from glassine.utils.errors import UserError

Lever = Literal["frames", "quality", "size"]
ORDER: tuple[Lever, ...] = get_args(Lever)
FRAMES = ((20.0,), (15.0, 12.0), (10.0, 8.0))
"""Frames per second, by round."""
SIZES = ((0.85,), (0.7,), (0.55, 0.4))
"""Fractions of the canvas that the sticker fills, by round."""
ROUNDS = len(FRAMES)
KEPT_CANVASES = 3  # number of canvases whose frames are kept in memory
ASSUMED_STEP = 0.75  # assumed size ratio per step, until two attempts give an estimate


class CannotFitError(UserError):
    """No step meets the limits."""


@dataclass(frozen=True)
class FitSettings:
    """Settings for fitting stickers.

    Args:
        placing: crop, border and shadow.
        one_bit: how soft edges are converted for GIF.
        order: order of reduction; each of "frames", "quality" and "size" at most once. Anything not listed is kept.
        too_long: what to do with stickers that are too long for the platform.

    Raises:
        UserError: an invalid order.
    """

    placing: Placing = field(default_factory=Placing)
    one_bit: OneBit = field(default_factory=OneBit)
    order: tuple[Lever, ...] = ORDER
    too_long: TooLong = "refuse"

    def __post_init__(self) -> None:
        if len(set(self.order)) != len(self.order) or not set(self.order) <= set(ORDER):
            raise UserError(f"order must name each of {', '.join(ORDER)} at most once, got {', '.join(self.order)}")


@dataclass(frozen=True)
class Step:
    """One step: maximum frames per second, quality, and fraction of the canvas."""

    fps: float | None
    quality: int | None
    scale: float


@dataclass(frozen=True)
class Fitted:
    """A file within its limits.

    Attributes:
        data: the file.
        done: what was done, one sentence per action; empty if nothing.
        tries: number of files written in the search.
    """

    data: bytes
    width: int
    height: int
    num_frames: int
    duration_ms: int
    loop: int
    step: Step
    done: tuple[str, ...]
    tries: int
    fidelity: Fidelity


class Fitter:
    """Fits one sticker into several kinds of files, sharing common computations."""

    def __init__(self, sticker: Sticker, settings: FitSettings) -> None:
        frames = sticker.frames.copy()
        frames[frames[..., 3] == 0] = 0  # invisible colors
        self._whole = Sticker(frames, sticker.durations, sticker.loop)
        self._sticker = merge_repeats(self._whole)
        self._box = content_box(frames)
        self._opaque = bool((frames[..., 3] == 255).all())
        self._settings = settings
        self._placed: dict[tuple, dict[bytes, np.ndarray]] = {}  # by canvas and scale, then by frame content

    @property
    def animated(self) -> bool:
        """Whether it is animated."""
        return self._sticker.num_frames > 1

    def fit(self, limits: Limits, still: bool = False) -> Fitted:
        """Write the file with the least loss.

        Args:
            limits: limits of the file.
            still: keep one frame only: the first that shows at least half of the sticker.

        Raises:
            CannotFitError: it stays too large.
            UserError: a rule that no reduction can meet: too long, or no transparency.
        """
        if limits.transparent and self._opaque:
            raise UserError("background must be clear, got an opaque sticker: cut it out first (glassine cutout)")
        done: list[str] = []
        timed = self._timed(limits, still, done)
        if self._settings.placing.crop:
            left, top, right, bottom = self._box
            if (right - left, bottom - top) != (self._whole.width, self._whole.height):
                done.append(f"cropped to the visible area, {right - left}x{bottom - top} of "
                            f"{self._whole.width}x{self._whole.height}")  # fmt: skip
        if not still and self._sticker.num_frames < self._whole.num_frames:
            repeats = self._whole.num_frames - self._sticker.num_frames
            done.append(f"{repeats} of {self._whole.num_frames} frames repeat the one before and were merged")
        road = self._road(limits, timed)
        step, encoded, tries = self._search(limits, timed, road)
        assert encoded.data is not None
        reference = self._drawn(limits, timed, replace(step, fps=None))
        written = self._ready(limits, timed, step)
        done += _lost(limits.format, road[0], step, timed, written)
        enlarged = reference.width / max(1, self._whole.width)
        if self._settings.placing.crop:
            enlarged = max(reference.width, reference.height) / max(right - left, bottom - top)
        if enlarged > 2:
            done.append(f"enlarged {enlarged:.1f} times: give a larger image for sharper edges")
        return Fitted(
            encoded.data, written.width, written.height, written.num_frames, written.duration_ms, written.loop, step,
            tuple(filter(None, done)), tries, fidelity(encoded.data, reference),
        )  # fmt: skip

    def _timed(self, limits: Limits, still: bool, done: list[str]) -> Sticker:
        """The frames at their times, before any loss; stills last one second."""
        if still or not limits.can_move:
            number = int(np.argmax(visible_shares(self._whole.frames) >= REPRESENTS))
            if number:
                done.append(f"frame {number + 1} only: those before show less than half of the sticker")
            elif self.animated and not still:
                done.append("first frame only")
            return Sticker(self._whole.frames[number : number + 1], (1000,), 0)
        sticker, told = fit_length(self._sticker, limits.max_ms, self._settings.too_long)
        done.append(told)
        if limits.whole_seconds:
            sticker, told = hold_to_whole_second(sticker)
            done.append(told)
        sticker, told = fit_rate(sticker, limits)
        done.append(told)
        loop, told = plays(sticker, limits)
        done.append(told)
        sticker = Sticker(sticker.frames, sticker.durations, loop)
        least_alpha = self._settings.one_bit.least_alpha if limits.format == "gif" else 1
        sticker, told = begin_visible(sticker, least_alpha)
        done.append(told)
        _, told = split_frames(sticker, limits.min_frames or 1)
        done.append(told)
        return sticker

    def _road(self, limits: Limits, timed: Sticker) -> list[Step]:
        """All steps, from no loss to the most."""
        best, *lower = QUALITIES[limits.format]
        road = [Step(None, best, 1.0)]
        for number in range(ROUNDS):
            for lever in self._settings.order:
                if lever == "frames":
                    rates = [fps for fps in FRAMES[number] if timed.duration_ms * fps / 1000 < timed.num_frames - 0.5]
                    road += [replace(road[-1], fps=fps) for fps in rates]
                elif lever == "quality":
                    road += [replace(road[-1], quality=quality) for quality in lower[number]]
                else:
                    road += [replace(road[-1], scale=scale) for scale in SIZES[number]]
        return road

    def _search(self, limits: Limits, timed: Sticker, road: Sequence[Step]) -> tuple[Step, Encoded, int]:
        """The first step whose file is small enough, assuming decreasing sizes; found by interpolation."""
        first = self._try(limits, timed, road[0])
        tries = 1
        if first.data is not None:
            return road[0], first, tries
        low, low_size = 0, first.size
        high, best = len(road), None
        high_size = low_size * ASSUMED_STEP ** len(road)
        while high - low > 1:
            slope = math.log(max(low_size, limits.bytes + 1) / max(1, min(high_size, low_size - 1))) / (high - low)
            ahead = math.log(max(low_size, limits.bytes + 1) / limits.bytes) / max(slope, 1e-6)
            middle = min(high - 1, max(low + 1, low + math.ceil(ahead)))
            found = self._try(limits, timed, road[middle])
            tries += 1
            if found.data is None:
                low, low_size = middle, found.size
                if best is None:
                    high_size = low_size * ASSUMED_STEP ** (high - low)
            else:
                high, high_size, best = middle, found.size, found
        if best is None:
            last = road[-1]
            raise CannotFitError(
                f"file must have at most {limits.bytes:,} bytes, got {low_size:,} after all steps "
                f"({_described(last)}): shorten or simplify the sticker, or allow more reductions (--order)"
            )
        return road[high], best, tries

    def _try(self, limits: Limits, timed: Sticker, step: Step) -> Encoded:
        """The file for this step."""
        ready = self._ready(limits, timed, step)
        return encode(ready, limits, step.quality, self._settings.one_bit, limits.bytes)

    def _drawn(self, limits: Limits, timed: Sticker, step: Step) -> Sticker:
        """The timed frames on the canvas, reduced to the step's frame rate."""
        picked = timed if step.fps is None else fewer_frames(timed, step.fps)
        key = (limits.canvas, limits.shape, limits.margin, limits.shrink_to, limits.even, step.scale)
        if key not in self._placed:
            for old in list(self._placed)[: 1 - KEPT_CANVASES]:
                del self._placed[old]
            self._placed[key] = {}
        known = self._placed[key]
        frames = np.stack([self._one(known, frame, limits, step.scale) for frame in picked.frames])
        return Sticker(frames, picked.durations, timed.loop)

    def _one(self, known: dict[bytes, np.ndarray], frame: np.ndarray, limits: Limits, scale: float) -> np.ndarray:
        """One frame on the canvas; shared across platforms and steps that draw it identically."""
        name = hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()
        if name not in known:
            placing = self._settings.placing
            left, top, right, bottom = self._box if placing.crop else (0, 0, frame.shape[1], frame.shape[0])
            cut = frame[None, top:bottom, left:right]
            known[name] = place(cut, limits, replace(placing, crop=False), scale)[0]
        return known[name]

    def _ready(self, limits: Limits, timed: Sticker, step: Step) -> Sticker:
        """Description of this step."""
        return split_frames(merge_repeats(self._drawn(limits, timed, step)), limits.min_frames or 1)[0]


def _described(step: Step) -> str:
    parts = [f"quality {step.quality}" if step.quality is not None else "best quality", f"size {step.scale:g}"]
    return ", ".join(parts if step.fps is None else [f"{step.fps:g} frames a second", *parts])


def _lost(format: str, first: Step, step: Step, timed: Sticker, written: Sticker) -> list[str]:
    """The reductions made."""
    told = []
    if step.fps is not None:
        told.append(f"{written.num_frames} of {timed.num_frames} frames kept ({step.fps:g} a second), to save bytes")
    if step.quality != first.quality:
        what = "quality" if format in ("webp", "webm") else "colors"
        told.append(f"{what} lowered to {step.quality}, to save bytes")
    if step.scale != first.scale:
        told.append(f"scaled to {step.scale:.0%}, to save bytes")
    return told

"""How far what was written is from what was given, at the size at which it was written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glassine.data.codecs import decode_bytes
from glassine.data.sticker import Sticker
from glassine.pipelines.outline import premultiplied


@dataclass(frozen=True)
class Fidelity:
    """Errors of a written file against its source on the same canvas.

    Attributes:
        psnr: decibels over black and white behind each written frame; None is without any error.
        psnr_in_time: the same at every moment of the source, so frames that were left out count.
        alpha_error: mean absolute difference of alpha, in [0, 1], of the written frames.
    """

    psnr: float | None
    psnr_in_time: float | None
    alpha_error: float


def fidelity(data: bytes, source: Sticker) -> Fidelity:
    """Decode `data` and compare it with `source`, whose frames are as large and whose time is the same."""
    written = decode_bytes(data)
    starts = np.cumsum((0, *written.durations[:-1])) + 0.5  # ms
    ends = np.cumsum(source.durations)
    meant = np.searchsorted(ends, starts, side="right").clip(max=source.num_frames - 1)
    pairs = list(zip(range(written.num_frames), meant.tolist(), strict=True))
    seen = {pair: _errors(written.frames[pair[0]], source.frames[pair[1]]) for pair in pairs}
    middles = ends - np.array(source.durations) / 2
    shown = np.searchsorted(np.cumsum(written.durations), middles, side="right").clip(max=written.num_frames - 1)
    in_time = 0.0
    for number, (frame, duration) in enumerate(zip(shown.tolist(), source.durations, strict=True)):
        pair = (frame, number)
        errors = seen[pair] if pair in seen else _errors(written.frames[frame], source.frames[number])
        in_time += errors[0] * duration / source.duration_ms
    mean = float(np.mean([errors[0] for errors in seen.values()]))
    return Fidelity(decibels(mean), decibels(in_time), float(np.mean([errors[1] for errors in seen.values()])))


def decibels(squared_error: float) -> float | None:
    """PSNR of values in [0, 1]; None where there is no error."""
    return round(-10 * math.log10(squared_error), 2) if squared_error > 0 else None


def _errors(written: np.ndarray, meant: np.ndarray) -> tuple[float, float]:
    """Mean squared error over black and over white, and mean absolute error of alpha, of two frames `h w 4` uint8."""
    if np.array_equal(written, meant):
        return 0.0, 0.0
    gap = premultiplied(written) - premultiplied(meant)  # h w 4
    alpha = gap[..., 3:]
    over_black, over_white = gap[..., :3], gap[..., :3] - alpha
    return float((np.mean(over_black**2) + np.mean(over_white**2)) / 2), float(np.abs(alpha).mean())

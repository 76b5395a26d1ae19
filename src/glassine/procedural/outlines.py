"""Outlines: closed or open lists of points ``n 2`` (x right, y down), in a box of about -1 to 1."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float32]
TAU = 2.0 * np.pi


def points(xy: Sequence[tuple[float, float]]) -> Outline:
    """An outline from its corners."""
    return np.asarray(xy, dtype=np.float32)


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, n: int = 24) -> Outline:
    """Arc of an ellipse from angle ``start`` to ``end`` in turns (0 is right, 0.25 is down)."""
    t = np.linspace(start, end, n) * TAU
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], axis=1).astype(np.float32)


def ellipse(cx: float = 0.0, cy: float = 0.0, rx: float = 1.0, ry: float | None = None, n: int = 48) -> Outline:
    """An ellipse, or a circle if ``ry`` is None."""
    return arc(cx, cy, rx, rx if ry is None else ry, 0.0, 1.0 - 1.0 / n, n)


def rectangle(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Outline:
    """An axis-aligned rectangle, with round corners if ``radius`` is above 0."""
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    if r <= 0:
        return points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    corners = [(x1 - r, y1 - r, 0.0), (x0 + r, y1 - r, 0.25), (x0 + r, y0 + r, 0.5), (x1 - r, y0 + r, 0.75)]
    return np.concatenate([arc(x, y, r, r, a, a + 0.25, 7) for x, y, a in corners])


def smooth(corners: Sequence[tuple[float, float]] | Outline, closed: bool = True, per_corner: int = 8) -> Outline:
    """A smooth curve through all corners (uniform Catmull-Rom spline)."""
    p = np.asarray(corners, dtype=np.float32)
    if closed:
        before, here, after, beyond = np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        q = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
        before, here, after, beyond = q[:-3], q[1:-2], q[2:-1], q[3:]
    t = np.linspace(0, 1, per_corner, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = (v[:, None] for v in (before, here, after, beyond))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def polar(radius: NDArray[np.floating], turn: float = 0.0) -> Outline:
    """A closed outline from its radius at equally spaced angles."""
    t = (np.arange(len(radius)) / len(radius) + turn) * TAU
    return np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1).astype(np.float32)


def polygon(sides: int, turn: float = -0.25) -> Outline:
    """A regular polygon; by default the first corner is at the top."""
    return polar(np.ones(sides), turn)


def star(tips: int = 5, inner: float = 0.45, turn: float = -0.25) -> Outline:
    """A star with straight edges; ``inner`` is the radius between the tips."""
    return polar(np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner), turn)


def flower(petals: int, depth: float = 0.25, n: int = 96) -> Outline:
    """A wavy disc: petals, scallops, a splash."""
    t = np.arange(n) / n * TAU
    return polar(1 - depth * (0.5 - 0.5 * np.cos(petals * t)), -0.25)


def gear(teeth: int, depth: float = 0.2) -> Outline:
    """A gear wheel; ``depth`` is the height of its teeth."""
    return polar(np.tile([1.0, 1.0, 1 - depth, 1 - depth], teeth))


def blob(rng: np.random.Generator, roughness: float = 0.25, n: int = 72) -> Outline:
    """A random round shape; ``roughness`` 0 is a circle, above 0.5 it is very irregular."""
    t = np.arange(n) / n * TAU
    radius = np.ones(n)
    for k in range(2, 7):
        radius += roughness * rng.normal() / k * np.cos(k * t + rng.uniform(0, TAU))
    return polar(np.clip(radius, 0.3, 1.6) / max(1.0, float(radius.max())))


def heart(n: int = 64) -> Outline:
    """A heart with the tip at the bottom."""
    t = np.arange(n) / n * TAU
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16.5
    return np.stack([x, y - 0.05], axis=1).astype(np.float32)


def drop() -> Outline:
    """A drop with the tip at the top."""
    return smooth(
        [(0, -1), (0.28, -0.42), (0.6, 0.15), (0.55, 0.65), (0, 0.98), (-0.55, 0.65), (-0.6, 0.15), (-0.28, -0.42)]
    )


def crescent(fullness: float = 0.55) -> Outline:
    """A crescent moon, open to the right."""
    outer = arc(0, 0, 1, 1, 0.17, 0.83, 36)
    inner = arc(0, 0, 1 - fullness, 1, 0.83, 0.17, 36)
    inner[:, 0] += float(outer[-1, 0] - inner[0, 0])
    return np.concatenate([outer, inner])


def cloud(rng: np.random.Generator) -> Outline:
    """A cloud with a flat bottom."""
    bumps = int(rng.integers(3, 6))
    x = np.linspace(-0.68, 0.68, bumps)
    top = [(float(v), float(0.1 - 0.4 * np.sqrt(1 - (v / 0.95) ** 2) + rng.uniform(-0.08, 0.05))) for v in x]
    curve = [arc(cx, cy, 0.95 / bumps + 0.1, 0.32, 0.52, 0.98, 12) for cx, cy in top]
    right, left = arc(0.68, 0.22, 0.3, 0.24, -0.2, 0.25, 10), arc(-0.68, 0.22, 0.3, 0.24, 0.25, 0.7, 10)
    return np.concatenate([*curve, right, left]).astype(np.float32)


def place(
    outline: Outline, x: float = 0.0, y: float = 0.0, sx: float = 1.0, sy: float | None = None, turn: float = 0.0
) -> Outline:
    """Scale, then rotate (in turns, clockwise), then shift an outline."""
    c, s = np.cos(turn * TAU), np.sin(turn * TAU)
    p = outline * np.asarray([sx, sx if sy is None else sy], dtype=np.float32)
    return (p @ np.asarray([[c, s], [-s, c]], dtype=np.float32) + np.asarray([x, y], dtype=np.float32)).astype(
        np.float32
    )


def mirror(outline: Outline) -> Outline:
    """Mirror an outline: negate x."""
    return outline * np.asarray([-1, 1], dtype=np.float32)

"""Rendering styles: each style assigns a paint, an outline, or both to every part of a drawing."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from glassine.procedural.canvas import Plane
from glassine.procedural.glassware import Glass
from glassine.procedural.outlines import ellipse
from glassine.procedural.paint import RGB, Flat, Linear, Paint, Pattern, Puffy, Radial, Texture
from glassine.procedural.palette import Palette, Part, Thing, hsv, tone

STYLES = ("emoji", "flat", "line_art", "outline", "photo", "glass", "neon")


@dataclass(frozen=True)
class Dressed:
    """A part with its paint and outline.

    Attributes:
        part: the shape.
        paint: its fill; None for no fill.
        ink: color of its outline; None for no outline.
        ink_width: width of the outline in object units.
    """

    part: Part
    paint: Paint | None
    ink: RGB | None = None
    ink_width: float = 0.0


def dress(thing: Thing, style: str, palette: Palette, rng: np.random.Generator) -> tuple[Dressed, ...]:
    """Assign paint and outline to every part of a drawing.

    Args:
        thing: the drawing.
        style: one of :data:`STYLES`.
        palette: colors by role.
        rng: random generator for the choices of the style (line width, gradients, patterns, textures).
    """
    maker = {
        "emoji": _emoji,
        "flat": _flat,
        "line_art": _line_art,
        "outline": _line_art,
        "photo": _photo,
        "glass": _glass,
        "neon": _neon,
    }[style]
    parts = thing.parts
    if style == "outline":  # no fill: only lines and small dark marks are drawn
        parts = tuple(
            replace(p, role="hollow") if p.width == 0 and p.role not in ("dark", "tongue") else p for p in parts
        )
    return tuple(maker(parts, palette, rng))


def _glass_paint(tint: RGB, rng: np.random.Generator) -> Glass:
    body = float(rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.3, 0.7)]))
    return Glass(tint, body, min(1.0, body + rng.uniform(0.2, 0.8)), rng.uniform(0.06, 0.25), rng.uniform(0.1, 0.9))


def _glint(part: Part, rng: np.random.Generator, strength: float) -> list[Dressed]:
    """One or two reflections, clipped to the part."""
    every = np.concatenate(part.outlines)
    low, high = every.min(0), every.max(0)
    cx, cy = (float(v) for v in low + (high - low) * (0.32, 0.25))
    rx, ry = (float(v) for v in (high - low) * rng.uniform(0.06, 0.14, 2))
    one = Part(
        (ellipse(cx, cy, rx, ry, 28),), "white", clip=True, soft=min(rx, ry) * rng.uniform(0.0, 0.5), opacity=strength
    )
    far = low + (high - low) * (0.72, 0.78)
    two = replace(
        one, outlines=(ellipse(float(far[0]), float(far[1]), rx * 0.5, ry * 0.5, 22),), opacity=strength * 0.6
    )
    return [Dressed(p, Flat((1.0, 1.0, 1.0))) for p in ((one, two) if rng.random() < 0.6 else (one,))]


def _emoji(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """Glossy emoji: gradients, shading of an inflated shape, reflections."""
    light = (float(rng.uniform(-0.9, 0.2)), float(rng.uniform(-1.0, -0.5)))
    puff, deep = rng.uniform(0.3, 1.1), rng.uniform(0.1, 0.4)
    spread = rng.uniform(0.1, 0.35)
    rim = rng.random() < 0.15
    out: list[Dressed] = []
    for part in parts:
        color = palette.colors.get(part.role, palette.colors["body"])
        if part.role == "clear":
            out.append(Dressed(part, _glass_paint(color, rng)))
            out += _glint(part, rng, 0.8) if part.width == 0 else []
        elif part.base:
            gradient: Paint = Radial(tone(color, spread), tone(color, -spread))
            if rng.random() < 0.4:
                gradient = Linear(tone(color, spread), tone(color, -spread), rng.uniform(0.15, 0.35))
            out.append(Dressed(part, Puffy(gradient, puff, deep, light), tone(color, -0.5) if rim else None, 0.035))
            if rng.random() < 0.4 and not out[:-1]:
                out += _glint(part, rng, rng.uniform(0.3, 0.9))
        else:
            out.append(Dressed(part, Linear(tone(color, 0.1), tone(color, -0.15))))
    return out


def _flat(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """One color per part, sometimes a pattern; half of the drawings have outlines."""
    ink = palette.colors["ink"] if rng.random() < 0.5 else None
    width = float(rng.uniform(0.03, 0.1))
    kind = str(rng.choice(["none", "none", "stripes", "dots", "checks"]))
    period, turn = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0, 0.5))
    out = []
    for part in parts:
        color = palette.colors.get(part.role, palette.colors["body"])
        paint: Paint = Flat(color)
        if part.role == "clear":
            paint = Glass(color, 0.4, 0.4, 0.1, 0.0)
        elif part.base and part.role == "body" and kind != "none":
            paint = Pattern(kind, color, tone(color, float(rng.choice([-0.25, 0.35]))), period, turn)
        lined = ink is not None and part.width == 0 and part.opacity == 1 and part.soft == 0
        out.append(Dressed(part, paint, ink if lined and (part.base or rng.random() < 0.5) else None, width))
    return out


def _line_art(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """Ink lines; closed shapes are filled with the paper color, or not filled if their role is ``hollow``."""
    ink, paper = palette.colors["ink"], palette.colors["paper"]
    width = float(rng.uniform(0.025, 0.085))
    touch = palette.colors["body"] if rng.random() < 0.3 else paper  # one colored role, as in spot-color prints
    out = []
    for part in parts:
        if part.width > 0:
            out.append(
                Dressed(
                    replace(part, width=min(part.width, width * 1.3) if part.role != "hollow" else width), Flat(ink)
                )
            )
        elif part.role == "hollow":
            out.append(Dressed(part, None, ink, width))
        elif part.role in ("dark", "tongue"):
            out.append(Dressed(part, Flat(ink)))
        elif part.role == "clear":
            out.append(Dressed(part, Glass(paper, 0.15, 0.15, 0.1, 0.0), ink, width))
        else:
            out.append(Dressed(part, Flat(touch if part.role in ("accent", "blush") else paper), ink, width))
    return out


def _neon(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """Bright outlines without fill; the glow is added by the actor."""
    width = float(rng.uniform(0.035, 0.08))
    hue = float(rng.random())
    out = []
    for k, part in enumerate(parts):
        color = hsv(hue + 0.13 * (k % 3), rng.uniform(0.3, 0.8), 1.0)
        if part.width > 0:
            out.append(Dressed(replace(part, width=width), Flat(color)))
        else:
            out.append(Dressed(part, None, color, width))
    return out


def _glass(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """Semi-transparent bodies with opaque details."""
    tint = palette.colors[str(rng.choice(["clear", "body"]))]
    glass = _glass_paint(tint, rng)
    out: list[Dressed] = []
    for part in parts:
        color = palette.colors.get(part.role, tint)
        if part.width == 0 and (part.base or part.role == "clear"):
            own = glass if part.base else replace(glass, tint=color, body=min(1.0, glass.body + 0.15))
            out.append(Dressed(part, own))
            out += _glint(part, rng, rng.uniform(0.5, 1.0)) if part.base else []
        else:
            out.append(Dressed(part, Flat(color)))
    return out


def noise_tile(rng: np.random.Generator, n: int = 128, falloff: float = 0.55) -> Plane:
    """Seamlessly tileable noise ``n n`` in 0..1; ``falloff`` is the amplitude ratio of successive octaves."""
    total = np.zeros((n, n), np.float32)
    strength = 1.0
    for cells in (3, 6, 12, 24, 48):
        grid = rng.random((cells, cells), dtype=np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        side = n * (cells + 4) // cells
        fine = cv2.resize(wrapped, (side, side), interpolation=cv2.INTER_CUBIC)
        start = 2 * n // cells
        total += strength * fine[start : start + n, start : start + n]
        strength *= falloff
    low, high = np.percentile(total, (2, 98))
    return np.clip((total - low) / (high - low + 1e-6), 0, 1).astype(np.float32)


def _photo(parts: tuple[Part, ...], palette: Palette, rng: np.random.Generator) -> list[Dressed]:
    """Imitation of a cut-out photograph: texture, lighting, grain, feathered edges and sometimes fur."""
    tile = noise_tile(rng, falloff=rng.uniform(0.4, 0.9))
    zoom, grain = rng.uniform(0.25, 0.9), rng.uniform(0.0, 0.05)
    light = (float(rng.uniform(-1, 1)), float(rng.uniform(-1.0, -0.3)))
    feather = float(rng.uniform(0.0, 0.035))
    contrast = rng.uniform(0.2, 0.6)
    furry = rng.random() < 0.35
    out: list[Dressed] = []
    for part in parts:
        color = palette.colors.get(part.role, palette.colors["body"])
        part = replace(part, soft=max(part.soft, feather))
        spread = contrast if part.base else contrast * 0.3
        third = tone(hsv(rng.random(), 0.4, 0.7), 0.2)
        mixed = tuple(0.75 * c + 0.25 * t for c, t in zip(color, third, strict=True))
        ramp = np.asarray([tone(color, -spread), mixed, color, tone(color, spread * 0.8)], np.float32)
        paint: Paint = Texture(tile, ramp, zoom, grain, int(rng.integers(2**31)))
        if part.role == "clear":
            out.append(Dressed(part, _glass_paint(color, rng)))
            continue
        if furry and part.base and part.width == 0:
            out.append(Dressed(_fur(part, rng), Flat(tone(color, -0.1))))
        out.append(
            Dressed(part, Puffy(paint, rng.uniform(0.6, 1.4), rng.uniform(0.15, 0.4), light) if part.base else paint)
        )
    return out


def _fur(part: Part, rng: np.random.Generator) -> Part:
    """Short hairs along the part's edge, pointing outwards."""
    edge = part.outlines[0]
    middle = edge.mean(0)
    long = float(rng.uniform(0.05, 0.16))
    picks = np.linspace(0, len(edge) - 1e-3, 110)
    roots = edge[picks.astype(int)] + (np.roll(edge, -1, 0) - edge)[picks.astype(int)] * (picks % 1)[:, None]
    away = roots - middle
    away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-6
    tips = roots + (away + rng.normal(0, 0.35, away.shape)) * (long * rng.uniform(0.4, 1.0, (len(roots), 1)))
    hairs = tuple(np.stack([r - 0.05 * a, t]).astype(np.float32) for r, a, t in zip(roots, away, tips, strict=True))
    return replace(part, outlines=hairs, width=0.016, closed=False, base=False, soft=0.0)

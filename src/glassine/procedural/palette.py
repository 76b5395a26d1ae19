"""The parts of a drawing, and palettes that assign a color to every role of a part."""

import colorsys
from dataclasses import dataclass, field

import numpy as np

from glassine.procedural.outlines import Outline
from glassine.procedural.paint import RGB

_HUES = (
    (0.03, "red", "红色"),
    (0.11, "orange", "橙色"),
    (0.19, "yellow", "黄色"),
    (0.43, "green", "绿色"),
    (0.54, "teal", "青色"),
    (0.7, "blue", "蓝色"),
    (0.83, "purple", "紫色"),
    (0.95, "pink", "粉色"),
    (1.01, "red", "红色"),
)

# common background colors: objects of these colors are hard cases for matting networks
_PLAIN = (
    ((1.0, 1.0, 1.0), "white", "白色"),
    ((0.94, 0.94, 0.93), "white", "白色"),
    ((0.75, 0.75, 0.75), "light gray", "浅灰色"),
    ((0.5, 0.5, 0.5), "gray", "灰色"),
    ((0.13, 0.13, 0.15), "black", "黑色"),
    ((0.0, 0.0, 0.0), "black", "黑色"),
)


@dataclass(frozen=True)
class Palette:
    """Colors by role, and the name of the main color.

    Attributes:
        colors: role -> RGB in 0..1; see :class:`glassine.procedural.palette.Part`.
        name: English name of the body's color.
        name_zh: its Chinese name.
    """

    colors: dict[str, RGB]
    name: str
    name_zh: str


def hsv(h: float, s: float, v: float) -> RGB:
    """RGB from hue (modulo 1), saturation and value (clipped to 0..1)."""
    return colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))


def tone(color: RGB, amount: float) -> RGB:
    """Mix a color with white (``amount`` above 0) or black (``amount`` below 0); ``amount`` is in -1..1."""
    if amount >= 0:
        r, g, b = (c + (1 - c) * amount for c in color)
    else:
        r, g, b = (c * (1 + amount) for c in color)
    return r, g, b


def random_palette(rng: np.random.Generator, plain: float = 0.22) -> Palette:
    """Sample a palette.

    Args:
        rng: random generator.
        plain: probability of a white, gray or black body.
    """
    hue = float(rng.choice([rng.uniform(0, 1), rng.uniform(0.08, 0.15)], p=[0.75, 0.25]))
    vivid = float(rng.uniform(0.35, 1.0))
    body = hsv(hue, vivid, rng.uniform(0.7, 1.0))
    names = next((en, zh) for limit, en, zh in _HUES if hue <= limit)
    if rng.random() < plain:
        body, *plain_names = _PLAIN[int(rng.integers(len(_PLAIN)))]
        names = (str(plain_names[0]), str(plain_names[1]))
    step = float(rng.choice([0.08, 0.33, 0.5, -0.12, 0.6]))
    panel = (*(c for c, _, _ in _PLAIN), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5), body)
    whites: tuple[RGB, ...] = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.97, 0.97, 0.95), hsv(hue, 0.08, 1.0))
    darks: tuple[RGB, ...] = ((0.0, 0.0, 0.0), (0.15, 0.13, 0.14), hsv(hue, 0.7, 0.28), (0.3, 0.18, 0.1))
    colors: dict[str, RGB] = {
        "body": body,
        "second": hsv(hue + step, vivid * 0.9, rng.uniform(0.45, 0.95)),
        "accent": hsv(hue - step * 0.8, rng.uniform(0.3, 1.0), rng.uniform(0.75, 1.0)),
        "dark": darks[int(rng.integers(len(darks)))],
        "white": whites[int(rng.integers(len(whites)))],
        "panel": panel[int(rng.integers(len(panel)))],
        "blush": hsv(rng.uniform(0.95, 1.02), 0.5, 1.0),
        "tongue": hsv(rng.uniform(0.95, 1.01), 0.7, rng.uniform(0.8, 1.0)),
        "light": hsv(rng.uniform(0.11, 0.16), rng.uniform(0.5, 0.9), 1.0),
        "clear": hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.6), rng.uniform(0.75, 1.0)),
        "ink": darks[int(rng.integers(len(darks)))],
        "paper": _PLAIN[int(rng.choice([0, 0, 0, 1, 2, 3]))][0],
    }
    return Palette(colors, *names)


@dataclass(frozen=True)
class Part:
    """One shape of a drawing, in object units.

    Attributes:
        outlines: filled by the even-odd rule (an outline inside another is a hole), or lines if ``width`` is above 0.
        role: determines the paint in each style: ``body``, ``second``, ``accent``, ``dark``, ``white``, ``panel`` (an
            enclosed area that may have the color of the background), ``blush``, ``tongue``, ``light``, ``clear`` (glass
            in every style), ``hollow`` (outlined, never filled).
        width: line width.
        closed: whether a line returns to its first point.
        clip: clip the part to the last part with ``base``.
        base: a base part, which gets shading and an outline, and to which details are clipped.
        move: its own movement (see :func:`glassine.procedural.motion.own_move`).
        pivot: center of rotation and scaling in its own movement.
        soft: standard deviation of the feathering of its edge.
        opacity: 0 to 1.
    """

    outlines: tuple[Outline, ...]
    role: str = "body"
    width: float = 0.0
    closed: bool = True
    clip: bool = False
    base: bool = False
    move: str = ""
    pivot: tuple[float, float] = (0.0, 0.0)
    soft: float = 0.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Thing:
    """A drawing with its name in two languages.

    Attributes:
        name: English name, without article.
        name_zh: Chinese name.
        tags: search words in both languages.
        parts: parts from back to front.
        ocr: text visible in the drawing.
    """

    name: str
    name_zh: str
    tags: tuple[str, ...]
    parts: tuple[Part, ...] = field(repr=False)
    ocr: str = ""


def base(*outlines: Outline, role: str = "body", move: str = "", pivot: tuple[float, float] = (0.0, 0.0)) -> Part:
    """A base part."""
    return Part(outlines, role, base=True, move=move, pivot=pivot)


def detail(
    *outlines: Outline,
    role: str = "accent",
    clip: bool = False,
    move: str = "",
    pivot: tuple[float, float] = (0.0, 0.0),
) -> Part:
    """A part on top of a base part."""
    return Part(outlines, role, clip=clip, move=move, pivot=pivot)


def line(
    *outlines: Outline,
    width: float = 0.06,
    role: str = "dark",
    closed: bool = False,
    move: str = "",
    pivot: tuple[float, float] = (0.0, 0.0),
) -> Part:
    """Lines along the outlines."""
    return Part(outlines, role, width=width, closed=closed, move=move, pivot=pivot)

"""Glass objects (vessels, bubbles, gems, lenses) and their semi-transparent paints; words as outlines."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glassine.procedural.canvas import Color, Plane
from glassine.procedural.outlines import Outline, arc, drop, ellipse, heart, points, rectangle, smooth
from glassine.procedural.paint import RGB, Spot, blend
from glassine.procedural.palette import Part, Thing, base, line


@dataclass(frozen=True)
class Glass:
    """A glass body: more transparent in the middle, denser and brighter towards the rim.

    Attributes:
        tint: color of the glass.
        body: opacity in the middle, 0..1.
        rim: opacity at the edge, 0..1.
        softness: width of the rim in object units.
        shine: how far the rim is mixed with white, 0..1.
    """

    tint: RGB
    body: float = 0.25
    rim: float = 0.85
    softness: float = 0.12
    shine: float = 0.5

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The tint mixed with white towards the rim, and alpha times the opacity of the glass."""
        edge = np.clip((1 - spot.depth(self.softness)) * 2, 0, 1)
        edge *= edge
        color = blend(self.tint, (1.0, 1.0, 1.0), edge * np.float32(self.shine))
        return color, spot.mask.alpha * (np.float32(self.body) + np.float32(self.rim - self.body) * edge)


@dataclass(frozen=True)
class Haze:
    """A soft light or cloud: opacity decreases from the center to 0 at the unit circle."""

    inner: RGB
    outer: RGB
    opacity: float = 0.8
    power: float = 1.5

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """Colors from inner to outer, and alpha that decreases outwards."""
        x, y = spot.xy()
        r = np.minimum(np.sqrt(x * x + y * y), 1)
        return blend(self.inner, self.outer, r), spot.mask.alpha * ((1 - r) ** np.float32(self.power) * self.opacity)


def vessel(rng: np.random.Generator) -> Thing:
    """A glass vessel with content."""
    name, name_zh, outline, level = (
        (
            "bottle",
            "玻璃瓶",
            smooth(
                [
                    (-0.18, -0.95),
                    (0.18, -0.95),
                    (0.2, -0.45),
                    (0.5, -0.1),
                    (0.5, 0.8),
                    (0, 0.92),
                    (-0.5, 0.8),
                    (-0.5, -0.1),
                    (-0.2, -0.45),
                ]
            ),
            0.1,
        ),
        (
            "fish bowl",
            "鱼缸",
            smooth([(-0.5, -0.75), (0.5, -0.75), (0.92, 0.05), (0.6, 0.75), (0, 0.88), (-0.6, 0.75), (-0.92, 0.05)]),
            -0.2,
        ),
        ("glass of juice", "一杯果汁", points([(-0.6, -0.85), (0.6, -0.85), (0.45, 0.88), (-0.45, 0.88)]), -0.35),
        ("jar", "玻璃罐", rectangle(-0.65, -0.7, 0.65, 0.9, 0.2), 0.0),
    )[int(rng.integers(4))]
    content = rectangle(-1.1, level, 1.1, 1.1)
    inside = [
        Part((content,), "clear" if rng.random() < 0.5 else "accent", clip=True, opacity=float(rng.uniform(0.5, 1.0)))
    ]
    if name == "fish bowl":
        inside.append(
            Part(
                (smooth([(-0.35, 0.3), (0.05, 0.1), (0.3, 0.28), (0.5, 0.12), (0.5, 0.5), (0.3, 0.34), (0.05, 0.48)]),),
                "second",
                clip=True,
                move="look",
            )
        )
    elif rng.random() < 0.6:
        inside += [
            Part(
                (ellipse(float(rng.uniform(-0.35, 0.35)), float(rng.uniform(level + 0.2, 0.7)), 0.07, n=18),),
                "white",
                clip=True,
                move="rise",
                opacity=0.7,
            )
            for _ in range(4)
        ]
    lid = [base(rectangle(-0.62, -0.92, 0.62, -0.68, 0.06), role="second")] if name == "jar" else []
    return Thing(name, name_zh, ("glass", name, "玻璃", name_zh), (Part((outline,), "clear", base=True), *inside, *lid))


def bubble(rng: np.random.Generator) -> Thing:
    """An object made entirely of glass: soap bubble, water drop, jelly, gem, heart, ice cube or jellyfish."""
    name, name_zh, outline = (
        ("soap bubble", "肥皂泡", ellipse(n=72)),
        ("water drop", "水滴", drop()),
        ("jelly", "果冻", smooth([(-0.5, -0.6), (0.5, -0.6), (0.85, 0.65), (0, 0.8), (-0.85, 0.65)])),
        ("gem", "宝石", points([(-0.55, -0.7), (0.55, -0.7), (0.95, -0.2), (0, 0.9), (-0.95, -0.2)])),
        ("glass heart", "玻璃心", heart()),
        ("ice cube", "冰块", rectangle(-0.8, -0.8, 0.8, 0.8, 0.25)),
        (
            "jellyfish",
            "水母",
            np.concatenate(
                [
                    arc(0, 0, 0.8, 0.75, 0.5, 1.0, 32),
                    smooth(
                        [(0.8, 0.0), (0.4, 0.12), (0.0, 0.05), (-0.4, 0.12), (-0.8, 0.0)], closed=False, per_corner=4
                    ),
                ]
            ),
        ),
    )[int(rng.integers(7))]
    parts: list[Part] = []
    if name == "jellyfish":
        parts += [
            Part(
                (smooth([(x, 0.05), (x + 0.08, 0.4), (x - 0.06, 0.7), (x + 0.04, 0.98)], closed=False),),
                "clear",
                width=0.07,
                closed=False,
                move="sway",
                pivot=(x, 0),
            )
            for x in (-0.5, -0.2, 0.1, 0.4)
        ]
    parts.append(Part((outline,), "clear", base=True))
    if name == "gem":
        parts += [
            line(
                points([(-0.95, -0.2), (0.95, -0.2)]),
                points([(-0.3, -0.2), (0, 0.9), (0.3, -0.2), (0, -0.7), (-0.3, -0.2)]),
                width=0.025,
                role="white",
            )
        ]
    return Thing(name, name_zh, ("glass", "transparent", name, "透明", name_zh), tuple(parts))


def magnifier(_: np.random.Generator) -> Thing:
    """A magnifying glass."""
    return Thing(
        "magnifying glass",
        "放大镜",
        ("search", "glass", "放大镜", "搜索"),
        (
            line(points([(0.35, 0.35), (0.88, 0.88)]), width=0.2, role="second"),
            Part((ellipse(-0.15, -0.15, 0.62, n=56),), "clear"),
            line(ellipse(-0.15, -0.15, 0.66, n=56), width=0.13, role="body", closed=True),
        ),
    )


GLASSWARE = (vessel, vessel, bubble, bubble, bubble, magnifier)


_EM = 128  # font size in pixels at which letters are traced
WORDS = (
    "OK",
    "LOL",
    "WOW",
    "HI",
    "YES",
    "NO",
    "LOVE",
    "GO!",
    "?!",
    "ZZZ",
    "100",
    "BYE",
    "COOL",
    "NICE",
    "OMG",
    "YAY",
    "HAHA",
    "HEY",
    "BOO",
    "THX",
    "GG",
    "SALE",
    "NEW",
    "PARTY",
    "HAPPY",
    "Hello",
    "Sorry",
    "Wait",
    "Thanks",
    "Good",
    "2026",
    "24/7",
    "&",
)


@lru_cache(maxsize=128)
def letter(character: str) -> tuple[tuple[Outline, ...], float]:
    """The outlines of one letter (line height 1, baseline near 0.3) and its advance, in Pillow's default font."""
    font = ImageFont.load_default(_EM)
    advance = float(font.getlength(character))
    image = Image.new("L", (int(advance) + _EM // 2, int(_EM * 1.4)))
    ImageDraw.Draw(image).text((_EM // 8, 0), character, fill=255, font=font)
    found, _ = cv2.findContours((np.asarray(image) > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = []
    for contour in found:
        if len(contour) >= 6:
            xy = cv2.approxPolyDP(contour, 0.6, True)[:, 0] - np.asarray([_EM / 8, _EM * 0.65])
            outlines.append((xy / _EM).astype(np.float32))
    return tuple(outlines), advance / _EM


def word(rng: np.random.Generator) -> Thing:
    """A word, in which each letter is a base part; sometimes on a bar."""
    text = str(rng.choice(WORDS))
    traced = [letter(c) for c in text]
    total = sum(advance for _, advance in traced)
    scale = min(1.9 / total, 1.5)
    move = str(rng.choice(["", "beat", "sway", "wave"]))
    parts: list[Part] = []
    if rng.random() < 0.3:
        parts.append(
            Part(
                (rectangle(-1.0, -scale * 0.62, 1.0, scale * 0.55, scale * 0.3),),
                str(rng.choice(["panel", "second", "white"])),
                base=True,
            )
        )
    x = -total * scale / 2
    colors = (
        ["body"] * len(text) if rng.random() < 0.6 else [("body", "accent", "second")[k % 3] for k in range(len(text))]
    )
    for (outlines, advance), role in zip(traced, colors, strict=True):
        shift = np.asarray([x, 0], np.float32)
        x += advance * scale
        if outlines:
            parts.append(
                Part(
                    tuple(o * np.float32(scale) + shift for o in outlines),
                    role,
                    base=True,
                    move=move,
                    pivot=(x - advance * scale / 2, 0),
                )
            )
    return Thing(f'word "{text}"', f"文字“{text}”", (text, "text", "文字"), tuple(parts), ocr=text)

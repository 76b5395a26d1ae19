"""Things of glass: vessels with something in them, bubbles, gems, lenses."""

import numpy as np

from glassine.data.sources.procedural.outlines import arc, drop, ellipse, heart, points, rectangle, smooth
from glassine.data.sources.procedural.parts import Part, Thing, base, line


def vessel(rng: np.random.Generator) -> Thing:
    """A glass vessel with something in it."""
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
    """Soap bubbles, a gem, a jelly, a drop, a marble: glass all over."""
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

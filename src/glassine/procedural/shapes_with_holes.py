"""Objects with real holes and thin parts."""

import numpy as np

from glassine.procedural.outlines import (
    arc,
    ellipse,
    flower,
    gear,
    heart,
    place,
    points,
    polygon,
    rectangle,
    smooth,
    star,
)
from glassine.procedural.palette import Part, Thing, base, detail, line

_PIERCED = {
    "donut": "甜甜圈",
    "gear": "齿轮",
    "ring": "圆环",
    "heart frame": "心形框",
    "star frame": "星形框",
    "picture frame": "相框",
    "washer": "垫圈",
}


def pierced(rng: np.random.Generator) -> Thing:
    """A shape with one hole: donut, gear, frames."""
    name = str(rng.choice(list(_PIERCED)))
    inner = float(rng.uniform(0.3, 0.8))
    outer, hole = {
        "donut": (ellipse(n=64), ellipse(rx=min(inner, 0.5), n=48)),
        "gear": (gear(int(rng.integers(7, 13))), ellipse(rx=min(inner, 0.5), n=40)),
        "ring": (ellipse(n=64), ellipse(rx=max(inner, 0.7), n=56)),
        "heart frame": (heart(), heart() * np.float32(inner)),
        "star frame": (star(5, 0.55), star(5, 0.55) * np.float32(min(inner, 0.65))),
        "picture frame": (
            rectangle(-0.9, -0.75, 0.9, 0.75, 0.1),
            rectangle(-inner, -inner * 0.78, inner, inner * 0.78),
        ),
        "washer": (polygon(6), ellipse(rx=min(inner, 0.6), n=40)),
    }[name]
    parts = [base(outer, hole)]
    if name == "donut":
        edge = 0.5 * (1 + min(inner, 0.5))
        parts.append(detail(flower(9, 0.12) * np.float32(0.9), ellipse(rx=min(inner, 0.5) + 0.07, n=48)))
        for k in range(12):
            x, y = edge * np.cos(k * 0.5236), edge * np.sin(k * 0.5236)
            parts.append(
                line(
                    place(points([(-0.06, 0), (0.06, 0)]), x, y, 1, turn=float(rng.random())),
                    width=0.05,
                    role=("light", "white", "second")[k % 3],
                )
            )
    return Thing(name, _PIERCED[name], (name, "hole", _PIERCED[name], "镂空"), tuple(parts))


def glasses(rng: np.random.Generator) -> Thing:
    """Spectacles: thin rims around open or tinted glass."""
    r = rng.uniform(0.36, 0.43)
    rims = [line(ellipse(s * 0.5, 0, r, r * 0.9, 48), width=0.1, role="body", closed=True) for s in (-1, 1)]
    panes = [Part((ellipse(s * 0.5, 0, r, r * 0.9, 48),), "clear") for s in (-1, 1)] if rng.random() < 0.5 else []
    arms = [line(points([(s * (0.5 + r), -0.05), (s * 1.0, -0.2)]), width=0.08, role="body") for s in (-1, 1)]
    return Thing(
        "pair of glasses",
        "眼镜",
        ("glasses", "眼镜"),
        (*panes, *arms, line(arc(0, 0, 0.14, 0.1, 0.5, 1.0, 12), width=0.09, role="body"), *rims),
    )


def key(_: np.random.Generator) -> Thing:
    """A key with a hole in its bow."""
    return Thing(
        "key",
        "钥匙",
        ("key", "unlock", "钥匙", "开锁"),
        (
            base(points([(-0.1, -0.25), (0.1, -0.25), (0.1, 0.95), (-0.1, 0.95)])),
            base(ellipse(0, -0.55, 0.42, n=48), ellipse(0, -0.55, 0.22, n=36)),
            detail(rectangle(0.05, 0.5, 0.38, 0.62), role="body"),
            detail(rectangle(0.05, 0.75, 0.3, 0.87), role="body"),
        ),
    )


def padlock(_: np.random.Generator) -> Thing:
    """A padlock, whose shackle encloses background."""
    shackle = line(
        np.concatenate([points([(-0.4, 0)]), arc(0, -0.35, 0.4, 0.5, 0.5, 1.0, 28), points([(0.4, 0)])]),
        width=0.16,
        role="second",
    )
    return Thing(
        "padlock",
        "挂锁",
        ("lock", "secure", "锁", "安全"),
        (
            shackle,
            base(rectangle(-0.68, -0.1, 0.68, 0.92, 0.15)),
            detail(ellipse(0, 0.3, 0.13, n=28), role="dark"),
            detail(points([(-0.06, 0.35), (0.06, 0.35), (0.1, 0.65), (-0.1, 0.65)]), role="dark"),
        ),
    )


def lattice(rng: np.random.Generator) -> Thing:
    """Thin crossing lines: a net, a spider web, a wheel with spokes or a ladder."""
    name, name_zh = (("net", "网"), ("spider web", "蜘蛛网"), ("wheel", "车轮"), ("ladder", "梯子"))[
        int(rng.integers(4))
    ]
    w = float(rng.uniform(0.025, 0.09))
    lines: list[Part]
    if name == "net":
        n = int(rng.integers(3, 7))
        at = np.linspace(-0.85, 0.85, n)
        lines = [
            line(
                *(points([(x, -0.9), (x, 0.9)]) for x in at),
                *(points([(-0.9, y), (0.9, y)]) for y in at),
                width=w,
                role="body",
            )
        ]
    elif name == "ladder":
        lines = [
            line(
                points([(-0.4, -1), (-0.5, 1)]),
                points([(0.4, -1), (0.5, 1)]),
                *(points([(-0.45, y), (0.45, y)]) for y in np.linspace(-0.8, 0.8, 6)),
                width=w * 1.6,
                role="body",
            )
        ]
    else:
        n = int(rng.integers(6, 13))
        spokes = [place(points([(0, 0), (0, -0.95)]), turn=k / n) for k in range(n)]
        rings = (
            [polygon(n) * np.float32(r) for r in (0.3, 0.55, 0.8)] if name == "spider web" else [ellipse(rx=0.95, n=56)]
        )
        lines = [
            line(*spokes, width=w, role="body"),
            line(
                *rings,
                width=w * (1 if name == "spider web" else 2.5),
                role="body" if name == "spider web" else "second",
                closed=True,
            ),
        ]
        if name == "wheel":
            lines.append(base(ellipse(rx=0.15, n=28), role="second"))
    return Thing(name, name_zh, (name, "thin lines", name_zh, "细线"), tuple(lines))


def cup(rng: np.random.Generator) -> Thing:
    """A mug whose handle encloses background, sometimes with rising steam."""
    body = smooth([(-0.65, -0.35), (0.45, -0.35), (0.4, 0.75), (-0.1, 0.88), (-0.6, 0.75)], per_corner=6)
    steam = [
        Part(
            (smooth([(x, -0.5), (x + 0.1, -0.65), (x - 0.06, -0.8), (x + 0.05, -0.98)], closed=False),),
            "white",
            width=0.08,
            closed=False,
            move="rise",
            soft=0.04,
            opacity=0.6,
        )
        for x in (-0.35, -0.1, 0.15)
    ]
    return Thing(
        "cup of coffee",
        "一杯咖啡",
        ("coffee", "drink", "咖啡", "饮料"),
        (
            *(steam if rng.random() < 0.7 else []),
            line(arc(0.5, 0.15, 0.35, 0.3, -0.28, 0.28, 24), width=0.12, role="body"),
            base(body),
            detail(ellipse(-0.1, -0.33, 0.53, 0.12, 40), role="second"),
            detail(ellipse(-0.1, -0.3, 0.45, 0.08, 36), role="dark"),
        ),
    )


SHAPES_WITH_HOLES = (pierced, pierced, glasses, key, padlock, lattice, lattice, cup)

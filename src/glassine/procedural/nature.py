"""Plants, weather, fruit, a butterfly, and plain emblems."""

import numpy as np

from glassine.procedural.outlines import (
    arc,
    cloud,
    crescent,
    drop,
    ellipse,
    flower,
    heart,
    mirror,
    place,
    points,
    polygon,
    rectangle,
    smooth,
    star,
)
from glassine.procedural.palette import Part, Thing, base, detail, line


def emblem(rng: np.random.Generator) -> Thing:
    """One plain shape: heart, star, drop, moon, lightning, leaf, diamond, arrow, badge."""
    bolt = points([(0.15, -1), (-0.6, 0.15), (-0.08, 0.15), (-0.25, 1), (0.6, -0.25), (0.08, -0.25), (0.45, -1)])
    arrow = points([(-0.9, -0.3), (0.1, -0.3), (0.1, -0.75), (0.95, 0), (0.1, 0.75), (0.1, 0.3), (-0.9, 0.3)])
    leaf = smooth([(0, -1), (0.5, -0.3), (0.4, 0.45), (0, 0.9), (-0.4, 0.45), (-0.5, -0.3)])
    shapes = {
        "heart": ("爱心", heart()),
        "star": ("星星", star(5, rng.uniform(0.4, 0.6))),
        "water drop": ("水滴", drop()),
        "moon": ("月亮", crescent(rng.uniform(0.4, 0.7))),
        "lightning bolt": ("闪电", bolt),
        "leaf": ("叶子", leaf),
        "diamond": ("菱形", place(polygon(4), 0, 0, 0.75, 1)),
        "arrow": ("箭头", arrow),
        "badge": ("徽章", flower(int(rng.integers(8, 18)), 0.12)),
        "hexagon": ("六边形", polygon(6)),
    }
    name = str(rng.choice(list(shapes)))
    name_zh, outline = shapes[name]
    parts: list[Part] = [base(outline)]
    if name == "leaf":
        parts.append(line(points([(0, -0.8), (0, 1.0)]), width=0.06, role="second"))
    elif name in ("heart", "star", "badge", "hexagon") and rng.random() < 0.5:
        parts.append(
            detail(outline * np.float32(rng.uniform(0.5, 0.75)), role=str(rng.choice(["accent", "panel", "white"])))
        )
    return Thing(name, name_zh, (name, name_zh), tuple(parts))


def sun(rng: np.random.Generator) -> Thing:
    """A sun with turning rays."""
    n = int(rng.integers(7, 13))
    rays = tuple(place(points([(-0.12, -0.68), (0.12, -0.68), (0, -1)]), turn=k / n) for k in range(n))
    return Thing(
        "sun",
        "太阳",
        ("sun", "weather", "太阳", "天气"),
        (Part(rays, "accent", move="spin"), base(ellipse(rx=0.6, n=56))),
    )


def rain_cloud(rng: np.random.Generator) -> Thing:
    """A white or colored cloud with falling drops."""
    drops = [
        Part(
            (place(drop(), x, 0.62 + 0.1 * (k % 2), 0.1, 0.16),),
            "clear" if rng.random() < 0.5 else "second",
            move="beat",
            pivot=(x, 0.62),
        )
        for k, x in enumerate((-0.45, 0.0, 0.45))
    ]
    return Thing(
        "rain cloud", "雨云", ("cloud", "rain", "云", "雨"), (*drops, base(place(cloud(rng), 0, -0.15), role="white"))
    )


def rainbow(_: np.random.Generator) -> Thing:
    """A rainbow on two clouds, with transparent space below."""
    bands = [
        line(arc(0, 0.5, r, r, 0.5, 1.0, 32), width=0.17, role=role)
        for r, role in ((0.9, "tongue"), (0.74, "light"), (0.58, "second"), (0.42, "body"))
    ]
    feet = [base(place(ellipse(0, 0, 0.32, 0.2, 32), s * 0.66, 0.55), role="white") for s in (-1, 1)]
    return Thing("rainbow", "彩虹", ("rainbow", "彩虹", "天空"), (*bands, *feet))


def blossom(rng: np.random.Generator) -> Thing:
    """A flower on a stem."""
    n = int(rng.integers(5, 9))
    petals = tuple(
        base(place(ellipse(0, -0.36, 0.2, 0.3, 28), 0, -0.3, 1, turn=k / n), role="body", move="sway", pivot=(0, -0.3))
        for k in range(n)
    )
    stem = line(smooth([(0, -0.1), (0.06, 0.4), (0, 0.98)], closed=False), width=0.09, role="second")
    leaf = base(
        place(smooth([(0, 0), (0.25, -0.15), (0.5, 0), (0.25, 0.13)]), 0.03, 0.65, 1, turn=-0.06), role="second"
    )
    return Thing(
        "flower",
        "花",
        ("flower", "plant", "花", "植物"),
        (stem, leaf, *petals, detail(ellipse(0, -0.3, 0.2, n=32), role="light")),
    )


def tree(_: np.random.Generator) -> Thing:
    """A Christmas tree with balls and a star."""
    tiers = [base(points([(-w, y), (0, y - 0.65), (w, y)])) for w, y in ((0.7, 0.65), (0.55, 0.25), (0.4, -0.15))]
    balls = [
        detail(ellipse(x, y, 0.07, n=18), role=role, move="beat", pivot=(x, y))
        for x, y, role in (
            (-0.3, 0.5, "tongue"),
            (0.25, 0.45, "light"),
            (0.05, 0.1, "accent"),
            (-0.05, -0.25, "tongue"),
        )
    ]
    return Thing(
        "fir tree",
        "圣诞树",
        ("tree", "christmas", "树", "圣诞"),
        (
            base(rectangle(-0.12, 0.6, 0.12, 0.97), role="second"),
            *tiers,
            *balls,
            detail(place(star(), 0, -0.8, 0.18), role="light", move="spin", pivot=(0, -0.8)),
        ),
    )


def mushroom(rng: np.random.Generator) -> Thing:
    """A spotted mushroom with a pale stem."""
    cap = np.concatenate([arc(0, 0.1, 0.95, 0.95, 0.5, 1.0, 36), arc(0, 0.1, 0.95, 0.2, 0.0, 0.5, 24)])
    spots = [
        detail(ellipse(x, y, r, r * 0.85, 28), role="white", clip=True)
        for x, y, r in ((-0.4, -0.3, 0.2), (0.35, -0.45, 0.16), (0.05, 0.0, 0.14), (0.72, -0.1, 0.14))
    ]
    stem = smooth([(-0.25, 0.1), (0.25, 0.1), (0.36, 0.85), (0, 0.95), (-0.36, 0.85)])
    return Thing("mushroom", "蘑菇", ("mushroom", "蘑菇", "植物"), (base(stem, role="white"), base(cap), *spots))


def fruit(rng: np.random.Generator) -> Thing:
    """An apple or an orange with a leaf."""
    name, name_zh = (("apple", "苹果"), ("orange", "橙子"))[int(rng.integers(2))]
    body = (
        smooth(
            [(0, -0.45), (0.5, -0.62), (0.88, -0.1), (0.6, 0.75), (0, 0.85), (-0.6, 0.75), (-0.88, -0.1), (-0.5, -0.62)]
        )
        if name == "apple"
        else ellipse(0, 0.1, 0.82, n=64)
    )
    leaf = base(
        place(smooth([(0, 0), (0.22, -0.16), (0.5, -0.02), (0.22, 0.13)]), 0.02, -0.62, 1, turn=-0.05),
        role="second",
        move="sway",
        pivot=(0, -0.6),
    )
    stem = line(smooth([(0, -0.4), (0.02, -0.7), (0.1, -0.95)], closed=False), width=0.08)
    return Thing(name, name_zh, (name, "fruit", name_zh, "水果"), (base(body), stem, leaf))


def watermelon(_: np.random.Generator) -> Thing:
    """A slice of watermelon."""
    rind, pale, flesh = (
        np.concatenate([points([(-r, -0.35), (r, -0.35)]), arc(0, -0.35, r, r * 1.05, 0.01, 0.49, 32)])
        for r in (0.97, 0.86, 0.78)
    )
    seeds = [
        detail(place(drop(), x, y, 0.05, 0.08), role="dark")
        for x, y in ((-0.4, -0.12), (0, -0.05), (0.4, -0.12), (-0.2, 0.2), (0.22, 0.2))
    ]
    return Thing(
        "watermelon",
        "西瓜",
        ("watermelon", "fruit", "西瓜", "水果"),
        (base(rind, role="second"), detail(pale, role="white"), detail(flesh, role="body"), *seeds),
    )


def butterfly(_: np.random.Generator) -> Thing:
    """A butterfly with moving wings."""
    upper = smooth([(0.05, -0.1), (0.55, -0.85), (0.98, -0.6), (0.8, -0.05)])
    lower = smooth([(0.05, 0.0), (0.7, 0.1), (0.72, 0.65), (0.3, 0.7)])
    wings: list[Part] = []
    for flip in (False, True):
        a, b = (mirror(upper), mirror(lower)) if flip else (upper, lower)
        wings += [
            base(b, role="second", move="sway"),
            base(a, move="sway"),
            detail(place(a, a[:, 0].mean() * 0.45, a[:, 1].mean() * 0.45, 0.55), role="accent", move="sway"),
        ]
    feelers = [
        line(smooth([(0, -0.35), (s * 0.12, -0.65), (s * 0.3, -0.8)], closed=False), width=0.03) for s in (-1, 1)
    ]
    return Thing(
        "butterfly",
        "蝴蝶",
        ("butterfly", "insect", "蝴蝶", "昆虫"),
        (*wings, *feelers, detail(ellipse(0, 0.05, 0.09, 0.45, 32), role="dark")),
    )


NATURE = (emblem, emblem, sun, rain_cloud, rainbow, blossom, tree, mushroom, fruit, watermelon, butterfly)

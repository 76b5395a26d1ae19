"""Manufactured objects: cakes, toys, houses, vehicles."""

import numpy as np

from glassine.procedural.outlines import arc, drop, ellipse, place, points, rectangle, smooth
from glassine.procedural.palette import Part, Thing, base, detail, line


def cake(_: np.random.Generator) -> Thing:
    """A cake with icing and burning candles."""
    drips = [
        (0.8, -0.1),
        (0.75, 0.15),
        (0.5, 0.02),
        (0.25, 0.25),
        (0.0, 0.05),
        (-0.3, 0.28),
        (-0.55, 0.02),
        (-0.75, 0.2),
        (-0.8, -0.1),
    ]
    icing = np.concatenate([points([(-0.8, -0.22), (0.8, -0.22)]), smooth(drips, closed=False, per_corner=6)])
    candles: list[Part] = []
    for x in (-0.4, 0.0, 0.4):
        candles.append(base(rectangle(x - 0.05, -0.6, x + 0.05, -0.2, 0.03), role="accent"))
        candles.append(Part((place(drop(), x, -0.75, 0.09, 0.17),), "light", move="beat", pivot=(x, -0.65), soft=0.02))
    return Thing(
        "birthday cake",
        "生日蛋糕",
        ("cake", "birthday", "蛋糕", "生日"),
        (
            *candles,
            base(rectangle(-0.8, -0.2, 0.8, 0.75, 0.12)),
            detail(icing, role="white"),
            detail(rectangle(-0.8, 0.45, 0.8, 0.55), role="second"),
            base(rectangle(-0.95, 0.72, 0.95, 0.85, 0.06), role="white"),
        ),
    )


def ice_cream(_: np.random.Generator) -> Thing:
    """Scoops in a cone."""
    cone = points([(-0.42, 0.0), (0.42, 0.0), (0.0, 0.98)])
    grid = [
        line(points([(x, 0.0), (x + d, 0.8)]), width=0.03, role="accent")
        for x, d in ((-0.25, 0.28), (0.0, 0.22), (0.25, -0.28), (0.0, -0.22))
    ]
    scoops = [
        base(ellipse(0, -0.15, 0.5, 0.42, 48), role="body"),
        base(ellipse(0, -0.58, 0.38, 0.36, 44), role="white"),
    ]
    return Thing(
        "ice cream",
        "冰淇淋",
        ("ice cream", "dessert", "冰淇淋", "甜点"),
        (base(cone, role="second"), *grid, *scoops, detail(ellipse(0.05, -0.93, 0.1, n=24), role="tongue")),
    )


def gift(_: np.random.Generator) -> Thing:
    """A wrapped box with a bow."""
    bow = [
        base(smooth([(0, -0.35), (s * 0.35, -0.85), (s * 0.62, -0.55)]), role="accent", move="sway", pivot=(0, -0.35))
        for s in (-1, 1)
    ]
    return Thing(
        "gift",
        "礼物",
        ("gift", "present", "礼物", "惊喜"),
        (
            *bow,
            base(rectangle(-0.7, -0.1, 0.7, 0.9, 0.05)),
            base(rectangle(-0.82, -0.38, 0.82, -0.06, 0.06)),
            detail(rectangle(-0.12, -0.38, 0.12, 0.9), role="accent"),
        ),
    )


def balloon(rng: np.random.Generator) -> Thing:
    """A balloon on a string; translucent in some styles."""
    skin = str(rng.choice(["body", "clear"]))
    body = smooth([(0, -0.98), (0.52, -0.7), (0.56, -0.2), (0.12, 0.38), (-0.12, 0.38), (-0.56, -0.2), (-0.52, -0.7)])
    string = line(
        smooth([(0, 0.45), (0.08, 0.65), (-0.05, 0.8), (0.03, 0.99)], closed=False),
        width=0.025,
        move="sway",
        pivot=(0, 0.45),
    )
    return Thing(
        "balloon",
        "气球",
        ("balloon", "party", "气球", "派对"),
        (string, base(body, role=skin), base(points([(-0.09, 0.48), (0.09, 0.48), (0, 0.35)]), role=skin)),
    )


def house(_: np.random.Generator) -> Thing:
    """A house whose windows may have the color of the background."""
    windows = [detail(rectangle(x, 0.05, x + 0.28, 0.35), role="panel") for x in (-0.5, 0.22)]
    bars = [line(points([(x + 0.14, 0.05), (x + 0.14, 0.35)]), width=0.03) for x in (-0.5, 0.22)]
    return Thing(
        "house",
        "房子",
        ("house", "home", "房子", "家"),
        (
            base(rectangle(0.35, -0.85, 0.55, -0.3), role="second"),
            base(rectangle(-0.7, -0.2, 0.7, 0.9)),
            base(points([(-0.92, -0.12), (0, -0.9), (0.92, -0.12)]), role="accent"),
            *windows,
            *bars,
            detail(rectangle(-0.15, 0.42, 0.15, 0.9, 0.06), role="second"),
        ),
    )


def rocket(_: np.random.Generator) -> Thing:
    """A rocket with a flickering flame."""
    body = smooth([(0, -1), (0.36, -0.45), (0.32, 0.45), (-0.32, 0.45), (-0.36, -0.45)])
    fins = [base(points([(s * 0.28, 0.05), (s * 0.7, 0.6), (s * 0.28, 0.45)]), role="accent") for s in (-1, 1)]
    flames = [
        Part((place(drop() * np.float32(-1), 0, 0.68, w, h),), role, move="talk", pivot=(0, 0.45), soft=0.02)
        for w, h, role in ((0.3, 0.3, "tongue"), (0.18, 0.2, "light"))
    ]
    return Thing(
        "rocket",
        "火箭",
        ("rocket", "space", "火箭", "太空"),
        (
            *flames,
            *fins,
            base(body, role="white"),
            detail(ellipse(0, -0.3, 0.16, n=32), role="second"),
            detail(ellipse(0, -0.3, 0.1, n=28), role="panel"),
            detail(rectangle(-0.4, 0.2, 0.4, 0.34), role="accent", clip=True),
        ),
    )


def car(_: np.random.Generator) -> Thing:
    """A car with transparent windows and turning wheels."""
    body = smooth(
        [(-0.95, 0.2), (-0.85, -0.1), (-0.3, -0.15), (0.6, -0.15), (0.95, 0.1), (0.95, 0.45), (0, 0.48), (-0.95, 0.45)]
    )
    cabin = points([(-0.5, -0.12), (-0.3, -0.6), (0.35, -0.6), (0.6, -0.12)])
    window = [
        points([(-0.36, -0.16), (-0.23, -0.5), (0.0, -0.5), (0.0, -0.16)]),
        points([(0.08, -0.16), (0.08, -0.5), (0.28, -0.5), (0.46, -0.16)]),
    ]
    wheels: list[Part] = []
    for x in (-0.5, 0.5):
        wheels += [
            base(ellipse(x, 0.5, 0.24, n=36), role="dark"),
            detail(ellipse(x, 0.5, 0.11, n=24), role="white"),
            line(points([(x - 0.1, 0.5), (x + 0.1, 0.5)]), width=0.04, move="spin", pivot=(x, 0.5)),
        ]
    return Thing(
        "car",
        "汽车",
        ("car", "vehicle", "汽车", "交通"),
        (
            base(cabin, *window),
            Part(tuple(window), "clear"),
            base(body),
            *wheels,
            detail(ellipse(-0.85, 0.15, 0.08, n=20), role="light"),
        ),
    )


def boat(_: np.random.Generator) -> Thing:
    """A sailboat."""
    hull = smooth([(-0.9, 0.35), (0.9, 0.35), (0.6, 0.85), (-0.6, 0.85)], per_corner=4)
    sails = [
        base(points([(0.05, -0.95), (0.05, 0.2), (0.75, 0.2)]), role="white"),
        base(points([(-0.08, -0.7), (-0.08, 0.2), (-0.6, 0.2)]), role="accent"),
    ]
    return Thing(
        "sailing boat",
        "帆船",
        ("boat", "sea", "船", "海"),
        (line(points([(0, -0.98), (0, 0.4)]), width=0.06, role="second"), *sails, base(hull)),
    )


def bell(_: np.random.Generator) -> Thing:
    """A swinging bell."""
    body = smooth(
        [(-0.85, 0.55), (-0.6, 0.2), (-0.5, -0.4), (0, -0.8), (0.5, -0.4), (0.6, 0.2), (0.85, 0.55), (0, 0.66)]
    )
    return Thing(
        "bell",
        "铃铛",
        ("bell", "alarm", "铃铛", "提醒"),
        (
            detail(ellipse(0, 0.68, 0.2, n=28), role="second", move="wave", pivot=(0, -0.8)),
            base(body),
            line(arc(0, -0.85, 0.12, 0.12, 0.0, 0.96, 18), width=0.06, closed=True),
        ),
    )


def crown(_: np.random.Generator) -> Thing:
    """A crown with gems."""
    body = points([(-0.9, 0.6), (-0.98, -0.4), (-0.45, 0.05), (0, -0.7), (0.45, 0.05), (0.98, -0.4), (0.9, 0.6)])
    gems = [
        detail(ellipse(x, 0.38, 0.1, n=20), role=role, move="beat", pivot=(x, 0.38))
        for x, role in ((-0.5, "tongue"), (0, "second"), (0.5, "tongue"))
    ]
    return Thing(
        "crown",
        "皇冠",
        ("crown", "king", "皇冠", "国王"),
        (
            base(body),
            *gems,
            *(detail(ellipse(x, y, 0.09, n=20), role="light") for x, y in ((-0.98, -0.45), (0, -0.76), (0.98, -0.45))),
        ),
    )


OBJECTS = (cake, ice_cream, gift, balloon, house, rocket, car, boat, bell, crown)

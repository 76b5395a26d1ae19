"""Objects with faces: smileys, animals, ghosts, robots, monsters."""

import numpy as np

from glassine.procedural.actor import MOODS, features
from glassine.procedural.outlines import arc, blob, ellipse, mirror, place, points, rectangle, smooth
from glassine.procedural.palette import Part, Thing, base, detail, line


def smiley(rng: np.random.Generator) -> Thing:
    """A round or square face."""
    mood, face = features(rng)
    round_face = rng.random() < 0.8
    head = ellipse(n=72) if round_face else rectangle(-0.92, -0.92, 0.92, 0.92, 0.35)
    kind, kind_zh = ("round face", "圆脸") if round_face else ("square face", "方脸")
    return Thing(
        f"{mood} {kind}", f"{MOODS[mood]}的{kind_zh}", (mood, "face", MOODS[mood], "表情"), (base(head), *face)
    )


_ANIMALS = {
    "cat": "小猫",
    "bear": "小熊",
    "rabbit": "兔子",
    "panda": "熊猫",
    "frog": "青蛙",
    "dog": "小狗",
    "pig": "小猪",
    "mouse": "老鼠",
}


def animal(rng: np.random.Generator) -> Thing:
    """The head of an animal."""
    kind = str(rng.choice(list(_ANIMALS)))
    mood, face = features(rng, 0.08, 0.85)
    head = smooth(
        [(0, -0.68), (0.62, -0.5), (0.9, 0.05), (0.66, 0.6), (0, 0.78), (-0.66, 0.6), (-0.9, 0.05), (-0.62, -0.5)]
    )
    back: list[Part] = []
    front: list[Part] = []
    for side in (-1, 1):
        near = (side * 0.55, -0.45)
        if kind == "cat":
            ear = points([(0.25, -0.5), (0.78, -0.98), (0.84, -0.1)])
            back.append(base(ear if side > 0 else mirror(ear), move="sway", pivot=near))
            front += [
                line(points([(side * 0.45, y), (side * 1.02, y + dy)]), width=0.025)
                for y, dy in ((0.28, -0.05), (0.36, 0.06))
            ]
        elif kind in ("bear", "panda", "mouse"):
            r = 0.42 if kind == "mouse" else 0.3
            ear_role = "dark" if kind == "panda" else "body"
            back.append(base(ellipse(side * 0.62, -0.58, r, n=32), role=ear_role))
            back.append(
                detail(ellipse(side * 0.62, -0.58, r * 0.55, n=24), role=ear_role if kind == "panda" else "accent")
            )
        elif kind == "rabbit":
            ear = place(ellipse(0, -0.5, 0.2, 0.58, 36), side * 0.38, -0.42, 0.85, turn=side * 0.03)
            back.append(base(ear, move="sway", pivot=(side * 0.38, -0.42)))
            back.append(
                detail(
                    place(ellipse(0, -0.5, 0.1, 0.42, 28), side * 0.38, -0.42, 0.85, turn=side * 0.03),
                    role="accent",
                    move="sway",
                    pivot=(side * 0.38, -0.42),
                )
            )
        elif kind == "dog":
            front.append(
                base(
                    place(ellipse(0, 0.35, 0.22, 0.45, 32), side * 0.78, -0.4, 1, turn=-side * 0.05),
                    role="second",
                    move="sway",
                    pivot=(side * 0.75, -0.4),
                )
            )
        elif kind == "frog":
            back.append(base(ellipse(side * 0.48, -0.62, 0.3, n=32)))
        else:
            back.append(base(points([(side * 0.3, -0.55), (side * 0.75, -0.88), (side * 0.72, -0.25)]), role="accent"))
    marks: list[Part] = []
    if kind == "panda":
        marks = [detail(ellipse(s * 0.36, -0.02, 0.27, 0.32, 28), role="dark", clip=True) for s in (-1, 1)]
    elif kind in ("bear", "dog", "mouse"):
        marks = [detail(ellipse(0, 0.42, 0.42, 0.3, 32), role="white", clip=True)]
    if kind == "pig":
        front += [
            detail(ellipse(0, 0.2, 0.3, 0.2, 32), role="accent"),
            *(detail(ellipse(s * 0.11, 0.2, 0.05, 0.08, 14), role="dark") for s in (-1, 1)),
        ]
    elif kind != "frog":
        front.append(
            detail(smooth([(-0.11, 0.16), (0.11, 0.16), (0, 0.28)]), role="dark" if kind != "rabbit" else "tongue")
        )
    parts = (*back, base(head, role="white" if kind == "panda" else "body"), *marks, *face, *front)
    return Thing(f"{mood} {kind}", f"{MOODS[mood]}的{_ANIMALS[kind]}", (mood, kind, MOODS[mood], _ANIMALS[kind]), parts)


def ghost(rng: np.random.Generator) -> Thing:
    """A ghost with a wavy hem."""
    mood, face = features(rng, -0.15, 0.7)
    hem = [(0.75 - 0.25 * i, 0.92 - 0.2 * (i % 2)) for i in range(7)]
    outline = np.concatenate([arc(0, -0.1, 0.75, 0.85, 0.5, 1.0, 32), smooth(hem, closed=False, per_corner=5)])
    arms = [
        base(
            place(ellipse(0, 0, 0.28, 0.14, 24), s * 0.8, 0.2, 1, turn=-s * 0.08),
            role="white",
            move="wave",
            pivot=(s * 0.6, 0.2),
        )
        for s in (-1, 1)
    ]
    return Thing(
        f"{mood} ghost", f"{MOODS[mood]}的幽灵", ("ghost", "幽灵", mood), (*arms, base(outline, role="white"), *face)
    )


def snowman(rng: np.random.Generator) -> Thing:
    """A snowman with a hat and a carrot nose."""
    hat = [
        detail(rectangle(-0.28, -1.0, 0.28, -0.6, 0.04), role="dark"),
        detail(rectangle(-0.45, -0.64, 0.45, -0.54, 0.04), role="dark"),
        detail(rectangle(-0.28, -0.72, 0.28, -0.63), role="accent"),
    ]
    eyes = [
        detail(ellipse(s * 0.14, -0.38, 0.045, n=16), role="dark", move="blink", pivot=(s * 0.14, -0.38))
        for s in (-1, 1)
    ]
    buttons = [detail(ellipse(0, y, 0.05, n=14), role="dark") for y in (0.2, 0.45)]
    arms = [
        line(
            smooth([(s * 0.45, 0.2), (s * 0.75, 0.0), (s * 0.95, -0.15)], closed=False),
            width=0.06,
            move="wave",
            pivot=(s * 0.45, 0.2),
        )
        for s in (-1, 1)
    ]
    nose = detail(points([(0, -0.34), (0.32, -0.26), (0, -0.24)]), role="light")
    body = (
        *arms,
        base(ellipse(0, 0.42, 0.6, 0.56, 56), role="white"),
        base(ellipse(0, -0.3, 0.42, n=48), role="white"),
    )
    return Thing("snowman", "雪人", ("snowman", "winter", "雪人", "冬天"), (*body, *eyes, nose, *buttons, *hat))


def fish(rng: np.random.Generator) -> Thing:
    """A fish with fins and stripes."""
    body = smooth([(-0.95, 0.05), (-0.6, -0.4), (0.0, -0.5), (0.5, -0.15), (0.5, 0.2), (0.0, 0.5), (-0.6, 0.42)])
    tail = smooth([(0.42, 0), (0.98, -0.5), (0.85, 0.0), (0.98, 0.5)], per_corner=6)
    fins = [
        base(smooth([(-0.2, -0.45), (0.1, -0.8), (0.35, -0.3)]), role="accent"),
        base(tail, role="accent", move="wave", pivot=(0.45, 0)),
    ]
    bands = [detail(rectangle(x, -0.7, x + 0.13, 0.7), role="second", clip=True) for x in (-0.3, 0.0, 0.28)]
    eye = [
        detail(ellipse(-0.6, -0.08, 0.13, n=24), role="white"),
        detail(ellipse(-0.62, -0.08, 0.07, n=18), role="dark"),
    ]
    bubbles = [Part((ellipse(-0.95 - 0.1 * k, -0.4 - 0.2 * k, 0.08, n=20),), "clear", move="rise") for k in range(2)]
    extra = bubbles if rng.random() < 0.5 else []
    return Thing("fish", "鱼", ("fish", "sea", "鱼", "海洋"), (*fins, base(body), *bands, *eye, *extra))


def robot(rng: np.random.Generator) -> Thing:
    """A robot with a screen for a face."""
    mood, face = features(rng, -0.1, 0.5)
    body = (
        line(points([(0, -0.7), (0, -0.95)]), role="second"),
        detail(ellipse(0, -0.95, 0.09, n=20), role="light", move="beat", pivot=(0, -0.95)),
        base(rectangle(-0.75, -0.7, 0.75, 0.5, 0.2)),
        detail(rectangle(-0.55, -0.5, 0.55, 0.28, 0.12), role="panel"),
    )
    legs = [base(rectangle(x, 0.55, x + 0.25, 0.95, 0.08), role="second") for x in (-0.45, 0.2)]
    ears = [base(rectangle(x, -0.3, x + 0.16, 0.1, 0.05), role="accent") for x in (-0.93, 0.77)]
    return Thing(f"{mood} robot", f"{MOODS[mood]}的机器人", ("robot", "机器人", mood), (*legs, *ears, *body, *face))


def monster(rng: np.random.Generator) -> Thing:
    """A random blob with one to three eyes, horns and teeth."""
    body = place(blob(rng, 0.3), 0, 0.05, 0.95)
    eyes: list[Part] = []
    count = int(rng.integers(1, 4))
    for k in range(count):
        x, r = (k - (count - 1) / 2) * 0.42, rng.uniform(0.14, 0.22) * (1.4 if count == 1 else 1)
        eyes += [
            detail(ellipse(x, -0.15, r, n=32), role="white", move="blink", pivot=(x, -0.15)),
            detail(ellipse(x, -0.15, r * 0.45, n=20), role="dark", move="look"),
        ]
    horns = [base(smooth([(s * 0.25, -0.6), (s * 0.6, -1.0), (s * 0.55, -0.45)]), role="accent") for s in (-1, 1)]
    mouth = np.concatenate([points([(-0.4, 0.22), (0.4, 0.22)]), arc(0, 0.22, 0.4, 0.35, 0.02, 0.48, 16)])
    teeth = [detail(points([(x, 0.21), (x + 0.12, 0.21), (x + 0.06, 0.36)]), role="white") for x in (-0.26, 0.1)]
    spots = [
        detail(
            ellipse(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.7, 0.8)), float(rng.uniform(0.05, 0.16)), n=24),
            role="second",
            clip=True,
        )
        for _ in range(6)
    ]
    return Thing(
        "monster",
        "小怪兽",
        ("monster", "怪兽", "怪物"),
        (*horns, base(body), *spots, *eyes, detail(mouth, role="dark"), *teeth),
    )


CREATURES = (smiley, smiley, animal, animal, ghost, snowman, fish, robot, monster)

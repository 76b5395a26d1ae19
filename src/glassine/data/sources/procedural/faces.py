"""Eyes, mouths and cheeks that show a mood."""

import numpy as np

from glassine.data.sources.procedural.outlines import arc, ellipse, heart, place, points, rectangle, star
from glassine.data.sources.procedural.parts import Part, detail, line

MOODS = {
    "happy": "开心",
    "laughing": "大笑",
    "surprised": "惊讶",
    "sad": "难过",
    "sleepy": "困倦",
    "in love": "恋爱中",
    "cool": "酷",
    "starry-eyed": "两眼放光",
    "crying": "哭泣",
    "grumpy": "生气",
    "calm": "平静",
}


def _eyes(mood: str, rng: np.random.Generator, dx: float, y: float, r: float) -> list[Part]:
    parts: list[Part] = []
    kind = str(rng.choice(["dot", "white", "tall"]))
    for side in (-1, 1):
        x = side * dx
        if mood in ("laughing", "sleepy"):
            bend = (0.55, 0.95) if mood == "laughing" else (0.05, 0.45)
            parts.append(line(arc(x, y, r, r, *bend, 14), width=r * 0.35))
        elif mood == "in love":
            parts.append(detail(place(heart(40), x, y, r * 1.3), role="tongue", move="beat", pivot=(x, y)))
        elif mood == "starry-eyed":
            parts.append(detail(place(star(5), x, y, r * 1.4), role="light", move="spin", pivot=(x, y)))
        elif mood == "cool":
            parts.append(detail(rectangle(x - 1.7 * r, y - r, x + 1.7 * r, y + r, r * 0.7), role="dark"))
        elif kind == "white":
            parts.append(detail(ellipse(x, y, r, r * 1.15, 32), role="white", move="blink", pivot=(x, y)))
            parts.append(detail(ellipse(x, y, r * 0.5, n=24), role="dark", move="look"))
        else:
            tall = 1.0 if kind == "dot" else 1.6
            parts.append(detail(ellipse(x, y, r * 0.65, r * 0.65 * tall, 24), role="dark", move="blink", pivot=(x, y)))
            parts.append(detail(ellipse(x - r * 0.2, y - r * 0.25 * tall, r * 0.22, n=14), role="white"))
        if mood in ("sad", "crying", "grumpy"):
            tilt = 0.4 * r * (1 if mood == "grumpy" else -1) * side
            parts.append(line(points([(x - r, y - 1.6 * r - tilt), (x + r, y - 1.6 * r + tilt)]), width=r * 0.3))
    if mood == "cool":
        parts.append(line(points([(-dx, y - r * 0.5), (dx, y - r * 0.5)]), width=r * 0.4))
    if mood == "crying":
        parts.append(detail(ellipse(dx, y + 2.2 * r, r * 0.4, r * 0.6, 20), role="clear", move="rise"))
    return parts


def _mouth(mood: str, rng: np.random.Generator, y: float, w: float) -> list[Part]:
    if mood in ("happy", "laughing", "starry-eyed") and rng.random() < 0.65:
        outline = np.concatenate([points([(-w, y), (w, y)]), arc(0, y, w, w * 1.1, 0.02, 0.48, 20)])
        teeth = rectangle(-w, y, w, y + w * 0.28)
        parts = [detail(outline, role="dark", move="talk", pivot=(0, y))]
        if rng.random() < 0.6:
            parts.append(detail(place(teeth, 0, 0, 0.85, 1), role="white", move="talk", pivot=(0, y)))
        parts.append(detail(ellipse(0, y + w * 0.72, w * 0.5, w * 0.25, 24), role="tongue", move="talk", pivot=(0, y)))
        return parts
    if mood == "surprised":
        return [
            detail(ellipse(0, y + w * 0.4, w * 0.45, w * 0.6, 28), role="dark", move="talk", pivot=(0, y + w * 0.4))
        ]
    if mood in ("sad", "crying", "grumpy"):
        return [line(arc(0, y + w * 0.8, w * 0.8, w * 0.6, 0.58, 0.92, 16), width=w * 0.2)]
    if mood == "sleepy":
        return [
            detail(ellipse(0, y + w * 0.3, w * 0.3, w * 0.25, 20), role="dark", move="beat", pivot=(0, y + w * 0.3))
        ]
    return [line(arc(0, y - w * 0.3, w, w * 0.8, 0.08, 0.42, 18), width=w * 0.2)]


def features(rng: np.random.Generator, y: float = 0.0, size: float = 1.0) -> tuple[str, list[Part]]:
    """A mood and the parts of a face that shows it, centred on (0, ``y``)."""
    mood = str(rng.choice(list(MOODS)))
    dx, r = size * rng.uniform(0.28, 0.42), size * rng.uniform(0.13, 0.21)
    parts = _eyes(mood, rng, dx, y - 0.12 * size, r)
    parts += _mouth(mood, rng, y + size * rng.uniform(0.2, 0.32), size * rng.uniform(0.18, 0.36))
    if rng.random() < 0.4:
        for side in (-1, 1):
            parts.append(
                Part(
                    (ellipse(side * 0.58 * size, y + 0.2 * size, 0.16 * size, 0.11 * size, 24),),
                    "blush",
                    soft=0.03,
                    opacity=0.6,
                )
            )
    return mood, parts

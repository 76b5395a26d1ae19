"""Scenes: a family determines which objects, styles and effects can be combined.

Also defines objects that enclose an area that may have the color of the background.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.procedural.actor import Actor
from glassine.procedural.canvas import Canvas
from glassine.procedural.creatures import CREATURES
from glassine.procedural.glassware import GLASSWARE, Haze, word
from glassine.procedural.motion import VERBS, Track, fade, track
from glassine.procedural.nature import NATURE
from glassine.procedural.objects import OBJECTS
from glassine.procedural.outlines import drop, ellipse, flower, heart, place, points, polygon, rectangle, star
from glassine.procedural.paint import Flat
from glassine.procedural.palette import Palette, Part, Thing, base, detail, hsv, line, random_palette
from glassine.procedural.shapes_with_holes import SHAPES_WITH_HOLES
from glassine.procedural.styles import Dressed, dress


def television(_: np.random.Generator) -> Thing:
    """A television with an antenna."""
    aerials = line(points([(-0.4, -0.95), (0, -0.55), (0.4, -0.95)]), width=0.06)
    picture = detail(rectangle(-0.78, -0.44, 0.5, 0.58, 0.1), role="panel")
    knobs = [detail(ellipse(0.73, y, 0.1, n=20)) for y in (-0.2, 0.15)]
    parts = (aerials, base(rectangle(-0.95, -0.6, 0.95, 0.75, 0.15)), picture, *knobs)
    return Thing("television", "电视", ("television", "电视"), parts)


def phone(_: np.random.Generator) -> Thing:
    """A phone with a heart on its screen."""
    picture = detail(rectangle(-0.42, -0.8, 0.42, 0.72, 0.05), role="panel")
    like = detail(place(heart(40), 0, 0, 0.25), role="tongue", move="beat")
    parts = (base(rectangle(-0.5, -0.98, 0.5, 0.98, 0.16)), picture, like)
    return Thing("phone", "手机", ("phone", "like", "手机", "点赞"), parts)


def note(_: np.random.Generator) -> Thing:
    """A sheet of paper with lines."""
    rules = [line(points([(-0.5, y), (0.5, y)])) for y in (-0.3, 0.0, 0.3)]
    sheet = base(rectangle(-0.75, -0.85, 0.75, 0.85, 0.04), role="panel")
    return Thing("note", "便签", ("note", "便签"), (sheet, *rules, detail(rectangle(-0.75, -0.85, 0.75, -0.6))))


def speech_bubble(_: np.random.Generator) -> Thing:
    """A speech bubble with three dots."""
    tail = base(points([(-0.3, 0.5), (-0.55, 0.95), (0.1, 0.55)]), role="panel")
    dots = [detail(ellipse(x, -0.05, 0.11, n=24), role="dark", move="talk", pivot=(x, -0.05)) for x in (-0.4, 0.0, 0.4)]
    parts = (tail, base(rectangle(-0.95, -0.7, 0.95, 0.6, 0.4), role="panel"), *dots)
    return Thing("speech bubble", "对话框", ("speech", "typing", "对话框", "聊天"), parts)


def window(rng: np.random.Generator) -> Thing:
    """A window with opaque or glass panes."""
    panes = [(x, y) for x in (-0.7, 0.08) for y in (-0.8, 0.08)]
    glass = [rectangle(x, y, x + 0.62, y + 0.72) for x, y in panes]
    if rng.random() < 0.5:
        parts = (base(rectangle(-0.8, -0.9, 0.8, 0.9, 0.05), *glass), Part(tuple(glass), "clear"))
    else:
        parts = (base(rectangle(-0.8, -0.9, 0.8, 0.9, 0.05)), Part(tuple(glass), "panel"))
    return Thing("window", "窗户", ("window", "窗户"), parts)


def envelope(_: np.random.Generator) -> Thing:
    """A letter sealed with a heart."""
    flap = line(points([(-0.92, -0.55), (0, 0.15), (0.92, -0.55)]), width=0.05)
    seal = detail(place(heart(40), 0, 0.12, 0.18), role="tongue", move="beat", pivot=(0, 0.12))
    parts = (base(rectangle(-0.95, -0.6, 0.95, 0.7, 0.06), role="white"), flap, seal)
    return Thing("envelope", "信封", ("letter", "mail", "信封", "邮件"), parts)


def mirror_glass(_: np.random.Generator) -> Thing:
    """A hand mirror."""
    handle, frame = base(rectangle(-0.09, 0.4, 0.09, 1.0, 0.08)), base(ellipse(0, -0.25, 0.62, 0.72, 56))
    shine = line(points([(-0.25, -0.1), (0.1, -0.55)]), width=0.05, role="white")
    parts = (handle, frame, detail(ellipse(0, -0.25, 0.5, 0.6, 52), role="panel"), shine)
    return Thing("mirror", "镜子", ("mirror", "镜子"), parts)


SCREENS = (television, phone, note, speech_bubble, window, envelope, mirror_glass)


# family -> its phrase in captions, in English and Chinese
FAMILIES = {
    "emoji": ("glossy emoji", "光泽表情"),
    "flat": ("flat vector drawing", "扁平插画"),
    "line_art": ("line drawing", "线稿"),
    "photo": ("photo cut-out", "照片抠图"),
    "border": ("die-cut sticker with a border", "带白边的贴纸"),
    "text": ("lettering", "文字"),
    "glass": ("glass", "玻璃质感"),
    "glow": ("glowing light", "发光"),
    "shadow": ("soft shadow", "柔和阴影"),
    "fade": ("fading in and out", "渐隐渐现"),
    "holes": ("with openings", "镂空"),
    "group": ("several objects", "多个物体"),
    "pixel": ("pixel art", "像素风"),
}

_SOLID = ("emoji", "emoji", "flat", "flat", "line_art", "photo")


@dataclass(frozen=True)
class Scene:
    """A sticker before rendering.

    Attributes:
        family: one of :data:`FAMILIES`.
        actors: objects from back to front.
        cells: side in pixels of the canvas of a pixel-art sticker; 0 for other stickers.
        title: caption of objects and movement in English.
        title_zh: the same in Chinese.
        tags: search words.
        domain: ``"cartoon"`` or ``"real"``.
        ocr: text visible in the sticker.
    """

    family: str
    actors: tuple[Actor, ...]
    cells: int
    title: str
    title_zh: str
    tags: tuple[str, ...]
    domain: str
    ocr: str

    def frame(self, at: float, size: int) -> NDArray[np.uint8]:
        """Render phase ``at`` (0..1) of the loop: straight RGBA, ``size size 4`` uint8."""
        canvas = Canvas(self.cells or size)
        for actor in self.actors:
            actor.draw(canvas, at)
        picture = canvas.rgba()
        if self.cells:
            picture[..., 3] = np.where(picture[..., 3] > 127, 255, 0)
            picture[picture[..., 3] == 0] = 0
            picture = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST), np.uint8)
        return picture


def _pick_thing(family: str, rng: np.random.Generator) -> Thing:
    makers = {
        "text": (word,),
        "glass": (*GLASSWARE, *GLASSWARE, *CREATURES, *NATURE[:2], *SCREENS[4:5]),
        "holes": (*SHAPES_WITH_HOLES, *SCREENS[4:5]),
    }.get(family, (*CREATURES, *CREATURES, *NATURE, *OBJECTS, *SHAPES_WITH_HOLES, *SCREENS, word))
    return makers[int(rng.integers(len(makers)))](rng)


def _pick_style(family: str, rng: np.random.Generator) -> str:
    if family in ("emoji", "flat", "photo", "glass"):
        return family
    if family == "line_art":
        return str(rng.choice(["line_art", "outline"], p=[0.65, 0.35]))
    if family == "glow":
        return str(rng.choice(["neon", "emoji", "flat"], p=[0.45, 0.35, 0.2]))
    if family == "holes" and rng.random() < 0.2:
        return "outline"
    return str(rng.choice(_SOLID))


def _movement(rng: np.random.Generator, family: str) -> str:
    names = list(VERBS)
    weights = np.ones(len(names))
    weights[names.index("rest")] = 2.0
    weights[names.index("pass")] = 0.4 if family != "pixel" else 0.0
    weights[names.index("pop")] = 0.5
    return str(rng.choice(names, p=weights / weights.sum()))


def _actor(thing: Thing, style: str, palette: Palette, rng: np.random.Generator, family: str) -> tuple[Actor, str]:
    move = _movement(rng, family)
    tracks: tuple[Track, ...] = (
        track(move, float(rng.uniform(0.5, 1.4)), int(rng.choice([1, 1, 2])), float(rng.random())),
    )
    if rng.random() < 0.2:
        tracks = (*tracks, track(str(rng.choice(["float", "wobble", "swing", "pulse"])), 0.6, 1, float(rng.random())))
    actor = Actor(
        dress(thing, style, palette, rng),
        x=float(rng.normal(0.5, 0.04)),
        y=float(rng.normal(0.5, 0.04)),
        scale=float(rng.uniform(0.29, 0.47)),
        turn=float(rng.normal(0, 0.02)) if rng.random() < 0.8 else float(rng.uniform(-0.1, 0.1)),
        tracks=tracks,
        phase=float(rng.random()),
        jelly=float(rng.uniform(0.02, 0.07)) if rng.random() < 0.15 else 0.0,
        boil=float(rng.uniform(0.004, 0.015)) if style in ("line_art", "outline") and rng.random() < 0.4 else 0.0,
    )
    return actor, move


def _effects(actor: Actor, family: str, style: str, palette: Palette, rng: np.random.Generator) -> Actor:
    """Add the family's own effect, and sometimes others."""
    if family == "border" or (family not in ("glass", "glow", "holes") and rng.random() < 0.05):
        rim_color = (1.0, 1.0, 1.0) if rng.random() < 0.75 else palette.colors["panel"]
        actor = replace(actor, rim=float(rng.uniform(0.012, 0.04)), rim_color=rim_color, scale=actor.scale * 0.9)
        if rng.random() < 0.3:
            actor = replace(actor, shadow="drop")
    if family == "shadow" or rng.random() < 0.08:
        actor = replace(actor, shadow=str(rng.choice(["drop", "contact"])), scale=min(actor.scale, 0.38))
    if family == "glow" or rng.random() < 0.04:
        color = hsv(float(rng.random()), float(rng.uniform(0.1, 0.9)), 1.0)
        strength = float(rng.uniform(0.35, 1.0))
        actor = replace(
            actor,
            glow=color,
            glow_size=float(rng.uniform(0.015, 0.07)),
            glow_strength=strength,
            scale=min(actor.scale, 0.36),
        )
    if family == "fade" or rng.random() < 0.06:
        kind = str(rng.choice(["wave", "in", "out", "still", "flicker"], p=[0.35, 0.15, 0.15, 0.25, 0.1]))
        low = float(rng.uniform(0.25, 0.8)) if kind == "still" else float(rng.uniform(0.0, 0.5))
        actor = replace(actor, opacity=fade(kind, low, 1, float(rng.random())))
        if rng.random() < 0.25 and style != "photo":
            actor = replace(actor, trail=int(rng.integers(1, 4)))
    if style == "photo" and rng.random() < 0.2:
        actor = replace(actor, smear=float(rng.uniform(0.01, 0.05)))
    return actor


def _swarm(rng: np.random.Generator, family: str) -> list[Actor]:
    """Small objects around the main one: sparkles, hearts, confetti, smoke, light."""
    hazy = family in ("glow", "fade") and rng.random() < 0.7
    shapes = (place(star(4, 0.25)), heart(32), drop(), ellipse(n=24), polygon(4), flower(5, 0.4, 40), star(5))
    outline = ellipse(n=24) if hazy else shapes[int(rng.integers(len(shapes)))]
    hue, spread = float(rng.random()), float(rng.choice([0.02, 0.3]))
    actors = []
    for _ in range(int(rng.integers(3, 9))):
        color = hsv(hue + rng.normal(0, spread), rng.uniform(0.0, 0.9), rng.uniform(0.8, 1.0))
        see_through = float(rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else 1.0
        paint = (
            Haze(color, hsv(hue, 0.2, 1.0), float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.8, 2.5)))
            if hazy
            else Flat(color)
        )
        part = Part((outline,), "light", opacity=see_through, move=str(rng.choice(["rise", "beat", "spin", ""])))
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.42)
        actors.append(
            Actor(
                (Dressed(part, paint),),
                x=float(0.5 + far * np.cos(angle)),
                y=float(0.5 + far * np.sin(angle)),
                scale=float(rng.uniform(0.08, 0.22) if hazy else rng.uniform(0.02, 0.06)),
                turn=float(rng.random()),
                tracks=(track(str(rng.choice(["float", "spin", "pulse", "rest"])), 1.0, 1, float(rng.random())),),
                phase=float(rng.random()),
            )
        )
    return actors


def make_scene(family: str, rng: np.random.Generator) -> Scene:
    """Create a random sticker of a family.

    Args:
        family: one of :data:`FAMILIES`.
        rng: random generator, which determines the result.
    """
    count = int(rng.integers(2, 5)) if family == "group" else 1
    actors: list[Actor] = []
    names: list[tuple[str, str, str]] = []
    tags: list[str] = []
    ocr: list[str] = []
    style = ""
    for number in range(count):
        style = str(rng.choice([*_SOLID, "glass", "glass"])) if family == "group" else _pick_style(family, rng)
        thing, palette = _pick_thing("glass" if style == "glass" else family, rng), random_palette(rng)
        actor, move = _actor(thing, style, palette, rng, family)
        actor = _effects(actor, family, style, palette, rng)
        if count > 1:
            turn = number / count * 2 * np.pi + rng.uniform(-0.5, 0.5)
            faded = fade("still", float(rng.uniform(0.3, 0.9)), 1, 0.0) if rng.random() < 0.35 else actor.opacity
            actor = replace(
                actor,
                x=0.5 + 0.17 * float(np.cos(turn)),
                y=0.5 + 0.17 * float(np.sin(turn)),
                scale=actor.scale * 0.68,
                opacity=faded,
            )
        actors.append(actor)
        names.append((f"{palette.name} {thing.name}", f"{palette.name_zh}的{thing.name_zh}", move))
        tags += thing.tags
        ocr += [thing.ocr] if thing.ocr else []
    if rng.random() < {"glow": 0.6, "fade": 0.4, "glass": 0.25, "group": 0.3}.get(family, 0.12):
        swarm = _swarm(rng, family)
        actors = [*swarm, *actors] if rng.random() < 0.5 else [*actors, *swarm]
    english, chinese = FAMILIES[family]
    verb, verb_zh = VERBS[names[0][2]]
    return Scene(
        family,
        tuple(actors),
        int(rng.integers(20, 49)) if family == "pixel" else 0,
        f"{' and '.join('a ' + en for en, _, _ in names)} {verb if count == 1 else 'move'}, {english}",
        f"{'和'.join(zh for _, zh, _ in names)}{verb_zh if count == 1 else '在动'}，{chinese}",
        (*dict.fromkeys((*tags, english, chinese)),),
        "real" if style == "photo" and count == 1 else "cartoon",
        " ".join(ocr),
    )

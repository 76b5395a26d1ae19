"""Things that enclose an area which may have the colour of the background."""

import numpy as np

from glassine.data.sources.procedural.outlines import ellipse, heart, place, points, rectangle
from glassine.data.sources.procedural.parts import Part, Thing, base, detail, line


def television(_: np.random.Generator) -> Thing:
    """A television with aerials."""
    aerials = line(points([(-0.4, -0.95), (0, -0.55), (0.4, -0.95)]), width=0.06)
    picture = detail(rectangle(-0.78, -0.44, 0.5, 0.58, 0.1), role="panel")
    knobs = [detail(ellipse(0.73, y, 0.1, n=20)) for y in (-0.2, 0.15)]
    parts = (aerials, base(rectangle(-0.95, -0.6, 0.95, 0.75, 0.15)), picture, *knobs)
    return Thing("television", "电视", ("television", "电视"), parts)


def phone(_: np.random.Generator) -> Thing:
    """A phone that shows a heart."""
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
    """A window whose panes are solid or of glass."""
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

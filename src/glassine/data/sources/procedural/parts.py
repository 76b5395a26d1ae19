"""The pieces a drawing is made of, before a style gives them colours."""

from dataclasses import dataclass, field

from glassine.data.sources.procedural.outlines import Outline


@dataclass(frozen=True)
class Part:
    """One shape of a drawing, in object units.

    Attributes:
        outlines: filled even-odd (an outline inside another is a hole), or lines when ``width`` is above 0.
        role: what it is, so that a style can choose its paint: ``body``, ``second``, ``accent``, ``dark``, ``white``,
            ``panel`` (an enclosed area that may look like the background), ``blush``, ``tongue``, ``light``, ``clear``
            (glass in every style), ``hollow`` (outlined, never filled).
        width: line width.
        closed: whether a line returns to its first point.
        clip: draw only inside the latest part with ``base``.
        base: a carrier: gets shading and an outline, and clips the details on top of it.
        move: how it moves on its own (see :func:`glassine.data.sources.procedural.motion.own_move`).
        pivot: the point its own move turns or scales about.
        soft: feathering of its edge.
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
        name: English, without article.
        name_zh: Chinese.
        tags: search words in both languages.
        parts: from back to front.
        ocr: the words to be read in it.
    """

    name: str
    name_zh: str
    tags: tuple[str, ...]
    parts: tuple[Part, ...] = field(repr=False)
    ocr: str = ""


def base(*outlines: Outline, role: str = "body", move: str = "", pivot: tuple[float, float] = (0.0, 0.0)) -> Part:
    """A carrying shape."""
    return Part(outlines, role, base=True, move=move, pivot=pivot)


def detail(
    *outlines: Outline,
    role: str = "accent",
    clip: bool = False,
    move: str = "",
    pivot: tuple[float, float] = (0.0, 0.0),
) -> Part:
    """A shape on top of a carrying shape."""
    return Part(outlines, role, clip=clip, move=move, pivot=pivot)


def line(
    *outlines: Outline,
    width: float = 0.06,
    role: str = "dark",
    closed: bool = False,
    move: str = "",
    pivot: tuple[float, float] = (0.0, 0.0),
) -> Part:
    """Lines with round ends."""
    return Part(outlines, role, width=width, closed=closed, move=move, pivot=pivot)

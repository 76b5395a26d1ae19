"""Read SVG, rendered by resvg after a safety check.

Checked before rendering: entities, nesting, how often parts are used, and embedded images.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

import cv2
import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader
from glassine.data.codecs.drawing import draw_svg
from glassine.data.codecs.guard import MAX_PIXELS, STILL_MS, damaged
from glassine.data.codecs.lottie import (
    MAX_TEXT_BYTES,
    drawn_size,
    gunzip,
    renderer,
    say_left_out,
    too_large,
)
from glassine.utils.errors import UserError

MAX_DEPTH = 100
"""Deepest nesting of elements; resvg recurses at each level. Real files stay below 20."""
MAX_ELEMENTS = 100_000
"""Maximum number of elements, counting each time one is used. Real stickers have below 5,000."""
MAX_ENTITY_LETTERS = 1_000_000
"""Maximum number of characters that entities may add to the text."""

_DEFAULT_SIDE = 100.0  # pixels for SVGs without any size, as in resvg
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}  # to pixels
_LENGTH = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z]*)\s*")
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^'\")\s]+)")
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_MOVING = ("animate", "animateTransform", "animateMotion", "set")
_XLINK = "{http://www.w3.org/1999/xlink}href"
_PICTURES = ("PNG", "JPEG", "GIF", "WEBP")


@dataclass(frozen=True)
class SvgContent:
    """A checked drawing.

    Attributes:
        text: the XML for the renderer, without external references.
        width: width in pixels, from the file.
        height: height in pixels.
        left_out: what is not rendered -> count.
    """

    text: str
    width: float
    height: float
    left_out: Mapping[str, int]


@dataclass
class _Element:
    """An element of the tree, reduced to what determines its rendering cost."""

    name: str
    identity: str = ""
    classes: list[str] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    inner: list[_Element] = field(default_factory=list)


def parse_svg(data: bytes, name: str) -> SvgContent:
    """Check a drawing against the limits and remove external references.

    Args:
        data: the XML in any encoding that it declares.
        name: file name for messages.

    Raises:
        UserError: the data is truncated, not XML, not SVG, or above a limit.
    """
    root = _check_structure(data, name)
    if root.name.rpartition(" ")[2] != "svg":
        raise UserError(f"{name}: is XML, but not SVG: its outermost element is <{root.name:.40}>; give an SVG file")
    count = _count(root, _by_identity(root), {}, (), name)
    if count > MAX_ELEMENTS:
        raise _beyond(name, f"made of {count:,} elements when all that is used twice is counted twice")
    try:
        tree = ET.fromstring(data)
    except ET.ParseError as error:  # an external entity
        raise damaged(name, f"is not whole XML ({error})") from error
    left_out = _take_out(tree)
    width, height = _size(tree, name)
    for prefix, space in (("", "http://www.w3.org/2000/svg"), ("xlink", "http://www.w3.org/1999/xlink")):
        ET.register_namespace(prefix, space)
    return SvgContent(ET.tostring(tree, encoding="unicode"), width, height, left_out)


def _beyond(name: str, what: str) -> UserError:
    return UserError(f"{name}: the drawing is {what}; it cannot be drawn safely; simplify it")


def _check_structure(data: bytes, name: str) -> _Element:
    """The element tree; entities, nesting and number are checked while parsing, and nothing external is opened."""
    parser = expat.ParserCreate(namespace_separator=" ")
    top = _Element("")
    stack = [top]
    entities, styles = dict[str, int](), list[str]()
    elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal elements
        elements += 1
        if len(stack) > MAX_DEPTH:
            raise _beyond(name, f"nested deeper than {MAX_DEPTH} levels")
        if elements > MAX_ELEMENTS:
            raise _beyond(name, f"made of more than {MAX_ELEMENTS:,} elements")
        uses = [found for value in attributes.values() for found in _REFERENCE.findall(value)]
        for key, value in attributes.items():
            if key.rpartition(" ")[2] == "href" and value.strip().startswith("#"):
                uses.append(value.strip()[1:])
        element = _Element(tag, attributes.get("id", ""), attributes.get("class", "").split(), uses)
        stack[-1].inner.append(element)
        stack.append(element)

    def end(tag: str) -> None:
        stack.pop()

    def text(letters: str) -> None:
        if stack[-1].name.rpartition(" ")[2] == "style":
            styles.append(letters)

    def entity(title: str, parameter: bool, value: str | None, *where: str | None) -> None:
        if value is None:
            return  # external; it is never read
        if parameter or "&" in value or "%" in value:
            raise _beyond(name, "made of entities that stand for other entities")
        entities[title] = len(value)

    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, entity
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        if "amplification" in str(error):  # expat's own guard
            raise _beyond(name, "blown up by entities") from error
        raise damaged(name, f"is not whole XML ({error})") from error
    for title, length in entities.items():
        used = data.count(f"&{title};".encode())
        if used * length > MAX_ENTITY_LETTERS:
            raise _beyond(name, f"blown up by an entity: {used:,} times {length:,} letters")
    _apply_styles("".join(styles), top.inner[0])
    return top.inner[0]


def _apply_styles(css: str, root: _Element) -> None:
    """Record the references in style sheets; only the last part of a selector is used, so matches are overestimated."""
    uses: dict[str, list[str]] = {}  # ".class", "#identity", "element" or "*" -> identities
    for selectors, body in _RULE.findall(_COMMENT.sub("", css)):
        found = _REFERENCE.findall(body)
        for selector in selectors.split(",") if found else ():
            last = re.split(r"[\s>+~]+", selector.strip())[-1]
            parts = re.findall(r"[.#]?[\w-]+", last.partition("[")[0].partition(":")[0])
            uses.setdefault(parts[-1] if parts else "*", []).extend(found)
    todo = [root] if uses else []
    while todo:
        element = todo.pop()
        names = [element.name.rpartition(" ")[2], f"#{element.identity}", "*", *(f".{one}" for one in element.classes)]
        element.uses += [used for one in names for used in uses.get(one, ())]
        todo += element.inner


def _by_identity(root: _Element) -> dict[str, _Element]:
    found: dict[str, _Element] = {}
    todo = [root]
    while todo:
        element = todo.pop()
        if element.identity:
            found.setdefault(element.identity, element)
        todo += element.inner
    return found


def _count(
    element: _Element, known: Mapping[str, _Element], counted: dict[str, int], inside: tuple[str, ...], name: str
) -> int:
    """Number of elements needed to render one, including its references; capped at one above the limit."""
    total = 1
    for part in element.inner:
        total += _count(part, known, counted, inside, name)
    for used in element.uses:
        if used not in known or used in inside:  # resvg renders nothing for a part that contains itself
            continue
        if len(inside) > MAX_DEPTH:
            raise _beyond(name, f"made of parts that refer to each other over more than {MAX_DEPTH} steps")
        if used not in counted:
            counted[used] = _count(known[used], known, counted, (*inside, used), name)
        total += counted[used]
    return total


def _take_out(tree: ET.Element) -> Counter[str]:
    """Remove external references, images too large to decode and scripts; count what will be missing."""
    counts = Counter[str]()
    for parent in list(tree.iter()):
        for element in list(parent):
            kind = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
            if kind == "feTurbulence" and not re.fullmatch(r"\s*1?\d\s*", element.get("numOctaves", "1")):
                element.set("numOctaves", "20")  # octave n adds 1 / 2^n: more are invisible, and each takes time
            address = (element.get("href") or element.get(_XLINK) or "").strip()
            if kind in ("image", "feImage") and not address.startswith("#") and not _is_picture(address):
                counts["pictures outside of the file or of no plain kind"] += 1
            elif kind in ("use", "tref") and address and not address.startswith("#"):
                counts["parts outside of the file"] += 1
            elif kind in _MOVING:
                counts["animations"] += 1
            elif kind == "foreignObject":
                counts["foreign objects"] += 1
            elif kind != "script":
                continue
            parent.remove(element)
    return counts


def _is_picture(address: str) -> bool:
    """Whether an address embeds an image of a common type and of an acceptable size."""
    head, comma, body = address.partition(",")
    if not head.startswith("data:image/") or not comma:
        return False
    try:
        raw = base64.b64decode(unquote_to_bytes(body)) if head.endswith(";base64") else unquote_to_bytes(body)
        with Image.open(io.BytesIO(raw), formats=_PICTURES) as image:
            return image.width * image.height <= MAX_PIXELS
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError):
        return False


def _size(tree: ET.Element, name: str) -> tuple[float, float]:
    """The size in pixels declared by the file: its own, or that of its view box."""
    numbers = [float(n) for n in re.findall(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", tree.get("viewBox", ""))]
    box = numbers[2:4] if len(numbers) == 4 else [None, None]
    sides = []
    for key, fallback in (("width", box[0]), ("height", box[1])):
        match = _LENGTH.fullmatch(tree.get(key, ""))
        stated = float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else fallback
        sides.append(_DEFAULT_SIDE if stated is None else stated)
    if not all(math.isfinite(side) and side > 0 for side in sides):
        raise damaged(name, f"its size is {sides[0]:g}x{sides[1]:g}, which must be above 0")
    return sides[0], sides[1]


LEAST_SIZE = 512
"""Minimum longer side of an SVG: icons declare 16 to 128 px, stickers have 512."""


class SvgReader(StickerReader):
    """One frame of 1000 ms, straight RGBA, rendered at the requested size. SVG animation is not played.

    Args:
        file: the open file: XML, or gzipped XML.
        name: file name for messages.
        max_pixels: largest frame to render, width times height.
        size: the longer side in pixels; None for the file's own size, but at least `LEAST_SIZE`.

    Raises:
        UserError: resvg is not installed, or the file is damaged, above a limit or not SVG.
    """

    num_frames = 1
    durations = (STILL_MS,)

    def __init__(self, file: BinaryIO, name: str, max_pixels: int, size: int | None = None) -> None:
        self._file, self._name = file, name
        file.seek(0)
        data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise too_large(name, None)
        content = parse_svg(gunzip(data, name) if data[:2] == b"\x1f\x8b" else data, name)
        longer = max(LEAST_SIZE, content.width, content.height) if size is None else size
        self.width, self.height = drawn_size(name, content.width, content.height, longer, max_pixels)
        renderer("resvg_py", "svg", name)
        self._text = content.text
        say_left_out(name, content.left_out)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        png = draw_svg(self._text, self._name, self.width, self.height)
        bgra = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
            raise damaged(self._name, "resvg cannot draw it")
        frame = np.zeros((self.height, self.width, 4), np.uint8)
        drawn = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)[: self.height, : self.width]
        frame[: len(drawn), : drawn.shape[1]] = drawn  # resvg may round the shorter side to one pixel more or less
        yield frame, STILL_MS

    def close(self) -> None:
        """Close the file."""
        self._file.close()

"""Checks of a Lottie file before rendering: limits, and features that rlottie skips."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from glassine.data.codecs.guard import damaged
from glassine.utils.errors import UserError

MAX_DEPTH = 200
"""Deepest nesting of lists and objects; rlottie's parser recurses at each level. Real files stay below 60."""
MAX_LAYERS = 20_000
"""Maximum number of layers per frame, counting a composition each time it is used. Real files have below 1,000."""
MAX_COPIES = 1_000
"""Maximum number of copies of a shape made by repeaters, multiplied over nested ones."""
MAX_POINTS = 1_000
"""Maximum number of points of a star or polygon."""
LEAST_DASH = 0.05
"""Shortest dash plus gap, in drawing units; a line is split into that many parts."""
MAX_FRAMES = 36_000
"""Longest animation: ten minutes at 60 fps."""
_MOST_DIGITS = 300

_LAYER_KINDS = {2: "images", 5: "texts", 6: "sounds", 13: "cameras"}  # kinds of layers that rlottie does not render
_SHAPE_KINDS = {"mm": "merged paths", "zz": "zig-zags", "op": "offset paths", "pb": "puckers", "tw": "twists"}


@dataclass(frozen=True)
class LottieContent:
    """A checked animation.

    Attributes:
        text: the JSON for the renderer, without references to files.
        width: width in pixels, from the file.
        height: height in pixels.
        rate: frames per second.
        num_frames: frames of one loop, at least 1.
        left_out: features that rlottie does not render -> count.
    """

    text: str
    width: float
    height: float
    rate: float
    num_frames: int
    left_out: Mapping[str, int]


def parse_lottie(data: bytes, name: str) -> LottieContent:
    """Read the JSON of an animation, check it against the limits and count what will not be rendered.

    Args:
        data: UTF-8 text, with or without a byte order mark.
        name: file name for messages.

    Raises:
        UserError: the data is truncated, not JSON, not Lottie, or above a limit.
    """
    try:
        content = json.loads(data.decode("utf-8-sig"), parse_constant=_no_number, parse_int=_integer)
    except RecursionError as error:
        raise _beyond(name, "nested too deeply") from error
    except ValueError as error:
        raise damaged(name, f"is not whole JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("layers"), list):
        raise UserError(f"{name}: is JSON, but not Lottie: it has no list 'layers'; give a Lottie animation")
    width, height, rate, start, end = (_number(content, key, name) for key in ("w", "h", "fr", "ip", "op"))
    frames = math.ceil(end - start)
    if width <= 0 or height <= 0 or not 0 < rate <= 1000 or not 1 <= frames <= MAX_FRAMES:
        raise UserError(
            f"{name}: w and h must be above 0, fr in (0, 1000] and op - ip in [1, {MAX_FRAMES}], got w {width:g}, "
            f"h {height:g}, fr {rate:g}, op - ip {end - start:g}; export it again"
        )
    _check_depth(content, name)
    compositions = _compositions(content, name)
    _check_layers(content["layers"], compositions, name)
    left_out = Counter[str]()
    for layers in (content["layers"], *compositions.values()):
        _check_parents(layers, name)
        for layer in layers:
            _check_shapes(layer.get("shapes"), 1, name)
            left_out.update(_undrawn(layer))
    if _without_images(content):
        data = json.dumps(content).encode()
    return LottieContent(data.decode("utf-8-sig"), width, height, rate, frames, left_out)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _integer(digits: str) -> int | float:
    """An integer; infinite if too large for a float, like JSON's other numbers."""
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def _beyond(name: str, what: str) -> UserError:
    return UserError(f"{name}: the animation is {what}; it cannot be drawn safely; simplify it")


def _number(content: Mapping[str, Any], key: str, name: str) -> float:
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{name}: is JSON, but not Lottie: {key!r} must be a number, got {str(value)[:40]}")
    return float(value)


def _check_depth(content: Any, name: str) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return
    raise _beyond(name, f"nested deeper than {MAX_DEPTH} levels")


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _compositions(content: Mapping[str, Any], name: str) -> dict[str, list[Any]]:
    """The layers of each composition by id, after checking that all layer lists contain objects."""
    assets = content.get("assets", [])
    if not isinstance(assets, list) or not all(isinstance(asset, dict) for asset in assets):
        raise damaged(name, "its assets are not a list of objects")
    found = {str(asset.get("id")): asset["layers"] for asset in assets if "layers" in asset}
    for layers in (content["layers"], *found.values()):
        if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
            raise damaged(name, "its layers are not a list of objects")
    return found


def _check_layers(layers: list[Any], compositions: Mapping[str, list[Any]], name: str) -> None:
    """Reject compositions that contain themselves, and too many layers after expansion."""
    known: dict[str, int] = {}

    def count(one: list[Any], inside: tuple[str, ...]) -> int:
        total = len(one)
        for layer in one:
            used = str(layer.get("refId")) if "refId" in layer else ""
            if used not in compositions:
                continue
            if used in inside or len(inside) > MAX_DEPTH:
                raise _beyond(name, f"made of the composition {used!r:.40} that contains itself")
            if used not in known:
                known[used] = count(compositions[used], (*inside, used))
            total += known[used]
        return total

    total = count(layers, ())
    if total > MAX_LAYERS:
        raise _beyond(name, f"laid out to {total:,} layers, at most {MAX_LAYERS:,} are drawn")


def _check_parents(layers: list[Any], name: str) -> None:
    """Reject cyclic layer parents."""
    parents: dict[str, set[str]] = {}
    for layer in layers:
        if "parent" in layer:
            parents.setdefault(str(layer.get("ind")), set()).add(str(layer["parent"]))
    while free := [one for one, above in parents.items() if not above & parents.keys()]:
        for one in free:  # has no pending parent
            del parents[one]
    if parents:
        raise _beyond(name, "made of layers that hang on each other in a circle")


def _check_shapes(shapes: Any, around: float, name: str) -> None:
    """Reject too many or too complex shapes; `around` is the number of copies made by enclosing repeaters."""
    shapes = [shape for shape in shapes if isinstance(shape, dict)] if isinstance(shapes, list) else []
    copies = around
    for shape in shapes:
        kind = shape.get("ty")
        if kind == "rp":
            copies *= max(1.0, max(_numbers_in(shape.get("c")), default=1.0))
        for points in _numbers_in([_values(shape.get("pt"))]) if kind == "sr" else ():
            if not 0 <= points <= MAX_POINTS:
                raise _beyond(name, f"made of a star of {points:,.0f} points; 0 to {MAX_POINTS:,} are drawn")
        if kind in ("gf", "gs") and not _is_gradient(shape.get("g")):
            raise damaged(name, "a gradient of it lacks colors")
        dashes = shape.get("d") if kind in ("st", "gs") else None
        if isinstance(dashes, list) and dashes and _dash(dashes) < LEAST_DASH:
            raise _beyond(name, f"made of dashes shorter than {LEAST_DASH:g}")
    if copies > MAX_COPIES:
        raise _beyond(name, f"repeating a shape {copies:,.0f} times, at most {MAX_COPIES:,} are drawn")
    for shape in shapes:
        _check_shapes(shape.get("it"), copies, name)


def _dash(dashes: list[Any]) -> float:
    """The total length of dashes and gaps, the minimum if animated; infinite without dashes."""
    parts = [part for part in dashes if isinstance(part, dict) and part.get("n") != "o"]
    lengths = [min((n for value in _values(part.get("v")) for n in _numbers_in(value)), default=0.0) for part in parts]
    return -1.0 if min(lengths, default=0.0) < 0 else sum(lengths) or math.inf


def _values(prop: Any) -> list[Any]:
    """The values of a property at its keyframes, or its fixed value, without times and curves."""
    value = prop.get("k") if isinstance(prop, dict) else prop
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [one[key] for one in value if isinstance(one, dict) for key in ("s", "e") if key in one]
    return [value]


def _is_gradient(gradient: Any) -> bool:
    """Whether a gradient has as many colors as declared: four numbers each, position and red, green, blue."""
    if not isinstance(gradient, dict):
        return False
    points, values = gradient.get("p", -1), _values(gradient.get("k"))
    if not isinstance(points, int) or points == 0 or points < -1 or not values:
        return False
    return all(
        isinstance(one, list) and len(one) >= 4 * max(1, points) and all(isinstance(n, int | float) for n in one)
        for one in values
    )


def _numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, int | float):
        yield float(value)
    for inner in _inner(value):
        yield from _numbers_in(inner)


def _undrawn(layer: Mapping[str, Any]) -> Counter[str]:
    """Features of a layer that rlottie skips."""
    counts = Counter[str]()
    layer_kind = layer.get("ty")
    if isinstance(layer_kind, int) and layer_kind in _LAYER_KINDS:
        counts[_LAYER_KINDS[layer_kind]] += 1
    counts["effects"] += len(layer["ef"]) if isinstance(layer.get("ef"), list) else 0
    counts["layer styles"] += len(layer["sy"]) if isinstance(layer.get("sy"), list) else 0
    counts["blend modes"] += bool(layer.get("bm"))
    counts["3D layers"] += bool(layer.get("ddd"))
    todo: list[Any] = [{key: value for key, value in layer.items() if key != "ef"}]
    while todo:
        value = todo.pop()
        todo += _inner(value)
        if isinstance(value, dict):
            counts["expressions"] += "k" in value and isinstance(value.get("x"), str)
            kind = value.get("ty")
            if isinstance(kind, str) and kind in _SHAPE_KINDS:
                counts[_SHAPE_KINDS[kind]] += 1
    return counts


def _without_images(content: dict[str, Any]) -> bool:
    """Remove references to image files, so that rendering never opens a file; True if there were any."""
    assets = content.get("assets", [])
    kept = [asset for asset in assets if "layers" in asset]
    if len(kept) == len(assets):
        return False
    content["assets"] = kept
    for asset_layers in (content["layers"], *(asset["layers"] for asset in kept)):
        for layer in asset_layers:
            if layer.get("ty") == 2:
                layer["ty"] = 3  # a null layer; others may use it as parent
    return True

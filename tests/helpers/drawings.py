"""Small Lottie and SVG drawings, made from code."""

import gzip
import io
import json
import zipfile
from typing import Any

RED, HALF_BLUE = [1, 0, 0, 1], [0, 0, 1, 1]


def square(side: float = 32, color: list[float] = RED, opacity: float = 100) -> list[dict[str, Any]]:
    """Shapes: a filled square around the layer's origin."""
    return [
        {
            "ty": "gr",
            "it": [
                {"ty": "rc", "d": 1, "s": fixed([side, side]), "p": fixed([0, 0]), "r": fixed(0)},
                {"ty": "fl", "c": fixed(color), "o": fixed(opacity), "r": 1},
                {
                    "ty": "tr",
                    "p": fixed([0, 0]),
                    "a": fixed([0, 0]),
                    "s": fixed([100, 100]),
                    "r": fixed(0),
                    "o": fixed(100),
                },
            ],
        }
    ]


def fixed(value: Any) -> dict[str, Any]:
    """A property that does not move."""
    return {"a": 0, "k": value}


def layer(shapes: list[dict[str, Any]], position: Any = (32, 32), frames: int = 10, **extra: Any) -> dict[str, Any]:
    """A layer of shapes; `position` is a place, or a list of keyframes."""
    moving = isinstance(position, list)
    return {
        "ty": 4,
        "ind": 1,
        "ip": 0,
        "op": frames,
        "st": 0,
        "ks": {
            "o": fixed(100),
            "r": fixed(0),
            "p": {"a": 1, "k": position} if moving else fixed([*position, 0]),
            "a": fixed([0, 0, 0]),
            "s": fixed([100, 100, 100]),
        },
        "shapes": shapes,
        **extra,
    }


def lottie(
    layers: list[dict[str, Any]] | None = None, frames: int = 10, fps: float = 50, **extra: Any
) -> dict[str, Any]:
    """An animation of 64 x 64 pixels; without layers, a red square of 32 pixels in the middle."""
    layers = [layer(square(), frames=frames)] if layers is None else layers
    return {"v": "5.5.2", "fr": fps, "ip": 0, "op": frames, "w": 64, "h": 64, "layers": layers, "assets": [], **extra}


def sliding(frames: int = 10) -> dict[str, Any]:
    """A square of 8 pixels whose middle is at 4 + 4 n in frame n."""
    keys = [
        {"t": 0, "s": [4, 32, 0], "e": [4 + 4 * frames, 32, 0], "i": {"x": 1, "y": 1}, "o": {"x": 0, "y": 0}},
        {"t": frames, "s": [4 + 4 * frames, 32, 0]},
    ]
    return lottie([layer(square(8), position=keys, frames=frames)], frames)


def as_json(animation: dict[str, Any]) -> bytes:
    """A .json file."""
    return json.dumps(animation).encode()


def as_tgs(animation: dict[str, Any]) -> bytes:
    """Telegram's form."""
    return gzip.compress(as_json({"tgs": 1, **animation}), mtime=0)


def as_dotlottie(animation: dict[str, Any], folder: str = "animations") -> bytes:
    """A .lottie file, of version 1 (`animations`) or 2 (`a`)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps({"version": "1.0", "animations": [{"id": "one"}]}))
        archive.writestr(f"{folder}/one.json", as_json(animation))
    return data.getvalue()


def svg(
    body: str = '<circle cx="16" cy="16" r="8" fill="red"/>', root: str = 'width="32" height="32"', head: str = ""
) -> bytes:
    """An SVG of 32 x 32 pixels with a view box."""
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{head}<svg {space} {root} viewBox="0 0 32 32">{body}</svg>'.encode()

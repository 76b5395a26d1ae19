"""What each platform accepts, read from `platforms.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from glassine.utils.class_paths import read_yaml
from glassine.utils.errors import UserError

Format = Literal["webm", "webp", "apng", "png", "gif"]
Kind = Literal["animated", "static"]
SUFFIXES: dict[str, str] = {"webm": ".webm", "webp": ".webp", "apng": ".png", "png": ".png", "gif": ".gif"}
DATA = Path(__file__).parent / "platforms.yaml"


@dataclass(frozen=True)
class Limits:
    """Requirements for one file. `platforms.yaml` documents the meaning and source of each number.

    Attributes:
        canvas: width and height in pixels.
        sources: attribute name to the name of its source.
    """

    format: Format
    canvas: tuple[int, int]
    shape: Literal["exact", "cut"]
    bytes: int
    file: str = ""
    shrink_to: int | None = None
    even: bool = False
    max_ms: int | None = None
    max_fps: float | None = None
    min_frame_ms: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    whole_seconds: bool = False
    max_loops: int = 0
    loops_ms: int | None = None
    whole_canvas: bool = False
    transparent: bool = False
    margin: int = 0
    counts: tuple[int, ...] = ()
    covers: tuple[Limits, ...] = ()
    each: tuple[Limits, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """Suffix of the file name."""
        return SUFFIXES[self.format]

    @property
    def can_move(self) -> bool:
        """Whether the file has more than one frame."""
        return self.format in ("webm", "gif", "apng") or (self.format == "webp" and bool(self.sources.get("max_loops")))


@dataclass(frozen=True)
class TextRule:
    """Rules for a name: `min` to `max` characters, fully matched by `pattern`."""

    min: int = 1
    max: int = 100_000
    pattern: str = ""

    def problem(self, text: str) -> str | None:
        """The problem with `text`, if any."""
        if not self.min <= len(text) <= self.max:
            return f"must have {self.min} to {self.max} characters, got {len(text)}"
        if self.pattern and not re.fullmatch(self.pattern, text):
            return f"must match {self.pattern}, got {text!r}"
        if not text.strip() or not text.isprintable():
            return f"must be printable and not blank, got {text!r}"
        return None


@dataclass(frozen=True)
class Platform:
    """One target of `--for`."""

    key: str
    title: str
    kinds: dict[str, Limits]
    count: tuple[int, int] = (1, 1_000_000)
    mixed: bool = True
    emoji: tuple[int, int] = (0, 0)
    name: TextRule | None = None
    author: TextRule | None = None
    sticker_name: TextRule | None = None
    text: dict[str, int] = field(default_factory=dict)
    file_names: Literal["number", "slug"] = "number"
    zip_bytes: int | None = None

    def limits(self, kind: Kind) -> Limits:
        """Requirements for a file of this kind.

        Raises:
            UserError: the platform does not accept this kind.
        """
        if kind not in self.kinds:
            raise UserError(f"{self.title} does not accept {kind} stickers: use --mixed still, or leave {self.key} out")
        return self.kinds[kind]

    def count_problem(self, number: int, kind: Kind) -> str | None:
        """The problem with a pack of `number` stickers, if any."""
        counts = self.kinds[kind].counts if kind in self.kinds else ()
        if counts and number not in counts:
            return f"a pack must have {', '.join(map(str, counts[:-1]))} or {counts[-1]} stickers, got {number}"
        low, high = self.count
        if not low <= number <= high:
            return f"a pack must have {low} to {high} stickers, got {number}"
        return None


@cache
def platforms() -> dict[str, Platform]:
    """All platforms, by their `--for` name."""
    data = read_yaml(DATA)
    names = set(data["sources"])
    return {key: _platform(key, dict(entry), names) for key, entry in data["platforms"].items()}


def sources() -> dict[str, dict[str, str]]:
    """Sources of the numbers: `where`, `read` (year and month), `confirmed` (True, False) and `kind`."""
    return {
        name: {key: str(value) for key, value in entry.items()} for name, entry in read_yaml(DATA)["sources"].items()
    }


def platform(key: str) -> Platform:
    """One platform.

    Raises:
        UserError: the name is unknown.
    """
    known = platforms()
    if key not in known:
        raise UserError(f"platform must be one of {', '.join(known)}, got {key!r}")
    return known[key]


def _platform(key: str, entry: dict[str, Any], names: set[str]) -> Platform:
    kinds: dict[str, Limits] = {
        kind: _limits(entry.pop(kind), names) for kind in ("animated", "static") if kind in entry
    }
    given = {
        name: value if name in ("title", "file_names") else _value(value, names, f"{key}.{name}")
        for name, value in entry.items()
    }
    for name in ("name", "author", "sticker_name"):
        if name in given:
            given[name] = TextRule(**given[name])
    for name in ("count", "emoji"):
        if name in given:
            given[name] = tuple(given[name])
    return Platform(key=key, kinds=kinds, **given)


def _limits(entry: dict[str, Any], names: set[str]) -> Limits:
    known = {field.name for field in fields(Limits)}
    given: dict[str, Any] = {}
    found: dict[str, str] = {}
    for name, value in entry.items():
        if name not in known:
            raise ValueError(f"platforms.yaml has an unknown limit {name!r}")
        if name in ("covers", "each"):
            given[name] = tuple(_limits(part, names) for part in value)
        elif name == "file":
            given[name] = value
        else:
            plain = _value(value, names, name)
            given[name] = tuple(plain) if isinstance(plain, list) else plain
            found[name] = value[1]
    return Limits(**given, sources=found)


def _value(pair: Any, names: set[str], name: str) -> Any:
    if not isinstance(pair, list) or len(pair) != 2 or pair[1] not in names:
        raise ValueError(f"platforms.yaml: {name} must be [value, source], got {pair!r}")
    return pair[0]

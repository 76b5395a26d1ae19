"""Damage that keeps a text well-formed, so that what stands in it gets looked at and not only the parser."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

Change = Callable[[bytes, random.Random, list[bytes]], bytes]

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 4, 0.5, 255, 65536, 2**31 - 1, 2**31, 2**63, 2**64, -(2**31), 10**30, 10**400),
    *(1e-30, -1e-9, 1e9, 1e30, 1e308, -1e308, float("nan"), float("inf"), "", "0", "one", "#", "\x1b[31m", "\ud800"),
    *("x" * 3000, [], {}, [[]], [0], [1e30, -1e30], [0] * 300, {"k": 0}, {"a": 1, "k": []}),
]
ATTRIBUTES = ["0", "-1", "1e-30", "1e9", "1e30", "-1e30", "1e400", "NaN", "inf", "", "none", "url(#a)", "url(#b)", "#a"]
ATTRIBUTES += [
    "100%",
    "1e6%",
    "9" * 300,
    "M0 0" + "L9 9" * 500,
    "0 0 0 0",
    "rotate(1e30)",
    "matrix(0 0 0 0 0 0)",
    "&#0;",
]


def mutated_json(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """A JSON text with one to six of its values changed, lost, doubled, wrapped, or taken from elsewhere."""
    content, text = json.loads(data), data
    for _ in range(generator.choice((1, 1, 2, 3, 6))):
        places = _places(content)
        if not places:
            break
        holder, key = generator.choice(places)
        match generator.randrange(8):
            case 0 | 1:
                holder[key] = copy.deepcopy(generator.choice(VALUES))
            case 2:
                del holder[key]
            case 3:
                elsewhere = [*places, *_places(json.loads(generator.choice(others)))]
                source, name = generator.choice(elsewhere)
                holder[key] = json.loads(json.dumps(source[name]))
            case 4:
                for _ in range(generator.choice((1, 3, 60, 300))):
                    holder[key] = [holder[key]] if generator.random() < 0.5 else {"k": holder[key]}
            case 5 if isinstance(holder, list):
                holder[key:key] = [json.loads(json.dumps(holder[key])) for _ in range(generator.choice((1, 5, 500)))]
            case 6 if isinstance(holder, dict):
                other = generator.choice(list(holder))
                holder[other] = holder.pop(key)
            case _:
                if type(holder[key]) in (int, float):
                    holder[key] *= generator.choice((-1, 2, 1000, 10**12))
                else:
                    holder[key] = copy.deepcopy(generator.choice(VALUES))
        try:
            text = json.dumps(content).encode()
        except RecursionError:  # Python's writer gives up before the reader that is to be tried
            return text
        if len(text) > 2**18:
            break  # more of it only costs time
    return text


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Each value as the list or object that holds it, and its place there."""
    found, waiting = [], [content]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys]
    return found


def mutated_xml(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """An XML text with one to six of its attributes, numbers and elements changed, lost, doubled or nested."""
    text, other = data.decode(), generator.choice(others).decode()
    for _ in range(generator.choice((1, 1, 2, 3, 6))):
        kind = generator.randrange(6)
        pattern = (r'="([^"<>]*)"', r"([-+]?[0-9][0-9.]*)", r"(<[^/!?][^<>]*/>)")[min(kind % 4, 2)]
        found = list(re.finditer(pattern, text))
        if not found:
            continue
        one = generator.choice(found)
        inside = one.group(1)
        match kind:
            case 0 | 1 | 4:
                new = generator.choice(ATTRIBUTES)
            case 2:
                new = inside * generator.choice((0, 2, 50))
            case 3:
                depth = generator.choice((1, 20, 150))
                new = '<g id="b">' * depth + inside + "</g>" * depth
            case _:
                new = generator.choice(re.findall(pattern, other) or [""])
        text = text[: one.start(1)] + new + text[one.end(1) :]
    return text.encode("utf-8", "surrogatepass")


def gzipped(change: Change) -> Change:
    """The same change of what is inside a gzip."""

    def changed(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
        inside = change(gzip.decompress(data), generator, [gzip.decompress(other) for other in others])
        return gzip.compress(inside, mtime=0)

    return changed


def zipped(change: Change, suffix: str) -> Change:
    """The same change of one of a zip's members with that suffix; the zip around it is right again."""

    def members(data: bytes) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def changed(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
        all_members = members(data)
        name = generator.choice([name for name in all_members if name.endswith(suffix)])
        inside = [content for other in others for name, content in members(other).items() if name.endswith(suffix)]
        all_members[name] = change(all_members[name], generator, inside)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in all_members.items():
                archive.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
        return packed.getvalue()

    return changed

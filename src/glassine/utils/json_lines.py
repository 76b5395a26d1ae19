"""Append-only JSON Lines: what was appended is on the disk, and a line that a crash cut off costs that line only."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


def append_lines(path: Path, contents: Iterable[Any]) -> None:
    """Append one line per item of `contents`; they are on disk when this returns.

    Args:
        path: of the file; made if it does not exist.
        contents: JSON values, or dataclasses of them.

    Raises:
        OSError: they could not all be written.
    """
    new = not path.exists()
    values = (
        asdict(content) if is_dataclass(content) and not isinstance(content, type) else content for content in contents
    )
    lines = b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a crash truncated the last line
                lines = b"\n" + lines
        try:
            left = memoryview(lines)
            while left:
                left = left[file.write(left) or 0 :]
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
    if new and hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def parse_line(line: bytes) -> Mapping[str, Any] | None:
    """The JSON object of a line; None if it holds none, for instance because a crash cut it off."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None

"""What the readers of drawings (Lottie, SVG) have in common: an optional renderer, bounded unpacking, said losses."""

from __future__ import annotations

import importlib
import warnings
import zlib
from collections.abc import Mapping
from types import ModuleType

from glassine.data.codecs.guard import check_size, damaged
from glassine.errors import UserError

MAX_TEXT_BYTES = 2**25
"""Largest drawing that is read, unpacked: 32 MiB. Real ones are below 1 MiB; anything above is a bomb or a mistake."""


class LeftOutWarning(UserWarning):
    """A file was read, but parts of it are not in its frames; the message names the file and counts the parts."""


def renderer(module: str, extra: str, name: str) -> ModuleType:
    """Import the package that draws a format.

    Args:
        module: its import name.
        extra: the extra of glassine that brings it.
        name: how the message calls the file.

    Raises:
        UserError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{name}: reading it needs the package {module}, which is not installed; pip install 'glassine[{extra}]'"
        ) from error


def drawn_size(name: str, width: float, height: float, longer: float, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels of a drawing whose longer side gets a size, its shape kept.

    Args:
        name: how messages call the file.
        width: as the file states it.
        height: as the file states it.
        longer: pixels of the longer side.
        max_pixels: most pixels a frame may have.

    Raises:
        UserError: the size is below 1 pixel, or more than `max_pixels` come out.
    """
    if not longer >= 1:
        raise UserError(f"{name}: size must be at least 1 pixel, got {longer:g}")
    scale = longer / max(width, height)
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    check_size(name, *sides, max_pixels)
    return sides


def gunzip(data: bytes, name: str) -> bytes:
    """Unpack gzip up to `MAX_TEXT_BYTES`; the length of what comes out is checked while it comes.

    Raises:
        UserError: damaged, cut off, or larger than the limit when unpacked.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise damaged(name, f"cannot be unpacked ({error})") from error
    if len(text) > MAX_TEXT_BYTES:
        raise too_large(name, None)
    if not unpacker.eof:
        raise damaged(name, "its gzip stream ends too early")
    return text


def too_large(name: str, size: int | None) -> UserError:
    """The error for a drawing whose text is longer than `MAX_TEXT_BYTES`."""
    said = f"{size:,}" if size is not None else f"more than {MAX_TEXT_BYTES:,}"
    return UserError(
        f"{name}: a drawing must be at most {MAX_TEXT_BYTES:,} bytes unpacked, got {said}; it is no sticker"
    )


def say_left_out(name: str, counts: Mapping[str, int]) -> None:
    """Warn once a file of what its frames lack; nothing where all counts are 0."""
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    if parts:
        warnings.warn(f"{name}: not drawn: {', '.join(parts)}", LeftOutWarning, stacklevel=3)

"""Read Lottie: vector animations as JSON, as Telegram's .tgs (gzip) or as .lottie (zip), rendered by rlottie.

Code shared by the vector readers (Lottie, SVG) is here, too: optional renderers, decompression within limits, and
warnings about features that the renderer skips.
"""

from __future__ import annotations

import importlib
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import ModuleType
from typing import BinaryIO

import numpy as np

from glassine.data.codecs.base import StickerReader
from glassine.data.codecs.drawing import Animation
from glassine.data.codecs.guard import check_size, damaged, decoding
from glassine.data.codecs.lottie_content import LottieContent, parse_lottie
from glassine.data.codecs.timing import whole_durations
from glassine.utils.errors import UserError

MAX_TEXT_BYTES = 2**25
"""Largest vector file, decompressed: 32 MiB. Real ones are below 1 MiB; larger ones are bombs or mistakes."""


class LeftOutWarning(UserWarning):
    """A file was read, but parts of it were not rendered; the message names the file and counts the parts."""


def renderer(module: str, extra: str, name: str) -> ModuleType:
    """Import the package that renders a format.

    Args:
        module: its import name.
        extra: the glassine extra that installs it.
        name: file name for the message.

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
    """Width and height in pixels for a given longer side, keeping the aspect ratio.

    Args:
        name: file name for messages.
        width: width in the file.
        height: height in the file.
        longer: pixels of the longer side.
        max_pixels: maximum number of pixels per frame.

    Raises:
        UserError: the size is below 1 pixel, or the result exceeds `max_pixels`.
    """
    if not longer >= 1:
        raise UserError(f"{name}: size must be at least 1 pixel, got {longer:g}")
    scale = longer / max(width, height)
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    check_size(name, *sides, max_pixels)
    return sides


def gunzip(data: bytes, name: str) -> bytes:
    """Decompress gzip up to `MAX_TEXT_BYTES`; the length is checked during decompression.

    Raises:
        UserError: the data is damaged, truncated, or larger than the limit when decompressed.
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
    """The error for a vector file longer than `MAX_TEXT_BYTES`."""
    said = f"{size:,}" if size is not None else f"more than {MAX_TEXT_BYTES:,}"
    return UserError(
        f"{name}: a drawing must be at most {MAX_TEXT_BYTES:,} bytes unpacked, got {said}; it is no sticker"
    )


def say_left_out(name: str, counts: Mapping[str, int]) -> None:
    """Warn once per file about skipped features; no warning if all counts are 0."""
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    if parts:
        warnings.warn(f"{name}: not drawn: {', '.join(parts)}", LeftOutWarning, stacklevel=3)


class LottieReader(StickerReader):
    """A Lottie animation, rendered at the requested size. Frames are independent, so every frame costs the same.

    rlottie returns premultiplied BGRA; the frames are straight RGBA. Alpha is rlottie's own, colors are as exact as its
    8 premultiplied bits allow. The frames from `ip` up to, but not including, `op` are one full loop, which plays
    forever. Features that rlottie does not render (expressions, effects, images, text, ...) are counted in a
    `LeftOutWarning`.

    Args:
        file: the open file: JSON, or JSON in gzip or zip.
        name: file name for messages.
        max_pixels: largest frame to render, width times height.
        size: the longer side in pixels; None for the file's own size.
        fps: maximum frames per second, sampled by time; None for all frames.

    Raises:
        UserError: rlottie is not installed, or the file is damaged, too large or not Lottie.
    """

    def __init__(
        self, file: BinaryIO, name: str, max_pixels: int, size: int | None = None, fps: float | None = None
    ) -> None:
        self._file, self._name = file, name
        content = parse_lottie(lottie_text(file, name), name)
        longer = max(1.0, content.width, content.height) if size is None else size
        self.width, self.height = drawn_size(name, content.width, content.height, longer, max_pixels)
        self._numbers, self.durations = _frame_times(content, fps)
        self.num_frames = len(self._numbers)
        renderer("rlottie_python", "lottie", name)
        self._animation = Animation(content, name, self.width, self.height)
        say_left_out(name, content.left_out)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        for number, duration in zip(self._numbers, self.durations or (), strict=True):
            yield self._animation.draw(number), duration

    def frames_at(self, indices: list[int]) -> np.ndarray:
        """See `StickerReader`; only renders the requested frames."""
        outside = [index for index in indices if not 0 <= index < len(self._numbers)]
        if outside or not indices:
            return super().frames_at(outside[:1])
        return np.stack([self._animation.draw(self._numbers[index]) for index in indices])

    def close(self) -> None:
        """Close the file and free the renderer's memory."""
        self._animation.close()
        self._file.close()


def _frame_times(content: LottieContent, fps: float | None) -> tuple[list[int], tuple[int, ...]]:
    """The indices of the frames to render and their durations in ms; the loop keeps its duration."""
    rate = Fraction(content.rate).limit_denominator(10**4)
    total = content.num_frames
    count = total
    if fps is not None:
        if not fps > 0:
            raise UserError(f"fps must be above 0, got {fps}; leave it out to keep all frames")
        count = min(total, max(1, int(Fraction(fps).limit_denominator(10**4) * total / rate)))
    numbers = [number * total // count for number in range(count)]
    steps = [after - before for before, after in zip(numbers, [*numbers[1:], total], strict=True)]
    return numbers, whole_durations((Fraction(1000 * step) / rate for step in steps), 1)


def lottie_text(file: BinaryIO, name: str) -> bytes:
    """The JSON inside a .json, .tgs or .lottie file, decompressed up to `MAX_TEXT_BYTES`.

    Raises:
        UserError: the file is damaged, truncated, encrypted, too large when decompressed, or a .lottie without an
            animation.
    """
    file.seek(0)
    data = file.read(MAX_TEXT_BYTES + 1)
    if data[:2] == b"PK":
        return _from_dotlottie(file, name)
    if len(data) > MAX_TEXT_BYTES:
        raise too_large(name, None)
    return gunzip(data, name) if data[:2] == b"\x1f\x8b" else data


def is_gzipped_svg(file: BinaryIO, name: str) -> bool:
    """Whether gzip holds XML rather than a Telegram sticker. Rewinds the file."""
    file.seek(0)
    head = zlib.decompressobj(wbits=31)
    try:
        start = head.decompress(file.read(2**12), 2**8)
    except zlib.error as error:
        raise damaged(name, f"cannot be unpacked ({error})") from error
    finally:
        file.seek(0)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def is_dotlottie(file: BinaryIO) -> bool:
    """Whether a zip is a .lottie: it has `manifest.json` and animations. Rewinds the file."""
    try:
        with zipfile.ZipFile(file) as archive:
            return bool(_animations(archive))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # the zip reader reports the problem
    finally:
        file.seek(0)


def _animations(archive: zipfile.ZipFile) -> list[str]:
    """The animations of a .lottie in the order of its directory: `animations/` in version 1, `a/` in version 2."""
    names = archive.namelist()
    if "manifest.json" not in names:
        return []
    return [name for name in names if name.startswith(("animations/", "a/")) and name.endswith(".json")]


def _from_dotlottie(file: BinaryIO, name: str) -> bytes:
    with decoding(name), zipfile.ZipFile(file) as archive:
        members = _animations(archive)
        if not members:
            raise UserError(f"{name}: is a zip without Lottie animations; give a .lottie, .tgs or .json file")
        about = archive.getinfo(members[0])
        if about.flag_bits & 1:
            raise UserError(f"{name}: is protected with a password; export it again without one")
        if about.file_size > MAX_TEXT_BYTES:
            raise too_large(name, about.file_size)
        if len(members) > 1:
            say_left_out(name, {"further animations in the file": len(members) - 1})
        with archive.open(about) as member:
            return member.read(MAX_TEXT_BYTES)

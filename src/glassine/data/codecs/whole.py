"""Whole stickers in memory: read all, write all, or pick single frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glassine.data.codecs.creating import create_sticker
from glassine.data.codecs.guard import MAX_PIXELS, MAX_STICKER_PIXELS, damaged
from glassine.data.codecs.opening import AlphaMode, open_bytes, open_sticker
from glassine.data.codecs.reader import StickerReader
from glassine.data.sticker import Sticker
from glassine.errors import UserError


def read_sticker(
    path: Path | str,
    *,
    max_pixels: int = MAX_PIXELS,
    alpha_mode: AlphaMode = "straight",
    size: int | None = None,
    fps: float | None = None,
) -> Sticker:
    """Read a whole sticker of any supported format (see `open_sticker`).

    Args:
        path: the file, or a folder of PNGs.
        max_pixels: largest frame that is read, width times height.
        alpha_mode: how the file stores colours; what is returned is straight.
        size: longer side in pixels of a Lottie or SVG, see `open_sticker`.
        fps: most frames a second of a Lottie.

    Raises:
        UserError: as `open_sticker`; also when all frames together pass `MAX_STICKER_PIXELS`.
    """
    with open_sticker(path, max_pixels=max_pixels, alpha_mode=alpha_mode, size=size, fps=fps) as reader:
        return _collect(reader, str(path))


def decode_bytes(data: bytes, suffix: str = "", *, max_pixels: int = MAX_PIXELS, size: int | None = None) -> Sticker:
    """Read a whole sticker out of bytes, such as a shard's member.

    Args:
        data: the file's content.
        suffix: only used in messages; the content tells the format.
        max_pixels: largest frame that is read.
        size: longer side in pixels of a Lottie or SVG.

    Raises:
        UserError: as `read_sticker`.
    """
    name = f"{suffix.lstrip('.') or 'media'} data"
    with open_bytes(data, name, max_pixels=max_pixels, size=size) as reader:
        return _collect(reader, name)


def read_frames(
    source: bytes | Path | str, suffix: str, indices: Sequence[int], *, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read single frames, in the order asked for, repeats allowed.

    GIF, WebP and APNG decode from the start to the last frame asked for and keep only those asked for; PNG zips and
    folders, and opaque video where decord is installed, jump.

    Args:
        source: a path, or the file's content as bytes.
        suffix: only used in messages; the content tells the format.
        indices: frame numbers from 0.
        max_pixels: largest frame that is read.

    Returns:
        `f h w 4` uint8, straight RGBA.

    Raises:
        UserError: as `read_sticker`.
        IndexError: a number outside the sticker.
    """
    if isinstance(source, bytes):
        reader = open_bytes(source, f"{suffix.lstrip('.') or 'media'} data", max_pixels=max_pixels)
    else:
        reader = open_sticker(source, max_pixels=max_pixels)
    with reader:
        return reader.frames_at(list(indices))


def write_sticker(
    sticker: Sticker,
    path: Path | str,
    *,
    quality: int | None = None,
    alpha_threshold: int = 128,
    dither: bool = False,
    whole_canvas: bool = False,
) -> None:
    """Write a whole sticker; the suffix tells the format, and the arguments are those of `create_sticker`.

    Raises:
        UserError: as `create_sticker`.
    """
    writer = create_sticker(
        path,
        sticker.width,
        sticker.height,
        sticker.loop,
        quality=quality,
        alpha_threshold=alpha_threshold,
        dither=dither,
        whole_canvas=whole_canvas,
    )
    with writer:
        for frame, duration in zip(sticker.frames, sticker.durations, strict=True):
            writer.append(frame, duration)


def _collect(reader: StickerReader, name: str) -> Sticker:
    frames: list[np.ndarray] = []
    durations: list[int] = []
    most = MAX_STICKER_PIXELS // (reader.width * reader.height)
    for frame, duration in reader:
        if len(frames) >= most:
            raise UserError(
                f"{name}: more than {most:,} frames of {reader.width}x{reader.height} do not fit in memory; "
                "shorten it, scale it down, or read it frame by frame with open_sticker"
            )
        frames.append(frame)
        durations.append(duration)
    if not frames:
        raise damaged(name, "it has no frames")
    return Sticker(np.stack(frames), tuple(durations), reader.loop)

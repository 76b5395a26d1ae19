"""Encode frames to one file at one quality level, giving up as soon as it is too large."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glassine.data.codecs import create_sticker
from glassine.data.codecs.base import changed_box
from glassine.data.codecs.png_layout import SIGNATURE, png_chunk
from glassine.data.sticker import Sticker
from glassine.pipelines.pack.limits import Limits
from glassine.pipelines.pack.palette import apply_palette, exact_palette, shared_palette
from glassine.utils.errors import UserError

Frames = NDArray[np.uint8]
RGB = tuple[int, int, int]
Pack = Callable[[Frames, Frames | None], bytes]
NEAR = 1.25
"""PNGs that exceed the limit by up to this factor are recompressed with oxipng, which takes ten times as long."""

# best first, then three lower rounds. webp: None is lossless; webm: 0 to 100; others: number of colors, None is all
QUALITIES: dict[str, tuple[int | None, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "webp": (None, (90, 80), (70, 55), (40, 25)),
    "webm": (85, (75, 65), (55, 45), (35, 20)),
    "apng": (None, (256,), (128, 64), (32, 16)),
    "png": (None, (256,), (128, 64), (32, 16)),
    "gif": (256, (128,), (64, 32), (16,)),
}


@dataclass(frozen=True)
class OneBit:
    """How soft edges are converted to GIF's 1-bit alpha.

    Args:
        matte: color that soft pixels are composited on before they become opaque; None keeps their own color.
        threshold: pixels with at least this alpha, 1 to 255, are kept; None is 128, or 24 with a matte, whose
            color then carries the softness of the edge.
    """

    matte: RGB | None = None
    threshold: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 1 <= self.threshold <= 255:
            raise UserError(f"alpha threshold must be 1 to 255, got {self.threshold}")

    @property
    def least_alpha(self) -> int:
        """Lowest alpha that is kept."""
        return self.threshold if self.threshold is not None else 128 if self.matte is None else 24

    def apply(self, frames: Frames) -> Frames:
        """`f h w 4` uint8 with alpha 0 or 255."""
        kept = frames[..., 3] >= self.least_alpha
        result = frames.copy()
        if self.matte is not None:
            alpha = frames[..., 3:].astype(np.uint32)
            mixed = frames[..., :3] * alpha + np.array(self.matte, np.uint32) * (255 - alpha)
            result[..., :3] = (mixed + 127) // 255
        result[..., 3] = np.where(kept, 255, 0)
        result[~kept] = 0
        return result


@dataclass(frozen=True)
class Encoded:
    """One attempt: the file, or None if it would be too large, and its actual or estimated size."""

    data: bytes | None
    size: int


def encode(sticker: Sticker, limits: Limits, quality: int | None, one_bit: OneBit, most: int) -> Encoded:
    """Encode a sticker whose frames are already on the canvas.

    Args:
        sticker: frames, durations and loop count for the file.
        limits: limits of its format.
        quality: one of `QUALITIES`.
        one_bit: 1-bit alpha settings for GIF.
        most: maximum number of bytes.

    Raises:
        UserError: something the encoder does not support, or a full disk (video uses a temporary file).
    """
    match limits.format:
        case "apng" | "png":
            return _png(sticker, quality, most)
        case "gif":
            frames = apply_palette(*shared_palette(one_bit.apply(sticker.frames), quality or 256))
            sticker = Sticker(frames, sticker.durations, sticker.loop)
            return _by_writer(sticker, ".gif", None, False, most)
        case "webp":
            return _by_writer(sticker, ".webp", quality, limits.whole_canvas, most)
        case "webm":
            return _by_writer(sticker, ".webm", quality, False, most)


def _by_writer(sticker: Sticker, suffix: str, quality: int | None, whole_canvas: bool, most: int) -> Encoded:
    """Encode with the package's own writers, frame by frame, monitoring the file size."""
    with tempfile.TemporaryDirectory(prefix="glassine-") as folder:
        path = Path(folder) / f"sticker{suffix}"
        try:
            with create_sticker(
                path, sticker.width, sticker.height, sticker.loop, quality=quality, whole_canvas=whole_canvas
            ) as writer:
                for number, (frame, duration) in enumerate(zip(sticker.frames, sticker.durations, strict=True), 1):
                    writer.append(frame, duration)
                    size = sum(file.stat().st_size for file in Path(folder).iterdir())
                    if size > most:
                        raise _TooLargeError(size * sticker.num_frames // number)
        except _TooLargeError as error:
            return Encoded(None, error.size)
        data = path.read_bytes()
    return Encoded(data if len(data) <= most else None, len(data))


class _TooLargeError(Exception):
    """Raised to stop a writer, which then removes its file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _png(sticker: Sticker, colors: int | None, most: int) -> Encoded:
    """PNG or APNG, storing the changed box of each frame. Up to 256 colors get a lossless palette."""
    found = exact_palette(sticker.frames) if colors is None else shared_palette(sticker.frames, colors)
    pixels, table = (sticker.frames, None) if found is None else (found[0][..., None], found[1])
    first = _assemble(sticker, pixels, table, _packed_quickly, most, int(most * NEAR))
    if first.size > most * NEAR or (first.data is not None and sticker.num_frames > 1):
        return first
    second = _assemble(sticker, pixels, table, _packed_well, most, most)
    return second if first.data is None or (second.data is not None and second.size < first.size) else first


def _assemble(sticker: Sticker, pixels: Frames, table: Frames | None, pack: Pack, most: int, stop: int) -> Encoded:
    """The file of `pixels` `f h w c`: c is 4, or 1 with the palette `table`; stops after `stop` bytes."""
    animated = sticker.num_frames > 1
    color_type = 6 if table is None else 3
    parts = [
        SIGNATURE,
        png_chunk(b"IHDR", struct.pack(">IIBBBBB", sticker.width, sticker.height, 8, color_type, 0, 0, 0)),
    ]
    if animated:
        parts.append(png_chunk(b"acTL", struct.pack(">II", sticker.num_frames, sticker.loop)))
    if table is not None:
        parts += [png_chunk(b"PLTE", table[:, :3].tobytes()), png_chunk(b"tRNS", table[:, 3].tobytes())]
    length, sequence = sum(map(len, parts)), 0
    previous = None
    for number, (frame, duration) in enumerate(zip(pixels, sticker.durations, strict=True), 1):
        left, top, right, bottom = changed_box(previous, frame)
        data = pack(np.ascontiguousarray(frame[top:bottom, left:right]), table)
        if animated:
            box = struct.pack(">IIIIIHHBB", sequence, right - left, bottom - top, left, top, *_delay(duration), 0, 0)
            parts.append(png_chunk(b"fcTL", box))
            sequence += 1
        if previous is None:
            parts.append(png_chunk(b"IDAT", data))
        else:
            parts.append(png_chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
        previous = frame
        length += len(parts[-1]) + 38 * animated
        if length > stop:
            return Encoded(None, length * sticker.num_frames // number)
    data = b"".join([*parts, png_chunk(b"IEND", b"")])
    return Encoded(data if len(data) <= most else None, len(data))


def _delay(duration_ms: int) -> tuple[int, int]:
    """Duration in seconds as numerator and denominator."""
    return (duration_ms, 1000) if duration_ms <= 65_535 else (min(65_535, round(duration_ms / 1000)), 1)


def _packed_quickly(pixels: Frames, table: Frames | None) -> bytes:
    """The compressed pixels of `h w c` with Pillow: filters for RGBA, none for palette indices."""
    file = io.BytesIO()
    if table is None:
        image = Image.fromarray(pixels, "RGBA")
    else:
        image = Image.fromarray(pixels[..., 0], "P")
        image.putpalette(bytes(768))  # the full palette, so that Pillow stores 8 bits per pixel
    image.save(file, format="PNG", compress_level=6 if table is None else 9, bits=8)
    return _pixel_data(file.getvalue())


def _packed_well(pixels: Frames, table: Frames | None) -> bytes:
    """The same with oxipng, which tries filters and compresses with libdeflate.

    Raises:
        UserError: it is not installed.
    """
    try:
        import oxipng
    except ImportError as error:
        raise UserError("packs with PNG or APNG need pyoxipng: pip install 'glassine[pack]'") from error
    if table is None:
        color = oxipng.ColorType.rgba()
    else:
        color = oxipng.ColorType.indexed([tuple(map(int, entry)) for entry in table])
    image = oxipng.RawImage(pixels.tobytes(), pixels.shape[1], pixels.shape[0], color_type=color, bit_depth=8)
    packed = image.create_optimized_png(
        level=2,
        # every frame must keep the file's color type and palette
        bit_depth_reduction=False,
        color_type_reduction=False,
        palette_reduction=False,
        grayscale_reduction=False,
    )
    return _pixel_data(packed)


def _pixel_data(data: bytes) -> bytes:
    """The content of the IDAT chunks of a still PNG."""
    parts, place = [], len(SIGNATURE)
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        if tag == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)

"""Frames to the bytes of one file, at one level of quality, given up as soon as they are too many."""

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
"""A PNG that is so much too large is packed again by oxipng, which takes ten times as long."""

# best first, then three rounds of lower ones. webp: None is lossless; webm: 0 to 100; the others: colors, None is all
QUALITIES: dict[str, tuple[int | None, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "webp": (None, (90, 80), (70, 55), (40, 25)),
    "webm": (85, (75, 65), (55, 45), (35, 20)),
    "apng": (None, (256,), (128, 64), (32, 16)),
    "png": (None, (256,), (128, 64), (32, 16)),
    "gif": (256, (128,), (64, 32), (16,)),
}


@dataclass(frozen=True)
class OneBit:
    """How soft edges become GIF's: a pixel is there or not.

    Args:
        matte: color that soft pixels are laid on before they become opaque; None keeps their own color.
        threshold: pixels of at least this alpha, 1 to 255, stay; None is 128, or 24 where there is a matte, whose
            color then carries the softness of the edge.
    """

    matte: RGB | None = None
    threshold: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 1 <= self.threshold <= 255:
            raise UserError(f"alpha threshold must be 1 to 255, got {self.threshold}")

    @property
    def least_alpha(self) -> int:
        """Alpha from which a pixel stays."""
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
    """One try: the file, or None where it would be larger than asked for, and its size, or how large it would be."""

    data: bytes | None
    size: int


def encode(sticker: Sticker, limits: Limits, quality: int | None, one_bit: OneBit, most: int) -> Encoded:
    """Write a sticker whose frames lie on the canvas already.

    Args:
        sticker: its frames, durations and loop count as they shall be in the file.
        limits: for its format.
        quality: of `QUALITIES`.
        one_bit: for GIF.
        most: bytes.

    Raises:
        UserError: what the encoder cannot do, or a full disk (video goes through a temporary file).
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
    """By the package's own writers, frame by frame, watching how large the file grows."""
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
    """Stops a writer, which then removes its file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _png(sticker: Sticker, colors: int | None, most: int) -> Encoded:
    """PNG or APNG, every frame the box that changed. Up to 256 colors get a palette, which loses nothing."""
    found = exact_palette(sticker.frames) if colors is None else shared_palette(sticker.frames, colors)
    pixels, table = (sticker.frames, None) if found is None else (found[0][..., None], found[1])
    first = _assemble(sticker, pixels, table, _packed_quickly, most, int(most * NEAR))
    if first.size > most * NEAR or (first.data is not None and sticker.num_frames > 1):
        return first
    second = _assemble(sticker, pixels, table, _packed_well, most, most)
    return second if first.data is None or (second.data is not None and second.size < first.size) else first


def _assemble(sticker: Sticker, pixels: Frames, table: Frames | None, pack: Pack, most: int, stop: int) -> Encoded:
    """The file of `pixels` `f h w c`: c is 4, or 1 with the palette `table`; given up past `stop` bytes."""
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
    """Numerator and denominator in seconds."""
    return (duration_ms, 1000) if duration_ms <= 65_535 else (min(65_535, round(duration_ms / 1000)), 1)


def _packed_quickly(pixels: Frames, table: Frames | None) -> bytes:
    """The packed pixels of `h w c` by Pillow: filters for RGBA, none for numbers of a palette."""
    file = io.BytesIO()
    if table is None:
        image = Image.fromarray(pixels, "RGBA")
    else:
        image = Image.fromarray(pixels[..., 0], "P")
        image.putpalette(bytes(768))  # all of it, so that Pillow stores 8 bits a pixel
    image.save(file, format="PNG", compress_level=6 if table is None else 9, bits=8)
    return _pixel_data(file.getvalue())


def _packed_well(pixels: Frames, table: Frames | None) -> bytes:
    """The same by oxipng, which tries filters and packs with libdeflate.

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
        # every frame must keep the one color type and palette of the file
        bit_depth_reduction=False,
        color_type_reduction=False,
        palette_reduction=False,
        grayscale_reduction=False,
    )
    return _pixel_data(packed)


def _pixel_data(data: bytes) -> bytes:
    """What the IDAT chunks of a still PNG hold."""
    parts, place = [], len(SIGNATURE)
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        if tag == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)

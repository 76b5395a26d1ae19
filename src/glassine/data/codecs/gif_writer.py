"""Write GIF frame by frame: Pillow compresses the images (LZW); blocks, palettes and disposal are written here.

Pillow's own animation writer merges equal neighbors. Blocks: GIF89a specification, CompuServe 1990. Each frame is
reduced to its own palette.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerWriter, mask_box
from glassine.data.codecs.timing import TickClock

_REFINEMENTS = 2
_ROWS_AT_ONCE = 16_384


def quantize(colors: np.ndarray, drawn: np.ndarray, most: int, dither: bool) -> tuple[np.ndarray, np.ndarray]:
    """Choose a palette for the drawn pixels only and index the pixels.

    Up to `most` different colors are exact; more are reduced by Pillow's octree, refined by two k-means steps (0.4 dB
    above median cut with k-means, at a quarter of the time).

    Args:
        colors: `h w 3` uint8.
        drawn: `h w` bool; only these pixels are used.
        most: size of the palette, up to 256.
        dither: error diffusion (Floyd-Steinberg); smoother gradients, but noise that flickers between frames.

    Returns:
        Indices `h w` uint8 (0 where not drawn) and the palette `n 3` uint8, n from 1 to `most`.
    """
    numbers = np.zeros(drawn.shape, np.uint8)
    pixels = colors[drawn]  # n 3
    if not len(pixels):
        return numbers, np.zeros((1, 3), np.uint8)
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    keys, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    unique = np.stack([keys >> 16, keys >> 8 & 255, keys & 255], axis=-1).astype(np.uint8)  # u 3
    if len(unique) <= most:
        numbers[drawn] = inverse
        return numbers, unique
    palette = _refined(pixels, unique.astype(np.float32), counts, most)
    if dither:
        filled = np.where(drawn[..., None], colors, pixels.mean(axis=0).astype(np.uint8))
        chart = Image.new("P", (1, 1))
        # unused entries repeat the first color, otherwise Pillow would use them as black
        chart.putpalette(np.concatenate([palette, np.repeat(palette[:1], 256 - len(palette), axis=0)]).tobytes())
        spread = Image.fromarray(filled, "RGB").quantize(palette=chart, dither=Image.Dither.FLOYDSTEINBERG)
        chosen = np.asarray(spread)[drawn]
        numbers[drawn] = np.where(chosen < len(palette), chosen, 0)
    else:
        numbers[drawn] = _nearest(unique.astype(np.float32), palette.astype(np.float32))[inverse]
    return numbers, palette


def _refined(pixels: np.ndarray, unique: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """A palette `n 3` uint8 for `pixels`, whose different colors are `unique`, each `counts` times."""
    line = Image.fromarray(np.ascontiguousarray(pixels[None]), "RGB")
    reduced = line.quantize(most, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette("RGB"), np.float32).reshape(-1, 3)[:most]
    for _ in range(_REFINEMENTS):
        owner = _nearest(unique, palette)
        weight = np.bincount(owner, counts, len(palette))[:, None]
        total = np.stack([np.bincount(owner, counts * unique[:, c], len(palette)) for c in range(3)], axis=-1)
        palette = np.where(weight > 0, total / np.maximum(weight, 1), palette).astype(np.float32)
    return palette.round().astype(np.uint8)


def _nearest(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Index of the nearest palette color for each of `u 3` float32, computed in slices to save memory."""
    length = (palette**2).sum(axis=1)
    slices = np.array_split(colors, len(colors) // _ROWS_AT_ONCE + 1)
    return np.concatenate([(length - 2 * part @ palette.T).argmin(axis=1) for part in slices])


_KEEP, _CLEAR = 1, 2
_MOST_TICKS = 65_535


class GifWriter(StickerWriter):
    """GIF with per-frame palettes and 1-bit alpha. A single frame is written as a still GIF.

    A frame only stores changed pixels; where pixels become invisible, the previous frame is cleared. Durations are
    stored in steps of 10 ms, carrying over the remainder to avoid drift. None is shorter than 20 ms, since browsers
    slow shorter ones down to 100 ms, and none is longer than 655,350 ms, which is reported.

    Args:
        path: see `StickerWriter`.
        width: see `StickerWriter`.
        height: see `StickerWriter`.
        loop: number of plays. GIF counts repeats, which this writer accounts for.
        alpha_threshold: pixels with at least this alpha (1 to 255) become opaque, all others transparent.
        dither: see `quantize`.
    """

    shortest_ms = 20

    def __init__(self, path: Path, width: int, height: int, loop: int, alpha_threshold: int, dither: bool) -> None:
        super().__init__(path, width, height, loop)
        self.alpha_threshold, self.dither = alpha_threshold, dither
        self._clock = TickClock(10, least=2, most=_MOST_TICKS)
        self._waiting: tuple[np.ndarray, np.ndarray, int] | None = None  # colors, visible, ticks: not yet written
        self._standing: tuple[np.ndarray, np.ndarray] | None = None  # the canvas before it

    def _start(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", self.width, self.height, 0x70, 0, 0))

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        visible = frame[..., 3] >= self.alpha_threshold
        if self.num_frames == 1 and self.loop != 1:  # an animation, which plays once without the extension
            repeats = self.loop - 1 if self.loop else 0
            self._file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", repeats, 0))
        if duration_ms > 10 * _MOST_TICKS:
            self.notes.append(f"a frame of {duration_ms:,} ms is shown for {10 * _MOST_TICKS:,} ms, the most GIF holds")
        # a frame's disposal depends on the next one, so one frame is held back
        self._write_waiting(visible)
        self._waiting = (frame[..., :3].copy(), visible, self._clock.ticks(duration_ms))

    def _write_waiting(self, next_visible: np.ndarray) -> None:
        if self._waiting is None:
            return
        colors, visible, ticks = self._waiting
        drawn = visible
        if self._standing is not None:
            drawn = visible & ~(self._standing[1] & np.all(colors == self._standing[0], axis=-1))
        clear = bool((visible & ~next_visible).any())
        if self._standing is None and self.num_frames == 1:
            left, top, right, bottom = 0, 0, self.width, self.height  # programs disagree on cropped first frames
        else:
            left, top, right, bottom = mask_box(visible if clear else drawn)
        box = (slice(top, bottom), slice(left, right))
        self._write_picture(colors[box], drawn[box], (left, top), ticks, _CLEAR if clear else _KEEP)
        self._standing = None if clear else (colors, visible)

    def _write_picture(
        self, colors: np.ndarray, drawn: np.ndarray, corner: tuple[int, int], ticks: int, disposal: int
    ) -> None:
        # other programs clear a box to the background color unless its image has a transparent color
        whole = disposal == _KEEP and bool(drawn.all())
        numbers, palette = quantize(colors, drawn, 256 if whole else 255, self.dither)
        hole = 0
        if not whole:
            hole = len(palette)
            numbers[~drawn] = hole
            palette = np.concatenate([palette, np.zeros((1, 3), np.uint8)])
        bits = max(1, (len(palette) - 1).bit_length())
        table = palette.tobytes().ljust(3 << bits, b"\0")
        self._file.write(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, disposal << 2 | (not whole), ticks, hole, 0))
        height, width = drawn.shape
        self._file.write(struct.pack("<BHHHHB", 0x2C, *corner, width, height, 0x80 | (bits - 1)) + table)
        self._file.write(_packed(numbers))

    def _finish(self) -> None:
        self._write_waiting(np.ones((self.height, self.width), bool))
        self._file.write(b"\x3b")
        self._file.close()

    def _abandon(self) -> None:
        self._file.close()


def _packed(numbers: np.ndarray) -> bytes:
    """The code size and data blocks of a still GIF of `h w` uint8."""
    image = Image.fromarray(np.ascontiguousarray(numbers), "P")
    image.putpalette(bytes(range(256)) * 3)
    packed = io.BytesIO()
    image.save(packed, format="GIF", optimize=False, interlace=0)
    data = packed.getvalue()
    place = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while data[place] == 0x21:  # extensions
        place += 2
        while data[place]:
            place += 1 + data[place]
        place += 1
    place += 10 + (3 << ((data[place + 9] & 7) + 1) if data[place + 9] & 0x80 else 0)
    return data[place:-1]

"""Read PNG and APNG, and write APNG frame by frame; Pillow compresses and decompresses the images.

The reader composites them as browsers do: Pillow's own composition loses semi-transparent frames, and the content
covered by a frame that is blended and then disposed of. The writer creates the animation chunks itself: Pillow's keeps
every frame until the end and merges equal neighbors. Chunks: PNG specification, third edition, sections 11.3.6 and 12
(https://www.w3.org/TR/png-3).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader, StickerWriter, changed_box, rgba_pixels
from glassine.data.codecs.color import to_srgb
from glassine.data.codecs.guard import SHORTEST_SHOWN_MS, check_size, damaged, decoding
from glassine.data.codecs.png_layout import CLEAR, OVER, RESTORE, SIGNATURE, PngFrame, png_chunk, png_layout
from glassine.data.codecs.still import upright, upright_size
from glassine.utils.errors import UserError

_GRAY, _RGB, _PALETTE = 0, 2, 3
_STRIP_PIXELS = 2**20


class PngReader(StickerReader):
    """PNG and APNG; pixels are straight by the standard. 16-bit channels are reduced to 8.

    Fractions of a millisecond are rounded without drift; delays of 10 ms or less are read as 100 ms, as in browsers;
    still images last 1000 ms. Colors are converted to sRGB, and images with an orientation are rotated upright.
    """

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._layout = layout = png_layout(file, name)
        check_size(name, layout.width, layout.height, max_pixels)
        self._file, self._name = file, name
        self._turned, self._convert = layout.orientation, layout.convert()
        self.width, self.height = upright_size(layout.width, layout.height, self._turned)
        self.loop, self.durations, self.notes = layout.loop, layout.durations, layout.said
        self.num_frames = len(layout.durations)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        if self.num_frames == 1:
            frame, duration = self._layout.frames[0], self._layout.durations[0]
            yield self._shown(self._unpack(frame)), duration
            return
        canvas = np.zeros((self._layout.height, self._layout.width, 4), np.uint8)
        for number, (frame, duration) in enumerate(zip(self._layout.frames, self._layout.durations, strict=True)):
            left, top, width, height = frame.box
            box = canvas[top : top + height, left : left + width]
            # there is nothing to restore before the first frame
            dispose = CLEAR if frame.dispose == RESTORE and not number else frame.dispose
            before = box.copy() if dispose == RESTORE else None
            if frame.blend == OVER:
                blend_over(box, self._unpack(frame))
            else:
                box[...] = self._unpack(frame)
            yield self._shown(canvas.copy()), duration
            if dispose == CLEAR:
                box[...] = 0
            elif before is not None:
                box[...] = before

    def _shown(self, picture: np.ndarray) -> np.ndarray:
        return upright(to_srgb(picture, self._convert), self._turned)

    def _unpack(self, frame: PngFrame) -> np.ndarray:
        """One frame's own pixels, `h w 4` uint8, from a PNG of it alone."""
        header, notes = self._layout.header, self._layout.notes
        _, _, width, height = frame.box
        clear = notes.get(b"tRNS", b"")
        alone = [SIGNATURE, header.chunk(width, height)]
        if header.color_type == _PALETTE:
            alone.append(png_chunk(b"PLTE", notes.get(b"PLTE", b"")))
            if clear:
                alone.append(png_chunk(b"tRNS", clear))
        alone += [png_chunk(b"IDAT", self._packed(frame)), png_chunk(b"IEND", b"")]
        with decoding(self._name):
            if header.color_type == _RGB and header.depth == 16 and len(clear) >= 6:
                return _deep_rgb(b"".join(alone), struct.unpack(">3H", clear[:6]))
            image = Image.open(io.BytesIO(b"".join(alone)), formats=("PNG",))
            if header.color_type == _GRAY:
                return _gray(image, header.depth, clear)
            pixels = rgba_pixels(image)
            if header.color_type == _RGB and len(clear) >= 6:
                key = np.array(struct.unpack(">3H", clear[:6])) & 255
                pixels[(pixels[..., :3] == key).all(axis=-1), 3] = 0
            return pixels

    def _packed(self, frame: PngFrame) -> bytes:
        """The compressed data of a frame, limited to what a valid frame can need."""
        most = self._layout.header.unpacked_bytes(*frame.box[2:]) + 2**20
        parts: list[bytes] = []
        for place, size in frame.chunks:
            self._file.seek(place + 4)
            data = self._file.read(min(4 + size, most) + 4)
            if len(data) < min(4 + size, most) + 4:
                raise damaged(self._name, "the PNG is shorter than when it was opened")
            if 4 + size <= most and zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
                raise damaged(self._name, "its picture has a wrong checksum")
            parts.append(data[4:-4] if data[:4] == b"IDAT" else data[8:-4])
            most -= size
            if most < 8:
                break
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def blend_over(below: np.ndarray, above: np.ndarray) -> None:
    """Composite `above` over `below`, both `h w 4` uint8 straight RGBA, in place, in integers rounded to nearest.

    The Porter-Duff "over" operator of the PNG specification (third edition, section 13.16), solved for straight colors.
    Where nothing was below, or nothing shows through, the pixel above is copied.
    """
    rows = max(1, _STRIP_PIXELS // below.shape[1])
    for top in range(0, len(below), rows):
        old, new = below[top : top + rows], above[top : top + rows]
        alone = (new[..., 3] == 255) | ((old[..., 3] == 0) & (new[..., 3] > 0))
        mixed = (new[..., 3] > 0) & ~alone
        old[alone] = new[alone]
        if not mixed.any():
            continue
        a, b = new[mixed].astype(np.uint32), old[mixed].astype(np.uint32)  # n 4
        share = a[:, 3:] * 255
        rest = (255 - a[:, 3:]) * b[:, 3:]
        total = share + rest  # 255 times the resulting alpha, at least 255
        color = (a[:, :3] * share + b[:, :3] * rest + total // 2) // total
        old[mixed] = np.concatenate([color, (total + 127) // 255], axis=1).astype(np.uint8)


def _gray(image: Image.Image, depth: int, clear: bytes) -> np.ndarray:
    """A gray image of any depth as RGBA; the full-depth gray value `clear` is transparent."""
    levels = np.asarray(image.convert("L") if depth == 1 else image)  # h w; depths below 8 are scaled to 0 to 255
    shown = (levels.astype(np.int32) >> 8).astype(np.uint8) if depth == 16 else levels.astype(np.uint8)
    pixels = np.repeat(shown[..., None], 4, axis=2)
    pixels[..., 3] = 255
    if len(clear) >= 2:
        key = int.from_bytes(clear[:2], "big") & ((1 << depth) - 1)
        pixels[levels == (key if depth >= 8 else key * 255 // ((1 << depth) - 1)), 3] = 0
    return pixels


def _deep_rgb(png: bytes, key: tuple[int, ...]) -> np.ndarray:
    """16-bit RGB with one transparent color, which is defined by all 16 bits; Pillow keeps 8."""
    context = av.CodecContext.create("png", "r")
    frames = [*context.decode(av.Packet(png)), *context.decode(None)]
    if len(frames) != 1:
        raise ValueError("no picture")
    deep = frames[0].to_ndarray(format="rgb48be" if frames[0].format.name == "rgb48be" else "rgb48le")  # h w 3
    deep = deep.astype(np.uint16)
    pixels = np.full((*deep.shape[:2], 4), 255, np.uint8)
    pixels[..., :3] = deep >> 8
    pixels[(deep == np.array(key)).all(axis=-1), 3] = 0
    return pixels


class ApngWriter(StickerWriter):
    """APNG, lossless with straight alpha. Each frame stores the changed box, which replaces the previous content.

    A single frame is written as a plain PNG.

    Args:
        path: see `StickerWriter`.
        width: see `StickerWriter`.
        height: see `StickerWriter`.
        loop: see `StickerWriter`.
        whole_canvas: store full frames, for programs that composite partial frames incorrectly.
    """

    shortest_ms = SHORTEST_SHOWN_MS

    def __init__(self, path: Path, width: int, height: int, loop: int, whole_canvas: bool = False) -> None:
        super().__init__(path, width, height, loop)
        self.whole_canvas = whole_canvas
        self._previous: np.ndarray | None = None
        self._alone: tuple[np.ndarray, int] | None = None  # the first frame, until another one comes
        self._sequence = 0

    def _start(self, path: Path) -> None:
        self._file = path.open("wb")

    def _control(self) -> bytes:
        return png_chunk(b"acTL", struct.pack(">II", self.num_frames, self.loop))

    def _add(self, frame: np.ndarray, duration_ms: int) -> None:
        if not self.num_frames:
            self._alone = frame.copy(), duration_ms
            return
        if self._alone is not None:
            header = struct.pack(">IIBBBBB", self.width, self.height, 8, 6, 0, 0, 0)
            self._file.write(SIGNATURE + png_chunk(b"IHDR", header))
            self._control_at = self._file.tell()
            self._file.write(self._control())
            first, self._alone = self._alone, None
            self._write_frame(*first)
        self._write_frame(frame, duration_ms)

    def _write_frame(self, frame: np.ndarray, duration_ms: int) -> None:
        left, top, right, bottom = changed_box(None if self.whole_canvas else self._previous, frame)
        place = struct.pack(">IIII", right - left, bottom - top, left, top)
        # 0, 0: keep the frame, and replace (not blend) the box
        control = self._number() + place + struct.pack(">HHBB", *self._delay(duration_ms), 0, 0)
        self._file.write(png_chunk(b"fcTL", control))
        pixels = _pixel_data(frame[top:bottom, left:right])
        if self._previous is None:
            self._file.write(png_chunk(b"IDAT", pixels))
        else:
            self._file.write(png_chunk(b"fdAT", self._number() + pixels))
        self._previous = frame.copy()

    def _number(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)

    def _delay(self, duration_ms: int) -> tuple[int, int]:
        """Numerator and denominator in seconds; exact up to 65,535 ms, then to 10 ms, then to 1 s."""
        for unit in (1000, 100, 1):
            number = round(duration_ms * unit / 1000)
            if number <= 65_535:
                return number, unit
        raise UserError(f"cannot write {self.path}: a duration must be at most 65,535 s in APNG, got {duration_ms} ms")

    def _finish(self) -> None:
        if self._alone is not None:
            Image.fromarray(self._alone[0], "RGBA").save(self._file, format="PNG", compress_level=6)
            self._file.close()
            return
        self._file.write(png_chunk(b"IEND", b""))
        self._file.seek(self._control_at)
        self._file.write(self._control())
        self._file.close()

    def _abandon(self) -> None:
        self._file.close()


def _pixel_data(pixels: np.ndarray) -> bytes:
    """The compressed pixels of a still PNG of `h w 4` uint8."""
    packed = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels), "RGBA").save(packed, format="PNG", compress_level=6)
    data = packed.getvalue()
    parts, place = [], len(SIGNATURE)
    while place < len(data):
        size, tag = struct.unpack_from(">I4s", data, place)
        if tag == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)

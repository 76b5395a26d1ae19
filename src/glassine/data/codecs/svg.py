"""Read SVG, drawn by resvg."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import cv2
import numpy as np

from glassine.data.codecs.guard import STILL_MS, damaged, decoding
from glassine.data.codecs.reader import StickerReader
from glassine.data.codecs.svg_content import parse_svg
from glassine.data.codecs.vector import MAX_TEXT_BYTES, drawn_size, gunzip, renderer, say_left_out, too_large

LEAST_SIZE = 512
"""Longer side of an SVG that states a smaller one: icons state 16 to 128 px, a sticker has 512."""


class SvgReader(StickerReader):
    """One frame of 1000 ms, straight RGBA, drawn at the size asked for. Animation inside an SVG is not played.

    Args:
        file: the open file: XML, or gzip around it.
        name: how messages call it.
        max_pixels: largest frame that is drawn, width times height.
        size: the longer side in pixels; None for the size the file states, but at least `LEAST_SIZE`.

    Raises:
        UserError: resvg is not installed, or the file is damaged, beyond a limit or not SVG.
    """

    num_frames = 1
    durations = (STILL_MS,)

    def __init__(self, file: BinaryIO, name: str, max_pixels: int, size: int | None = None) -> None:
        self._file, self._name = file, name
        file.seek(0)
        data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise too_large(name, None)
        content = parse_svg(gunzip(data, name) if data[:2] == b"\x1f\x8b" else data, name)
        longer = max(LEAST_SIZE, content.width, content.height) if size is None else size
        self.width, self.height = drawn_size(name, content.width, content.height, longer, max_pixels)
        self._text, self._resvg = content.text, renderer("resvg_py", "svg", name)
        say_left_out(name, content.left_out)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        no_text = not re.search(r"<(\w+:)?(text|tspan)\b", self._text)  # looking for fonts takes longer than drawing
        with decoding(self._name):
            side = {"width": self.width} if self.width >= self.height else {"height": self.height}
            png = self._resvg.svg_to_bytes(svg_string=self._text, skip_system_fonts=no_text, dpi=96, **side)
        bgra = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
        if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
            raise damaged(self._name, "resvg cannot draw it")
        frame = np.zeros((self.height, self.width, 4), np.uint8)
        drawn = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)[: self.height, : self.width]
        frame[: len(drawn), : drawn.shape[1]] = drawn  # resvg may round the shorter side to one pixel more or less
        yield frame, STILL_MS

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

"""Films: a few small frames of a sticker in one picture, which the page plays, in step with another film.

Browsers play two animated pictures each at its own pace and show no single frame of them. A film has its frames side by
side in one lossless picture: original and cut-out are shown at the same moment, and single frames can be painted on.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glassine.pipelines.outline import premultiplied, straight
from glassine.utils.files import atomic_path

Frame = NDArray[np.uint8]
MOST_FRAMES, SIDE = 48, 320


class Film:
    """Collects frames one after the other; where there are too many, every second one is left out, again and again.

    Two films of as many frames hold the same ones.

    Args:
        most: frames that are held.
        side: longer side of a frame in pixels; smaller stickers keep their size.
    """

    def __init__(self, most: int = MOST_FRAMES, side: int = SIDE) -> None:
        self._most, self._side, self._step = most, side, 1
        self._frames: list[tuple[int, Frame]] = []
        self._durations: list[int] = []

    def add(self, frame: Frame, duration: int) -> None:
        """Take the next frame, `h w 4` uint8 straight, and its duration in ms."""
        number = len(self._durations)
        self._durations.append(duration)
        if number % self._step:
            return
        self._frames.append((number, shrunk(frame, self._side)))
        if len(self._frames) > self._most:
            self._step *= 2
            self._frames = self._frames[::2]

    def about(self) -> dict[str, Any]:
        """How the picture is read: size and columns, and for each frame its number in the sticker and its duration."""
        numbers = [number for number, _ in self._frames]
        height, width = self._frames[0][1].shape[:2]
        ends = [*numbers[1:], len(self._durations)]
        durations = [sum(self._durations[start:end]) for start, end in zip(numbers, ends, strict=True)]
        columns = self._columns(width, height)
        return {"width": width, "height": height, "columns": columns, "numbers": numbers, "durations": durations}

    def _columns(self, width: int, height: int) -> int:
        return max(1, min(len(self._frames), round(math.sqrt(len(self._frames) * height / width)), 16_000 // width))

    def picture(self) -> bytes:
        """The frames in rows, as lossless WebP."""
        height, width = self._frames[0][1].shape[:2]
        columns = self._columns(width, height)
        rows = -(-len(self._frames) // columns)
        sheet = np.zeros((rows * height, columns * width, 4), np.uint8)
        for place, (_, frame) in enumerate(self._frames):
            top, left = place // columns * height, place % columns * width
            sheet[top : top + height, left : left + width] = frame
        data = io.BytesIO()
        Image.fromarray(sheet).save(data, "WEBP", lossless=True, quality=20, method=1, exact=True)
        return data.getvalue()

    def save(self, path: Any) -> None:
        """Write the picture."""
        with atomic_path(path) as file:
            file.write_bytes(self.picture())


def shrunk(frame: Frame, side: int) -> Frame:
    """The frame with a longer side of at most `side` pixels; colors are weighted by alpha."""
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return frame.copy()
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if (frame[..., 3] == 255).all():
        return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    return straight(np.asarray(cv2.resize(premultiplied(frame), size, interpolation=cv2.INTER_AREA), np.float32))


def film_of(frames: Iterable[tuple[Frame, int]]) -> Film:
    """The film of a whole sticker."""
    film = Film()
    for frame, duration in frames:
        film.add(frame, duration)
    return film

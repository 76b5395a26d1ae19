"""The size at which the network looks at a picture, and the way there and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.guided_upsampling import guided_rows, guided_upsampling

WHOLE_PIXELS = 2**22  # above this a picture is worked on in strips, so that memory stays small


@dataclass(frozen=True)
class WorkingSize:
    """Sizes in pixels, height first: of the input, of the picture inside the network's frame, and of that frame."""

    full: tuple[int, int]
    inner: tuple[int, int]
    frame: tuple[int, int]

    @classmethod
    def of(cls, full: tuple[int, int], resolution: int, multiple: int) -> Self:
        """For an input of size `full`: longer side `resolution`, then filled up to multiples of `multiple`."""
        scale = resolution / max(full)
        height, width = (max(1, round(side * scale)) for side in full)
        return cls(full, (height, width), (-(-height // multiple) * multiple, -(-width // multiple) * multiple))

    def shrink(self, picture: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[np.float32]:
        """`h w 3` uint8 to what the network sees, `3 h' w'` in [0, 1], filled up with the background's colour."""
        height, width = self.inner
        if self.inner != self.full:
            smaller = height < self.full[0] or width < self.full[1]
            picture = cv2.resize(  # type: ignore[assignment]
                picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            )
        seen = np.empty((3, *self.frame), np.float32)
        seen[:] = np.asarray(background, np.float32)[:, None, None] / 255
        seen[:, :height, :width] = np.moveaxis(picture, -1, 0) / np.float32(255)
        return seen

    def enlarge(self, alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's alpha, `h' w'`, at the size of the input `picture` (`h w 3` uint8), `h w` in [0, 1]."""
        alpha = np.ascontiguousarray(alpha[: self.inner[0], : self.inner[1]])
        if self.inner == self.full:
            return alpha
        if self.inner[0] < self.full[0] or self.inner[1] < self.full[1]:
            return guided_upsampling(alpha, np.asarray(picture, np.float32) / np.float32(255))
        return cv2.resize(alpha, self.full[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    @property
    def rows_at_once(self) -> int:
        """How many rows of the input are worked on at a time: all, but for huge pictures."""
        return (
            self.full[0] if self.full[0] * self.full[1] <= WHOLE_PIXELS else max(1, WHOLE_PIXELS // 4 // self.full[1])
        )

    def enlarged_rows(
        self, alpha: NDArray[np.float32], picture: NDArray[np.uint8]
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """As `enlarge`, in strips of `rows_at_once` rows: which rows, and their alpha."""
        step = self.rows_at_once
        small = np.ascontiguousarray(alpha[: self.inner[0], : self.inner[1]])
        if step < self.full[0] and self.inner != self.full and max(self.inner) < max(self.full):
            yield from guided_rows(small, picture, step)
            return
        whole = self.enlarge(alpha, picture)
        for top in range(0, self.full[0], step):
            yield slice(top, min(top + step, self.full[0])), whole[top : top + step]

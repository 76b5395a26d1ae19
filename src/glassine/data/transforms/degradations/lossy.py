"""Lossy still-image compression, frame by frame."""

from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np

from ..base import Bytes, Degradation


class _Compression(Degradation):
    """Encode and decode each frame at one quality drawn per clip from [low, high] of 100."""

    suffix: str

    def __init__(self, quality: tuple[int, int], probability: float) -> None:
        super().__init__(probability)
        if not 1 <= quality[0] <= quality[1] <= 100:
            raise ValueError(f"the quality range is {quality}; it must be low, high within 1 to 100")
        self.quality = quality

    @abstractmethod
    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return OpenCV's flags for one clip."""

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        flags = self.settings(int(rng.integers(self.quality[0], self.quality[1] + 1)), rng)
        return np.stack([self._recoded(frame, flags) for frame in clip])

    def _recoded(self, frame: Bytes, flags: Sequence[int]) -> np.ndarray:
        _, encoded = cv2.imencode(self.suffix, frame[..., ::-1], flags)  # OpenCV's order is blue, green, red
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]


class Jpeg(_Compression):
    """JPEG compression of each frame.

    Args:
        quality: Lowest and highest quality of 100, one drawn per clip.
        full_colour: How often colour keeps its full resolution (4:4:4); else it is halved (4:2:0), as files mostly are.
        probability: How often a clip gets it.
    """

    name = "jpeg"
    suffix = ".jpg"

    def __init__(
        self, quality: tuple[int, int] = (40, 95), full_colour: float = 0.25, probability: float = 1.0
    ) -> None:
        super().__init__(quality, probability)
        self.full_colour = full_colour

    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return the quality and the colour resolution."""
        full = rng.random() < self.full_colour
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
        return (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)


class Webp(_Compression):
    """Lossy WebP compression of each frame; args as `Jpeg`."""

    name = "webp"
    suffix = ".webp"

    def __init__(self, quality: tuple[int, int] = (40, 95), probability: float = 1.0) -> None:
        super().__init__(quality, probability)

    def settings(self, quality: int, rng: np.random.Generator) -> Sequence[int]:
        """Return the quality."""
        return (cv2.IMWRITE_WEBP_QUALITY, quality)

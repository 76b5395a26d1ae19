"""Loss of sharpness: enlarged pictures and blur."""

import cv2
import numpy as np

from ..base import Bytes, Degradation

_SHRINK = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
_ENLARGE = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


class Resize(Degradation):
    """Down to a part of the size and up again, by filters drawn per clip.

    Args:
        scale: Smallest and largest part of the size, in (0, 1].
        probability: How often a clip gets it.
    """

    name = "resize"

    def __init__(self, scale: tuple[float, float] = (0.4, 0.95), probability: float = 1.0) -> None:
        super().__init__(probability)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"the scale range is {scale}; it must be low, high within (0, 1]")
        self.scale = scale

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Shrink and enlarge every frame."""
        height, width = clip.shape[1:3]
        scale = rng.uniform(*self.scale)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        down, up = int(rng.choice(_SHRINK)), int(rng.choice(_ENLARGE, p=(0.1, 0.4, 0.3, 0.2)))
        return np.stack(
            [
                cv2.resize(cv2.resize(frame, small, interpolation=down), (width, height), interpolation=up)
                for frame in clip
            ]
        )


class Blur(Degradation):
    """Gaussian blur.

    Args:
        sigma: Smallest and largest standard deviation in parts of the frame's height (0.004 is half a pixel at 128).
        probability: How often a clip gets it.
    """

    name = "blur"

    def __init__(self, sigma: tuple[float, float] = (0.002, 0.008), probability: float = 1.0) -> None:
        super().__init__(probability)
        self.sigma = sigma

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Blur every frame."""
        sigma = max(rng.uniform(*self.sigma) * clip.shape[1], 0.1)
        return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])

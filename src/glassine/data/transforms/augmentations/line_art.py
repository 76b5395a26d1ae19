"""The look of line drawings."""

import cv2
import numpy as np

from ..base import Augmentation, Floats
from ..layers import grown


class LineArt(Augmentation):
    """Lines along the silhouette and the inner edges, the inside filled with one paper colour; alpha is kept.

    On a white background the white inside can only be told from the outside by its closed line.

    Args:
        width: Thinnest and thickest line, in parts of the frame's height.
        white_paper: How often the paper is white; else a light colour.
        black_line: How often the line is near black; else a dark colour.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        width: tuple[float, float] = (0.012, 0.03),
        white_paper: float = 0.7,
        black_line: float = 0.7,
        probability: float = 0.08,
    ) -> None:
        super().__init__(probability)
        self.width = width
        self.white_paper = white_paper
        self.black_line = black_line

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Replace the colours by paper and line."""
        width = rng.uniform(*self.width) * frames.shape[1]
        paper = np.ones(3) if rng.random() < self.white_paper else rng.uniform(0.7, 1.0, 3)
        line = np.full(3, rng.uniform(0, 0.12)) if rng.random() < self.black_line else rng.uniform(0, 0.45, 3)
        strength = np.maximum(self._silhouette(frames, width), self._inner_edges(frames, width))[..., None]
        result = frames.copy()
        result[..., :3] = paper + (line - paper) * strength
        return result

    @staticmethod
    def _silhouette(frames: Floats, width: float) -> Floats:
        """Return 1 on the band of `width` pixels inside the sticker's edge, 0 further in, `f h w`."""
        clear = grown(1 - frames[..., 3], width)
        soft = [cv2.GaussianBlur(plane, (0, 0), 0.6) for plane in clear]
        return np.clip(np.stack(soft) * 1.2 - 0.1, 0, 1)

    @staticmethod
    def _inner_edges(frames: Floats, width: float) -> Floats:
        """Return how sharply brightness changes inside the sticker, 0 to 1, `f h w`: a difference of Gaussians."""
        edges = []
        for frame in frames:
            gray = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY)
            fine = cv2.GaussianBlur(gray, (0, 0), 0.5 * width)
            coarse = cv2.GaussianBlur(gray, (0, 0), 1.0 * width)
            edges.append(np.clip((coarse - fine) * 25 - 0.3, 0, 1))
        return np.stack(edges)

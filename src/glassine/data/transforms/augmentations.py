"""Changes of a sticker and its surroundings: position, border, opacity, holes, shadow and glow."""

import cv2
import numpy as np

from glassine.data.transforms.base import Augmentation, Floats, blurred, grown, put_under, warp


class CutBorder(Augmentation):
    """A band of one color, mostly white, around the sticker.

    Args:
        width: Thinnest and thickest band, in parts of the frame's height.
        white: How often the band is white; else any color.
        probability: How often a clip gets it.
    """

    def __init__(
        self, width: tuple[float, float] = (0.015, 0.05), white: float = 0.75, probability: float = 0.1
    ) -> None:
        super().__init__(probability)
        self.width = width
        self.white = white

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Put the band under the sticker."""
        width = rng.uniform(*self.width) * frames.shape[1]
        color = np.ones(3, np.float32) if rng.random() < self.white else rng.uniform(0, 1, 3).astype(np.float32)
        band = grown(frames[..., 3], width)
        soft = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.7) for plane in band])  # the disc's staircase
        return put_under(frames, soft, color)


class Flip(Augmentation):
    """Mirror left and right; args as `Augmentation`."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Mirror every frame."""
        return np.ascontiguousarray(frames[:, :, ::-1])


class Move(Augmentation):
    """Rotate, scale and shift the whole clip by one affine map.

    Args:
        rotation: Largest turn either way, in degrees.
        scale: Smallest and largest size against the original.
        shift: Largest shift either way, in parts of the frame.
        border: How often the sticker is pushed to an edge of the frame instead, up to a quarter of it outside, so
            that the frame's border is not all background.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        rotation: float = 20.0,
        scale: tuple[float, float] = (0.65, 1.2),
        shift: float = 0.1,
        border: float = 0.2,
        probability: float = 0.6,
    ) -> None:
        super().__init__(probability)
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.border = border

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Move every frame by the same map."""
        height, width = frames.shape[1:3]
        middle = ((width - 1) / 2, (height - 1) / 2)
        turn, scale = rng.uniform(-self.rotation, self.rotation), rng.uniform(*self.scale)
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, turn, scale), np.float64)
        matrix[:, 2] += rng.uniform(-self.shift, self.shift, 2) * (width, height)
        if rng.random() < self.border:
            matrix[:, 2] += _to_the_edge(frames, matrix, rng)
        return warp(frames, matrix)


def _to_the_edge(frames: Floats, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the shift `x y` in pixels that takes the moved sticker to or over one edge."""
    size = np.array((frames.shape[2], frames.shape[1]))
    rows, columns = np.nonzero(frames[..., 3].max(axis=0) > 0.5)
    shift = np.zeros(2)
    if not len(rows):
        return shift
    moved = np.stack((columns, rows), axis=1) @ matrix[:, :2].T + matrix[:, 2]  # n 2
    low, high = moved.min(axis=0), moved.max(axis=0)
    axis, outside = int(rng.integers(2)), rng.uniform(0, 0.25)
    beyond = outside * (high[axis] - low[axis])
    shift[axis] = -low[axis] - beyond if rng.random() < 0.5 else size[axis] - 1 - high[axis] + beyond
    return shift


class Fade(Augmentation):
    """Multiply alpha by a constant, by a ramp over time (fade in or out) or by a ramp across the frame.

    Args:
        opacity: Smallest and largest factor.
        over_time: How often the factor runs from frame to frame.
        across: How often it runs across the frame.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        opacity: tuple[float, float] = (0.25, 0.95),
        over_time: float = 0.35,
        across: float = 0.25,
        probability: float = 0.1,
    ) -> None:
        super().__init__(probability)
        if not 0 <= opacity[0] <= opacity[1] <= 1:
            raise ValueError(f"opacity must be low, high within [0, 1], got {opacity}")
        if over_time + across > 1:
            raise ValueError(f"over_time {over_time} and across {across} sum to more than 1")
        self.opacity = opacity
        self.over_time = over_time
        self.across = across

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Multiply alpha; colors stay."""
        count, height, width, _ = frames.shape
        first, last = rng.uniform(*self.opacity, 2)
        kind = rng.random()
        factor: np.ndarray
        if kind < self.over_time:
            last = 1.0 if rng.random() < 0.5 else last
            factor = np.linspace(first, last, count).reshape(count, 1, 1)
            factor = factor[::-1] if rng.random() < 0.5 else factor
        elif kind < self.over_time + self.across:
            angle = rng.uniform(0, 2 * np.pi)
            rows, columns = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
            along = rows * np.sin(angle) + columns * np.cos(angle)
            factor = np.clip(first + (last - first) * (along + 0.5), 0, 1)
        else:
            factor = np.full((1, 1, 1), first)
        result = frames.copy()
        result[..., 3] *= factor
        return result


class PunchHoles(Augmentation):
    """Cut round or angular openings with soft edges, at one place for the whole clip, sometimes drifting.

    Args:
        count: Fewest and most openings.
        radius: Smallest and largest, in parts of the frame's height.
        probability: How often a clip gets it.
    """

    def __init__(
        self, count: tuple[int, int] = (1, 3), radius: tuple[float, float] = (0.03, 0.13), probability: float = 0.08
    ) -> None:
        super().__init__(probability)
        self.count = count
        self.radius = radius

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Cut openings where the sticker is solid in all frames; alpha there becomes 0."""
        rows, columns = np.nonzero(frames[..., 3].min(axis=0) > 0.9)
        if not len(rows):
            return frames
        result = frames.copy()
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            at = int(rng.integers(len(rows)))
            outline = self._outline(rng) * rng.uniform(*self.radius) * frames.shape[1]
            drift = rng.normal(0, 1.0, 2) if rng.random() < 0.5 else np.zeros(2)
            for step, frame in enumerate(result):
                points = outline + (columns[at], rows[at]) + drift * (step - len(frames) / 2)
                opening = np.zeros(frame.shape[:2], np.uint8)
                # Points in 1/16 pixel, so that the drift is smooth
                cv2.fillPoly(opening, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
                frame[..., 3] *= 1 - opening.astype(np.float32) / 255
        return result

    @staticmethod
    def _outline(rng: np.random.Generator) -> np.ndarray:
        """Return the corners `n 2` of an ellipse or a polygon of size about 1."""
        corners = 40 if rng.random() < 0.6 else int(rng.integers(3, 8))
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 2 * np.pi)
        return np.stack((np.cos(angles), np.sin(angles) * rng.uniform(0.5, 1.0)), axis=1)


class Shadow(Augmentation):
    """A soft dark copy of the silhouette, shifted; or, as a glow, a bright one around it. Alpha stays exact.

    Args:
        softness: Smallest and largest standard deviation of the blur, in parts of the frame's height.
        opacity: Smallest and largest opacity of the layer.
        shift: Largest shift of a shadow either way, in parts of the frame.
        glow: How often it is a glow: grown rather than shifted, in any bright color.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        softness: tuple[float, float] = (0.015, 0.06),
        opacity: tuple[float, float] = (0.25, 0.8),
        shift: float = 0.06,
        glow: float = 0.4,
        probability: float = 0.1,
    ) -> None:
        super().__init__(probability)
        self.softness = softness
        self.opacity = opacity
        self.shift = shift
        self.glow = glow

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Put the layer under the sticker."""
        height, width = frames.shape[1:3]
        sigma = rng.uniform(*self.softness) * height
        opacity = np.float32(rng.uniform(*self.opacity))
        if rng.random() < self.glow:
            layer = blurred(grown(frames[..., 3], sigma), sigma)
            color = np.maximum(rng.uniform(0.2, 1.0, 3), np.eye(3)[rng.integers(3)]).astype(np.float32)
        else:
            offset = rng.uniform(-self.shift, self.shift, 2) * (width, height)
            moved = warp(frames, np.array(((1, 0, offset[0]), (0, 1, offset[1]))))
            layer = blurred(moved[..., 3], sigma)
            color = rng.uniform(0, 0.2, 3).astype(np.float32)
        return put_under(frames, np.clip(layer, 0, 1) * opacity, color)

"""Base classes of transform parts, their randomness, over-compositing, and a sticker's main and outline color.

Layers are straight RGBA `f h w 4` in [0, 1] and are composited with exact alpha.
"""

from abc import ABC, abstractmethod

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Augmentation(ABC):
    """Changes the sticker itself, colors and alpha together, so that both stay each other's exact truth.

    Args:
        probability: How often a clip gets it, 0 to 1.
    """

    def __init__(self, probability: float) -> None:
        self.probability = checked_probability(probability)

    @abstractmethod
    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Change every frame by settings drawn once per clip.

        Args:
            frames: Straight RGBA `f h w 4` in [0, 1]; the caller keeps no other use of it. Colors where alpha is 0
                mean nothing.
            rng: Source of all randomness.

        Returns:
            Straight RGBA of the same shape.
        """


class Background(ABC):
    """Chooses what a clip is composited on: one flat color, or a picture for every frame.

    Args:
        weight: How often it is chosen against its neighbors in the list.
    """

    name: str

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ValueError(f"weight must be 0 or more, got {weight}")
        self.weight = weight

    @abstractmethod
    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Choose for `frames` (straight RGBA `f h w 4` in [0, 1]); returns `3` or `f h w 3` in [0, 1]."""


class Degradation(ABC):
    """Damages the opaque clip as files do on their way to a user; the truth (alpha, colors) stays as it was.

    Args:
        probability: How often a clip gets it, 0 to 1.
    """

    name: str

    def __init__(self, probability: float) -> None:
        self.probability = checked_probability(probability)

    @abstractmethod
    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Damage every frame by settings drawn once per clip; `clip` and the result are RGB `f h w 3` uint8."""


def checked_probability(probability: float) -> float:
    """Return `probability`; raise ValueError where it is outside [0, 1]."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")
    return probability


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """Return a numpy generator seeded by one draw from `generator` (from torch's default one where None).

    The parts draw many single numbers, which numpy does about ten times as fast as torch.
    """
    return np.random.default_rng(int(torch.randint(0, 2**62, (), generator=generator)))


_SOLID = 230  # of 255: pixels below this alpha are edges, whose color may be a mixture
_CANDIDATES = 8
_ENOUGH = 96  # pixels of the shorter side; larger frames are thinned out for speed
_NEAR = 28  # of 255, per channel: shading of one surface, seen as one region


def main_color(frames: Floats) -> Floats:
    """Return the color of the sticker's largest region of one color, `3` in [0, 1].

    The most frequent color is the wrong choice for shaded drawings: the flat white of the eyes beats the yellow of a
    face, whose shading spreads over many colors. So each frequent color is judged by the largest connected region
    around it, shading included.

    Args:
        frames: Straight RGBA `f h w 4` in [0, 1]; the middle frame decides. A clear sticker gives mid gray.
    """
    frame = _middle_frame(frames)
    colors, solid = frame[..., :3], frame[..., 3] >= _SOLID
    if not solid.any():
        return np.full(3, 0.5, np.float32)
    best_area, best = 0, colors[solid][0]
    for candidate in _frequent_colors(colors[solid]):
        near = cv2.inRange(colors, np.clip(candidate - _NEAR, 0, 255), np.clip(candidate + _NEAR, 0, 255))
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(near * solid.astype(np.uint8), connectivity=4)
        if len(statistics) < 2:
            continue
        largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
        area = int(statistics[largest, cv2.CC_STAT_AREA])
        if area > best_area:
            best_area, best = area, np.median(colors[labels == largest], axis=0)
    return (best / 255).astype(np.float32)


def outline_color(frames: Floats) -> Floats:
    """Return the most frequent color just inside the sticker's outer edge, `3` in [0, 1].

    It is the hardest background for a method that floods in from the border. Same input as `main_color`.
    """
    frame = _middle_frame(frames)
    solid = (frame[..., 3] >= _SOLID).astype(np.uint8)
    if not solid.any():
        return np.full(3, 0.5, np.float32)
    inside = cv2.erode(solid, np.ones((5, 5), np.uint8), borderValue=0)
    shell = frame[..., :3][(solid > 0) & (inside == 0)]
    return (_frequent_colors(shell)[0] / 255).astype(np.float32)


def _middle_frame(frames: Floats) -> Bytes:
    step = max(1, min(frames.shape[1:3]) // _ENOUGH)
    frame = frames[len(frames) // 2, ::step, ::step]
    return np.clip(frame * 255 + 0.5, 0, 255).astype(np.uint8)


def _frequent_colors(colors: Bytes) -> list[np.ndarray]:
    """Return the mean colors `3` of the fullest of 4096 equal boxes of RGB, the fullest first; `colors` is `n 3`."""
    boxes = (colors >> 4).astype(np.int32) @ np.array((256, 16, 1), np.int32)  # n
    counts = np.bincount(boxes, minlength=4096)
    fullest = np.argsort(-counts, kind="stable")[:_CANDIDATES]
    return [colors[boxes == box].mean(axis=0) for box in fullest if counts[box]]


# Below this alpha (far less than one 8-bit step) a color cannot be divided out and is left black
_SMALLEST_ALPHA = 1e-4


def premultiplied(frames: Floats) -> Floats:
    """Return `... 4` with the colors multiplied by alpha."""
    result = frames.copy()
    result[..., :3] *= frames[..., 3:]
    return result


def straight(frames: Floats) -> Floats:
    """Return `... 4` with alpha divided out of the premultiplied colors of `frames`, within [0, 1]."""
    result = np.clip(frames, 0, 1)
    result[..., :3] /= np.maximum(result[..., 3:], _SMALLEST_ALPHA)
    return np.minimum(result, 1, out=result)


def put_under(frames: Floats, layer_alpha: Floats, layer_color: Floats) -> Floats:
    """Put a layer of one color under the sticker; a half-clear layer stays half-clear.

    Porter and Duff, "Compositing Digital Images" (1984), the `over` operator, with straight colors.

    Args:
        frames: The sticker, `f h w 4`.
        layer_alpha: `f h w`.
        layer_color: `3`.

    Returns:
        Both as one sticker, `f h w 4`.
    """
    alpha = frames[..., 3:]  # f h w 1
    below = layer_alpha[..., None] * (1 - alpha)
    total = alpha + below
    color = (frames[..., :3] * alpha + layer_color * below) / np.maximum(total, _SMALLEST_ALPHA)
    return np.concatenate((color, total), axis=-1, dtype=np.float32)


def warp(frames: Floats, matrix: np.ndarray) -> Floats:
    """Move the sticker by one affine map; what comes in from outside is clear.

    Args:
        frames: `f h w 4`.
        matrix: `2 3`, from positions in the old frame to positions in the new one, in pixels.
    """
    height, width = frames.shape[1:3]
    shrinks = np.linalg.det(matrix[:, :2]) < 0.5  # bilinear sampling would skip pixels
    warped = np.empty_like(frames)
    for frame, target in zip(premultiplied(frames), warped, strict=True):
        if shrinks:
            frame = cv2.blur(frame, (3, 3))
        cv2.warpAffine(frame, matrix, (width, height), dst=target, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    return straight(warped)


def blurred(planes: Floats, sigma: float) -> Floats:
    """Blur each plane of `f h w` by a Gaussian of `sigma` pixels; outside the frame counts as clear."""
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) for plane in planes])


def grown(planes: Floats, radius: float) -> Floats:
    """Grow what is bright in each plane of `f h w` by a disc of `radius` pixels, with soft edges kept."""
    size = 2 * round(radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.stack([cv2.dilate(plane, disc) for plane in planes])

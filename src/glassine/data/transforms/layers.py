"""Over-compositing of whole layers with exact alpha, on straight RGBA `f h w 4` in [0, 1]."""

import cv2
import numpy as np

from .base import Floats

# Below this alpha (far less than one 8-bit step) a colour cannot be divided out and is left black
_SMALLEST_ALPHA = 1e-4


def premultiplied(frames: Floats) -> Floats:
    """Return `... 4` with the colours multiplied by alpha."""
    result = frames.copy()
    result[..., :3] *= frames[..., 3:]
    return result


def straight(frames: Floats) -> Floats:
    """Return `... 4` with alpha divided out of the premultiplied colours of `frames`, within [0, 1]."""
    result = np.clip(frames, 0, 1)
    result[..., :3] /= np.maximum(result[..., 3:], _SMALLEST_ALPHA)
    return np.minimum(result, 1, out=result)


def put_under(frames: Floats, layer_alpha: Floats, layer_colour: Floats) -> Floats:
    """Put a layer of one colour under the sticker; a half-clear layer stays half-clear.

    Porter and Duff, "Compositing Digital Images" (1984), the `over` operator, with straight colours.

    Args:
        frames: The sticker, `f h w 4`.
        layer_alpha: `f h w`.
        layer_colour: `3`.

    Returns:
        Both as one sticker, `f h w 4`.
    """
    alpha = frames[..., 3:]  # f h w 1
    below = layer_alpha[..., None] * (1 - alpha)
    total = alpha + below
    colour = (frames[..., :3] * alpha + layer_colour * below) / np.maximum(total, _SMALLEST_ALPHA)
    return np.concatenate((colour, total), axis=-1, dtype=np.float32)


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

"""Colours that a sticker itself is made of: its main colour and the colour of its outline."""

import cv2
import numpy as np

from .base import Bytes, Floats

_SOLID = 230  # of 255: pixels below this alpha are edges, whose colour may be a mixture
_CANDIDATES = 8
_ENOUGH = 96  # pixels of the shorter side; larger frames are thinned out for speed
_NEAR = 28  # of 255, per channel: shading of one surface, seen as one region


def main_colour(frames: Floats) -> Floats:
    """Return the colour of the sticker's largest region of one colour, `3` in [0, 1].

    The most frequent colour is the wrong choice for shaded drawings: the flat white of the eyes beats the yellow of a
    face, whose shading spreads over many colours. So each frequent colour is judged by the largest connected region
    around it, shading included.

    Args:
        frames: Straight RGBA `f h w 4` in [0, 1]; the middle frame decides. A clear sticker gives mid gray.
    """
    frame = _middle_frame(frames)
    colours, solid = frame[..., :3], frame[..., 3] >= _SOLID
    if not solid.any():
        return np.full(3, 0.5, np.float32)
    best_area, best = 0, colours[solid][0]
    for candidate in _frequent_colours(colours[solid]):
        near = cv2.inRange(colours, np.clip(candidate - _NEAR, 0, 255), np.clip(candidate + _NEAR, 0, 255))
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(near * solid.astype(np.uint8), connectivity=4)
        if len(statistics) < 2:
            continue
        largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
        area = int(statistics[largest, cv2.CC_STAT_AREA])
        if area > best_area:
            best_area, best = area, np.median(colours[labels == largest], axis=0)
    return (best / 255).astype(np.float32)


def outline_colour(frames: Floats) -> Floats:
    """Return the most frequent colour just inside the sticker's outer edge, `3` in [0, 1].

    It is the hardest background for a method that floods in from the border. Same input as `main_colour`.
    """
    frame = _middle_frame(frames)
    solid = (frame[..., 3] >= _SOLID).astype(np.uint8)
    if not solid.any():
        return np.full(3, 0.5, np.float32)
    inside = cv2.erode(solid, np.ones((5, 5), np.uint8), borderValue=0)
    shell = frame[..., :3][(solid > 0) & (inside == 0)]
    return (_frequent_colours(shell)[0] / 255).astype(np.float32)


def _middle_frame(frames: Floats) -> Bytes:
    step = max(1, min(frames.shape[1:3]) // _ENOUGH)
    frame = frames[len(frames) // 2, ::step, ::step]
    return np.clip(frame * 255 + 0.5, 0, 255).astype(np.uint8)


def _frequent_colours(colours: Bytes) -> list[np.ndarray]:
    """Return the mean colours `3` of the fullest of 4096 equal boxes of RGB, the fullest first; `colours` is `n 3`."""
    boxes = (colours >> 4).astype(np.int32) @ np.array((256, 16, 1), np.int32)  # n
    counts = np.bincount(boxes, minlength=4096)
    fullest = np.argsort(-counts, kind="stable")[:_CANDIDATES]
    return [colours[boxes == box].mean(axis=0) for box in fullest if counts[box]]

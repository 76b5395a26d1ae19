"""What to do where no background model fits: photographs, clutter, moving pictures.

GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) with the border taken for background, and a subject in the middle
or where the user points. It is a guess, and reported as one.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from glassine.pipelines.insets import Floats, Picture
from glassine.pipelines.upsampling import guided_upsampling

WORKING_SIDE = 160  # pixels of the longer side: GrabCut's time grows faster than the picture
LEAST = 0.005  # of the picture
MOVES = 24  # of 255
_ITERATIONS = 3


@dataclass(frozen=True)
class Subject:
    """Where the sticker is, in shares of width and height: a point, or a box if `right` and `bottom` are given."""

    left: float
    top: float
    right: float | None = None
    bottom: float | None = None


def guess_alpha(picture: Picture, subject: Subject | None = None, moving: Floats | None = None) -> Floats:
    """Alpha of a picture whose background is unknown.

    Args:
        picture: `h w 3`.
        subject: where the sticker is; None takes where something moves, or else the middle of the picture.
        moving: `h w`, how far each pixel is from its median over time, in 255ths. The median shows the sticker where
            that rests, and so what moves only tells where to look.

    Returns:
        `h w` in [0, 1].
    """
    height, width = picture.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    mask = None
    if moving is not None and subject is None:
        mask = _seeds_of_motion(np.asarray(cv2.resize(moving, size, interpolation=cv2.INTER_AREA)))
    if mask is None:
        mask = _seeds(small.shape[0], small.shape[1], subject)
    cv2.setRNGSeed(0)  # its color models start from random samples
    try:
        cv2.grabCut(small, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # too few colors for its mixtures
        return np.ones((height, width), np.float32)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if found.mean() < LEAST:  # a guess that finds nothing had better lose nothing
        return np.ones((height, width), np.float32)
    soft = np.asarray(cv2.GaussianBlur(found.astype(np.float32), (0, 0), 0.7), np.float32)
    if small.shape[:2] == picture.shape[:2]:
        return soft
    if size[0] > width or size[1] > height:
        return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return guided_upsampling(soft, picture.astype(np.float32) / np.float32(255))


def alpha_of_mask(picture: Picture, mask: Floats) -> Floats:
    """Alpha of a picture `h w 3` from a network's mask of it at any resolution, `h' w'` in [0, 1]: `h w`.

    A network that is half sure does not see half through: values are stretched, 0.25 to clear and 0.75 to opaque. The
    mask is brought to half the picture's size, or its own if that is less, and its edges then follow the picture's
    colors. A mask that finds nothing loses nothing.
    """
    height, width = picture.shape[:2]
    sure = np.clip(2 * np.nan_to_num(mask) - np.float32(0.5), 0, 1)
    if sure.mean() < LEAST:
        return np.ones((height, width), np.float32)
    size = min(max(1, width // 2), mask.shape[1]), min(max(1, height // 2), mask.shape[0])
    coarse = np.asarray(cv2.resize(sure, size, interpolation=cv2.INTER_AREA), np.float32)
    return guided_upsampling(coarse, picture.astype(np.float32) / np.float32(255))


def _seeds_of_motion(moving: Floats) -> Picture | None:
    """GrabCut's mask: the hull of what moves may be the sticker, what lies far from it is not; None without motion."""
    moved = cv2.morphologyEx((moving > MOVES).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if moved.mean() < LEAST:
        return None
    hull = np.zeros_like(moved)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(moved)), (1,))
    far = max(3, round(0.06 * max(moved.shape)))
    around = cv2.dilate(hull, np.ones((2 * far + 1, 2 * far + 1), np.uint8))
    mask = np.where(hull > 0, cv2.GC_PR_FGD, np.where(around > 0, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    mask[[0, -1]] = cv2.GC_BGD
    mask[:, [0, -1]] = cv2.GC_BGD
    return mask


def _seeds(height: int, width: int, subject: Subject | None) -> Picture:
    """GrabCut's mask: the border is background; what is likely the sticker depends on `subject`."""
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if subject is None:
        inside = ((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2 <= 0.36**2
        mask[inside] = cv2.GC_PR_FGD
    elif subject.right is None or subject.bottom is None:
        away = ((x + 0.5) / width - subject.left) ** 2 + ((y + 0.5) / height - subject.top) ** 2
        mask[away <= 0.3**2] = cv2.GC_PR_FGD
        mask[away <= 0.04**2] = cv2.GC_FGD
    else:
        mask[:] = cv2.GC_BGD
        columns = slice(int(subject.left * width), max(int(subject.left * width) + 1, round(subject.right * width)))
        rows = slice(int(subject.top * height), max(int(subject.top * height) + 1, round(subject.bottom * height)))
        mask[rows, columns] = cv2.GC_PR_FGD
        if (mask != cv2.GC_BGD).all():
            mask[[0, -1]] = cv2.GC_BGD
        return mask
    edge = max(1, round(0.02 * min(height, width)))
    mask[:edge] = mask[-edge:] = cv2.GC_BGD
    mask[:, :edge] = mask[:, -edge:] = cv2.GC_BGD
    return mask

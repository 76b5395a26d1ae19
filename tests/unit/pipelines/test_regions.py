"""Closed areas of the background's color: what people would call a part of the sticker, and what a hole."""

import cv2
import numpy as np
import pytest

from glassine.data.sticker import Sticker
from glassine.pipelines.cutout import CutoutPipeline

WHITE, GRAY = (255, 255, 255), (128, 128, 128)
SIDE, SHIFT = 256, 4  # points are given in sixteenths of a pixel, so that edges are smooth


def canvas(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), color, np.uint8)


def disc(picture: np.ndarray, x: float, y: float, radius: float, color: tuple[int, int, int]) -> None:
    place = (round(x * 16), round(y * 16))
    cv2.circle(picture, place, round(radius * 16), color, -1, cv2.LINE_AA, SHIFT)


def face_with_eyes(color: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    picture = canvas(color)
    disc(picture, 128, 128, 90, (255, 200, 60))
    for x in (96, 160):
        disc(picture, x, 110, 20, color)
        disc(picture, x + 2, 112, 9, (30, 20, 20))
    return picture, (84, 110)


def screen(color: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """A sheet with lines of text in a dark frame."""
    picture = canvas(color)
    cv2.rectangle(picture, (50, 30), (206, 226), (40, 44, 52), -1)
    cv2.rectangle(picture, (58, 38), (198, 218), color, -1)
    for row in range(60, 200, 24):
        cv2.rectangle(picture, (76, row), (180, row + 8), (90, 130, 200), -1)
    return picture, (66, 50)


def ring(color: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    picture = canvas(color)
    disc(picture, 128, 128, 92, (190, 120, 40))
    disc(picture, 128, 128, 70, color)
    return picture, (128, 128)


def thin_ring(color: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    picture = canvas(color)
    disc(picture, 128, 128, 92, (150, 150, 155) if color == WHITE else (220, 60, 60))
    disc(picture, 128, 128, 86, color)
    return picture, (128, 128)


def padlock(color: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    picture = canvas(color)
    disc(picture, 128, 96, 56, (120, 130, 140))
    disc(picture, 128, 96, 36, color)
    cv2.rectangle(picture, (62, 104), (194, 214), (250, 180, 40), -1)
    return picture, (128, 84)


def alpha_at(picture: np.ndarray, place: tuple[int, int], damaged: bool) -> int:
    if damaged:
        packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
        picture = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    frame = np.concatenate([picture, np.full((SIDE, SIDE, 1), 255, np.uint8)], axis=2)
    cut = CutoutPipeline.from_pretrained()(Sticker(frame[None], (100,), 0), method="closed-form")
    x, y = place
    return int(cut.frames[0, y, x, 3])


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("drawn", [face_with_eyes, screen])
def test_eyes_and_paper_are_parts(drawn, damaged):
    assert alpha_at(*drawn(WHITE), damaged) == 255


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("color", [WHITE, GRAY])
@pytest.mark.parametrize("drawn", [ring, thin_ring, padlock])
def test_what_a_ring_encloses_is_a_hole(drawn, color, damaged):
    assert alpha_at(*drawn(color), damaged) == 0

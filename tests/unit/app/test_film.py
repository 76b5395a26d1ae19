"""Small frames side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from glassine.app.film import Film, film_of


def numbered(count: int, height: int = 8, width: int = 12) -> list[tuple[np.ndarray, int]]:
    """Frames whose red tells their number."""
    frames = []
    for number in range(count):
        frame = np.full((height, width, 4), 255, np.uint8)
        frame[..., 0] = number
        frames.append((frame, 10 + number))
    return frames


@pytest.mark.parametrize("count", [1, 2, 7, 10, 11, 45, 200])
def test_every_frame_is_where_the_film_says(count):
    film = film_of(numbered(count)) if count <= 10 else Film(most=10)
    if count > 10:
        for frame, duration in numbered(count):
            film.add(frame, duration)
    about = film.about()
    sheet = np.asarray(Image.open(io.BytesIO(film.picture())).convert("RGBA"))
    for place, number in enumerate(about["numbers"]):
        top = place // about["columns"] * about["height"]
        left = place % about["columns"] * about["width"]
        assert sheet[top, left].tolist() == [number, 255, 255, 255]
    assert len(about["numbers"]) <= 10
    assert sum(about["durations"]) == sum(10 + number for number in range(count))


def test_large_frames_are_shrunk_and_edges_keep_their_color():
    frame = np.zeros((400, 800, 4), np.uint8)
    frame[:, 401:] = 200, 0, 0, 255  # half of a pixel of the film
    film = film_of([(frame, 100)])
    sheet = np.asarray(Image.open(io.BytesIO(film.picture())).convert("RGBA"))
    assert sheet.shape == (160, 320, 4)
    edge = sheet[80, 160]
    assert 0 < edge[3] < 255
    assert edge[:3].tolist() == [200, 0, 0]

import numpy as np
import pytest

from glassine.data.sticker import Sticker
from glassine.pipelines.preview import GAP, MARGIN, PreviewStrip, film_strips
from glassine.utils.colors import DARK, LIGHT


def frame(color: int, alpha: int, height: int = 20, width: int = 30) -> np.ndarray:
    picture = np.full((height, width, 4), color, np.uint8)
    picture[..., 3] = alpha
    return picture


@pytest.mark.parametrize("length", [1, 3, 4, 7, 100, 1001])
def test_few_frames_from_first_to_near_the_last_whatever_the_length(length):
    strip = PreviewStrip(columns=4, tile=30)
    for number in range(length):
        strip.add(frame(round(200 * number / length), 255), frame(0, 255))
    picture = np.asarray(strip.picture())
    columns = min(4, length)
    assert picture.shape == (2 * MARGIN + 2 * 20 + GAP, 2 * MARGIN + columns * (30 + GAP) - GAP, 3)
    tones = [int(picture[MARGIN + 5, MARGIN + 5 + i * (30 + GAP), 0]) for i in range(columns)]
    assert tones == sorted(tones)
    assert tones[0] == 0
    assert length == 1 or tones[-1] >= 200 * (0.7 if length > 4 else 1 - 1 / length) - 1
    assert len(strip._kept) <= 8


def test_input_above_and_result_on_a_checkerboard_below():
    strip = PreviewStrip(columns=1, tile=30)
    strip.add(frame(90, 255), frame(0, 0))
    picture = np.asarray(strip.picture())
    assert (picture[MARGIN : MARGIN + 20, MARGIN : MARGIN + 30] == 90).all()
    below = picture[MARGIN + 20 + GAP : -MARGIN, MARGIN:-MARGIN, 0]
    assert sorted(np.unique(below)) == [DARK, LIGHT]


def test_invisible_colors_do_not_leak_into_thumbnails():
    result = frame(0, 255, 64, 64)
    result[::2] = (255, 0, 0, 0)  # every other row invisible, its color red
    strip = PreviewStrip(columns=1, tile=32)
    strip.add(frame(0, 255, 64, 64), result)
    below = np.asarray(strip.picture())[MARGIN + 32 + GAP : -MARGIN, MARGIN:-MARGIN].astype(int)
    assert np.abs(below[..., 0] - below[..., 2]).max() <= 1


def test_an_empty_strip_says_so():
    with pytest.raises(ValueError, match="at least one frame"):
        PreviewStrip().picture()


def sticker(frames: int, height: int = 20, width: int = 40) -> Sticker:
    pixels = np.zeros((frames, height, width, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 250, 255
    return Sticker(pixels, (100,) * frames)


def test_each_sticker_is_a_row_of_its_frames():
    picture = film_strips([sticker(3), sticker(9), sticker(1)], ["a", "b", "c" * 400], frames=4, tile=32)
    pixels = np.asarray(picture).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 50)
    rows = red.any(axis=1).nonzero()[0]
    assert (np.diff(rows) > 1).sum() == 2  # three rows
    widths = [red[row].sum() for row in (rows[0], rows[-1])]
    assert widths[0] == 3 * 32  # three frames, the longer side fills the tile
    assert widths[1] == 32
    assert picture.width == 2 * 16 + 4 * 32 + 3 * 4


def test_what_is_transparent_shows_the_checkerboard():
    clear = Sticker(np.zeros((1, 64, 64, 4), np.uint8), (100,))
    pixels = np.asarray(film_strips([clear], [""], tile=64))[16:80, 16:80]
    assert len(np.unique(pixels)) == 2

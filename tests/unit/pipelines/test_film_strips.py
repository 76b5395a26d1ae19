import numpy as np

from glassine.data.sticker import Sticker
from glassine.pipelines.preview import film_strips


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

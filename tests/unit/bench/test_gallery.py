"""Pictures of results: labelled cells, and a grid of seeds."""

import numpy as np
import pytest
from PIL import Image
from tests.helpers.tiny_generator import tiny_generator

from glassine.bench.gallery import CELL, Cell, draw_gallery, make_grid, write_gallery
from glassine.data.codecs import read_sticker
from glassine.pipelines.text_to_sticker import TextToStickerPipeline
from glassine.utils.colors import DARK, LIGHT


def plain(*color: int, frames: int = 3, size: int = 32) -> np.ndarray:
    return np.full((frames, size, size, len(color)), color, np.uint8)


def test_cells_stand_side_by_side_under_their_names():
    row = [Cell(plain(255, 0, 0), "red"), Cell(plain(0, 0, 255, 255), "blue")]
    frames = draw_gallery([row, row], ["one", "two"])
    assert len(frames) == 3
    assert ((frames[0] == (255, 0, 0)).all(axis=-1)).sum() == 2 * CELL * CELL
    assert ((frames[0] == (0, 0, 255)).all(axis=-1)).sum() == 2 * CELL * CELL


def test_clear_pixels_show_the_checkerboard_and_not_their_hidden_color():
    frames = draw_gallery([[Cell(plain(255, 0, 0, 0))]], ["clear"])
    red, green = frames[0, :, :, 0].astype(int), frames[0, :, :, 1].astype(int)
    assert (red - green).max() < 10  # the paper is a trace warm
    assert {LIGHT, DARK} <= set(red[CELL // 2].tolist())


def test_it_is_written_still_and_animated(tmp_path):
    clip = plain(255, 255, 255)
    clip[1] = 0
    still, animated = write_gallery(draw_gallery([[Cell(clip)]], ["x"]), [80, 90, 100], tmp_path / "picture")
    assert read_sticker(still).num_frames == 1
    assert read_sticker(animated).durations == (80, 90, 100)
    assert still.name == "picture.png"


def test_captions_change_the_picture():
    with_caption, without = (draw_gallery([[Cell(plain(0, 0, 0), text)]], ["x"]) for text in ("31.2 dB", ""))
    assert (with_caption != without).any()
    assert with_caption.shape == without.shape


@pytest.mark.parametrize("size", [16, 256])
def test_any_size_fills_the_cell(size):
    frames = draw_gallery([[Cell(plain(9, 9, 9, size=size))]], ["x"])
    assert ((frames[0] == 9).all(axis=-1)).sum() >= CELL * CELL


def test_a_row_a_prompt_and_a_column_a_seed(tmp_path):
    pipeline = TextToStickerPipeline(tiny_generator(), device="cpu")

    def make(prompt, seeds, progress):
        return pipeline(prompt, 2, 32, 32, 2, 1.0, seed=seeds, progress=progress)

    still, animated = make_grid(make, tmp_path / "pets", ("a cat", "a dog"), (0, 1, 2))
    assert (still.name, animated.name) == ("pets.png", "pets.webp")
    with Image.open(still) as picture, Image.open(animated) as clip:
        assert 3 * CELL < picture.width < 4 * CELL
        assert 2 * CELL < picture.height < 3 * CELL
        assert clip.n_frames == 2

import numpy as np
import pytest
from PIL import Image

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pipelines.animate import FittedStill, check_still, is_opaque, read_still
from glassine.utils.errors import UserError


def disc(height: int, width: int) -> np.ndarray:
    """A red disc that touches the borders, `h w 4`."""
    rows, columns = (np.linspace(-1, 1, side) for side in (height, width))
    picture = np.zeros((height, width, 4), np.uint8)
    picture[rows[:, None] ** 2 + columns**2 < 1] = (200, 30, 40, 255)
    return picture


def test_a_picture_is_read_as_it_is(tmp_path):
    Image.fromarray(disc(20, 30)).save(tmp_path / "still.png")
    frame, number, frames = read_still(tmp_path / "still.png")
    assert (number, frames) == (0, 1)
    assert np.array_equal(frame, disc(20, 30))


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".mov", ".zip"])
def test_of_an_animation_it_is_the_middle_frame(tmp_path, suffix):
    frames = np.stack([disc(32, 32)] * 5)
    frames[2, 12:20, 12:20, :3] = (0, 0, 255)
    write_sticker(Sticker(frames, (100,) * 5), tmp_path / f"moving{suffix}")
    frame, number, count = read_still(tmp_path / f"moving{suffix}")
    assert (number, count) == (2, 5)
    assert frame[16, 16, 2] > 200
    assert frame[16, 16, 0] < 50


@pytest.mark.parametrize("full", [(77, 31), (31, 77), (128, 128), (1, 500), (33, 34)])
def test_shapes_are_kept_and_sizes_come_back(full):
    fitted = FittedStill(full, (64, 64))
    seen = fitted.shrink(disc(*full))
    assert seen.shape == (1, 64, 64, 4)
    rows, columns = fitted.box
    inside = np.zeros((64, 64), bool)
    inside[rows, columns] = True
    assert not seen[0][~inside].any()
    assert max(rows.stop - rows.start, columns.stop - columns.start) == 64
    back = fitted.enlarge(np.repeat(seen, 3, axis=0))
    assert back.shape == (3, *full, 4)
    assert np.abs(back[1, ..., 3].astype(int) - disc(*full)[..., 3]).mean() < 16


def test_frames_that_are_wider_than_high_take_pictures_too():
    fitted = FittedStill((50, 50), (32, 64))
    assert fitted.box == (slice(0, 32), slice(16, 48))
    assert fitted.enlarge(fitted.shrink(disc(50, 50))).shape == (1, 50, 50, 4)


def test_what_cannot_be_animated_is_said():
    opaque, clear = np.full((4, 4, 4), 255, np.uint8), np.zeros((4, 4, 4), np.uint8)
    assert is_opaque(opaque)
    assert not is_opaque(disc(9, 9))
    check_still(disc(9, 9))
    with pytest.raises(UserError, match=r"cat\.png must have transparent pixels .* cut it out of .*\(--cut"):
        check_still(opaque, "cat.png")
    with pytest.raises(UserError, match=r"cat\.png must show something, got one that is clear everywhere"):
        check_still(clear, "cat.png")
    with pytest.raises(UserError, match=r"uint8 \(4, 4, 3\); it must be uint8 \(height, width, 4\)"):
        check_still(opaque[..., :3])

"""Reading and checking stills, without any network."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pipelines.stills import check_still, is_opaque, read_still
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


def test_what_cannot_be_animated_is_said():
    opaque, clear = np.full((4, 4, 4), 255, np.uint8), np.zeros((4, 4, 4), np.uint8)
    assert is_opaque(opaque)
    assert not is_opaque(disc(9, 9))
    check_still(disc(9, 9))
    with pytest.raises(UserError, match=r"cat\.png must have transparent pixels .* cut it out of .*\(--cut"):
        check_still(opaque, "cat.png")
    with pytest.raises(UserError, match=r"cat\.png must show something, got a fully transparent one"):
        check_still(clear, "cat.png")
    with pytest.raises(UserError, match=r"must be uint8 RGBA \(height, width, 4\), got uint8 \(4, 4, 3\)"):
        check_still(opaque[..., :3])


def test_a_still_is_refused_before_networks_are_imported(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photo.png")
    script = (
        "import sys; from glassine.__main__ import main; "
        f"code = main(['animate', {str(tmp_path / 'photo.png')!r}, 'waves', {str(tmp_path / 'out.webp')!r}]); "
        "print(code, 'diffusers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["2", "False"]
    assert "must have transparent pixels around the sticker" in found.stderr

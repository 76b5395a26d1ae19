"""Where a sticker stands on the canvas."""

import numpy as np
import pytest

from glassine.pipelines.outline import Surround
from glassine.pipelines.pack.canvas import Placing, content_box, place, resized
from glassine.pipelines.pack.limits import Limits
from glassine.utils.errors import UserError


def limits(shape: str = "exact", canvas: tuple[int, int] = (64, 64), **rules: object) -> Limits:
    return Limits("png", canvas, shape, 10_000, **rules)  # type: ignore[arg-type]


def box(height: int = 30, width: int = 50) -> np.ndarray:
    """Two frames of 40x60 with a block of 10x20 that moves by 5."""
    frames = np.zeros((2, height, width, 4), np.uint8)
    frames[0, 5:15, 10:30] = (200, 30, 20, 255)
    frames[1, 10:20, 15:35] = (200, 30, 20, 255)
    return frames


def test_the_box_holds_what_any_frame_shows():
    assert content_box(box()) == (10, 5, 35, 20)


def test_a_sticker_that_shows_nothing_is_refused():
    with pytest.raises(UserError, match="must show something"):
        content_box(np.zeros((2, 4, 4, 4), np.uint8))


@pytest.mark.parametrize("margin", [0, 5])
def test_an_exact_canvas_is_filled_up_to_the_margin(margin):
    placed = place(box(), limits(margin=margin), Placing())
    assert placed.shape == (2, 64, 64, 4)
    left, top, right, bottom = content_box(placed)
    assert (left, right) == (margin, 64 - margin)  # 25x15 becomes as wide as there is room
    assert abs((top + bottom) / 2 - 32) <= 1


def test_a_cut_canvas_touches_one_side_and_follows_the_shape():
    placed = place(box(), limits("cut", (320, 270)), Placing())
    assert placed.shape[1:3] == (192, 320)


def test_sides_are_even_where_they_must_be():
    odd = np.full((1, 10, 21, 4), 255, np.uint8)
    height, width = place(odd, limits("cut", (100, 80), even=True), Placing()).shape[1:3]
    assert (width, height % 2) == (100, 0)


def test_without_the_crop_the_own_canvas_is_kept():
    placed = place(box(), limits("cut", (100, 100)), Placing(crop=False))
    assert placed.shape[1:3] == (60, 100)
    assert content_box(placed) == pytest.approx((20, 10, 70, 40), abs=4)  # soft edges of bicubic enlarging


def test_smaller_drawing_leaves_more_room_on_the_same_canvas():
    placed = place(box(), limits(), Placing(), scale=0.5)
    assert placed.shape == (2, 64, 64, 4)
    left, _, right, _ = content_box(placed)
    assert right - left == 32


def test_a_canvas_that_may_shrink_does():
    rules = limits(shrink_to=40)
    assert place(box(), rules, Placing(), 0.75).shape == (2, 48, 48, 4)
    smallest = place(box(), rules, Placing(), 0.5)
    assert smallest.shape == (2, 40, 40, 4)
    left, _, right, _ = content_box(smallest)
    assert right - left == 32


def test_a_border_fits_on_the_canvas_and_is_as_wide_in_proportion():
    frames = np.full((1, 246, 246, 4), 255, np.uint8)  # just as large as there is room
    frames[..., :3] = (200, 0, 0)
    placed = place(frames, limits(canvas=(256, 256)), Placing(surround=Surround(outline=8, outline_color=(0, 0, 255))))
    row = placed[0, 128]
    blue = np.flatnonzero((row[:, 2] > 200) & (row[:, 3] > 200))
    assert len(blue) == 2 * 4  # on each side: half of what it is on a canvas of 512
    assert placed[0, :, 0, 3].max() == 0
    assert placed[0, :, -1, 3].max() == 0


def test_a_border_that_leaves_no_room_is_refused():
    with pytest.raises(UserError, match="make them smaller"):
        place(box(), limits(), Placing(surround=Surround(outline=250)))


@pytest.mark.parametrize("size", [(13, 9), (80, 50), (25, 80)])
def test_resizing_lets_no_color_of_invisible_pixels_in(size):
    frame = np.zeros((30, 40, 4), np.uint8)
    frame[..., 1] = 255  # bright green that nobody sees
    frame[8:22, 8:32] = (200, 10, 10, 255)
    result = resized(frame, size)
    assert result.shape == (size[1], size[0], 4)
    seen = result[result[..., 3] > 8]
    assert len(seen)
    assert np.abs(seen[:, :3].astype(int) - (200, 10, 10)).max() <= 2
    assert not result[result[..., 3] == 0].any()


def test_enlarging_keeps_the_place():
    frame = np.zeros((20, 20, 4), np.uint8)
    frame[5:15, 5:15] = 255
    large = resized(frame, (80, 80))[..., 3].astype(float)
    rows = np.arange(80)
    assert (large.sum(axis=1) * rows).sum() / large.sum() == pytest.approx(39.5, abs=0.1)
    assert large.sum() / 255 == pytest.approx(1600, rel=0.02)

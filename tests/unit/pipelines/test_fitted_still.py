import tracemalloc

import numpy as np
import pytest

from glassine.nn.motion_fields import terms
from glassine.pipelines.fitted_still import FILLS, LEAST_SIZE, FittedStill


def block(height: int, width: int, top: int, left: int, high: int, wide: int) -> np.ndarray:
    """A blue block with a red corner on nothing, `h w 4`."""
    still = np.zeros((height, width, 4), np.uint8)
    still[top : top + high, left : left + wide] = (40, 80, 220, 255)
    still[top : top + high // 2, left : left + wide // 2, :3] = (220, 30, 30)
    return still


def shown(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that show something."""
    seen = frames[..., 3] > 40
    return np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))


def shift(down: float) -> np.ndarray:
    """A field that moves everything down by this share of the frame, a quarter of a loop after its start."""
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[1, ..., 1] = down / (terms(16, 8, 1)[4, 1])
    return field


@pytest.mark.parametrize("full", [(77, 31), (31, 77), (128, 128), (60, 400), (33, 34)])
def test_what_fills_its_canvas_is_shown_as_a_whole_and_comes_back_in_its_size(full):
    still = block(*full, 0, 0, *full)
    fitted = FittedStill(still, (64, 64))
    seen = fitted.shrink()
    assert seen.shape == (1, 64, 64, 4)
    rows, columns = shown(seen[0])
    assert max(len(rows) / 64, len(columns) / 64) == pytest.approx(1, abs=0.04)
    back = fitted.enlarge(np.repeat(seen, 3, axis=0))
    assert back.shape == (3, *full, 4)
    assert np.abs(back[1].astype(int) - still).mean() < 16


def test_what_is_small_or_in_a_corner_fills_the_frame_as_in_training():
    fitted = FittedStill(block(200, 300, 150, 10, 40, 30), (64, 64))
    rows, columns = shown(fitted.shrink()[0])
    assert len(rows) / 64 == pytest.approx(FILLS, abs=0.04)
    assert len(columns) / len(rows) == pytest.approx(30 / 40, abs=0.05)
    assert abs(rows.mean() - 31.5) < 2
    assert abs(columns.mean() - 31.5) < 2


def test_frames_come_back_at_the_place_of_what_they_show():
    still = block(200, 300, 150, 10, 40, 30)
    fitted = FittedStill(still, (64, 64))
    back = fitted.enlarge(fitted.shrink())[0]
    assert np.abs(back.astype(int) - still).mean() < 1


def test_faint_specks_do_not_count_as_the_sticker():
    still = block(200, 200, 80, 80, 40, 40)
    speckled = still.copy()
    speckled[0, 0, 3] = 3
    assert FittedStill(speckled, (64, 64)).window == FittedStill(still, (64, 64)).window
    faint = still.copy()
    faint[..., 3] //= 64  # what is faint as a whole is the sticker
    assert FittedStill(faint, (64, 64)).window == FittedStill(still, (64, 64)).window


def test_frames_that_are_wider_than_high_take_pictures_too():
    fitted = FittedStill(block(50, 50, 0, 0, 50, 50), (32, 64))
    assert fitted.window[2:] == (50, 100)
    assert fitted.enlarge(fitted.shrink()).shape == (1, 50, 50, 4)


def test_details_of_the_still_follow_its_motion_and_new_things_stay():
    still = block(128, 128, 30, 20, 60, 60)
    still[40:44, 26:76, :3] = (255, 255, 0)  # a thin line, which the network's frames do not have
    plain = block(128, 128, 30, 20, 60, 60)
    moved = np.roll(plain, 6, axis=1)
    moved[70:86, 60:76, :3] = (255, 255, 255)  # and something that the still does not have
    fitted = FittedStill(still, (128, 128), (0, 0, 128, 128))
    frames = fitted.enlarge(np.stack([plain, moved]), reference=0)
    assert np.array_equal(frames[0], still)
    assert (frames[1, 41:43, 40:70, 1] > 200).mean() > 0.9
    assert (frames[1, 74:82, 64:72, :3] > 200).mean() > 0.9


def test_a_still_with_room_is_moved_and_is_itself_at_the_reference():
    still = block(100, 100, 30, 30, 40, 40)
    frames = FittedStill(still, (64, 64)).moved(shift(0.1), 16, 8)
    assert np.array_equal(frames[8], still)
    rows, _ = shown(frames[4])
    assert rows[0] - 30 == pytest.approx(0.1 * 40 / FILLS, abs=1.5)
    assert len(rows) == pytest.approx(40, abs=2)


@pytest.mark.parametrize("down", [0.1, -0.1])
def test_a_still_without_room_is_made_smaller_so_that_nothing_is_cut_off(down):
    still = block(100, 80, 0, 0, 100, 80)
    frames = FittedStill(still, (64, 64)).moved(shift(down), 16, 8)
    sizes = [len(shown(frame)[0]) for frame in frames]
    assert max(sizes) - min(sizes) <= 2
    assert 100 * LEAST_SIZE <= sizes[8] <= 95
    assert sizes[8] / len(shown(frames[8])[1]) == pytest.approx(100 / 80, abs=0.06)


@pytest.mark.parametrize("full", [(20, 400), (400, 20), (1, 500), (200, 400)])
def test_long_stills_stay_on_their_canvas_and_move_less_where_there_is_no_room(full):
    still = block(*full, 0, 0, *full)
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[1, ..., 0], field[1, ..., 1] = 0.05, 0.08
    frames = FittedStill(still, (64, 64)).moved(field, 16, 8)
    seen = frames[..., 3].astype(float).sum((1, 2)) / 255 / (full[0] * full[1])
    assert seen.min() > 0.6 * LEAST_SIZE**2
    assert seen.max() - seen.min() < 0.2
    if min(full) > 1:
        assert not np.array_equal(frames[4], frames[8])


def test_a_still_that_is_not_square_moves_by_as_much_across_as_its_field_says():
    still = block(120, 240, 40, 90, 40, 60)
    field = np.zeros((2, 16, 16, 2), np.float32)
    field[1, ..., 0], field[1, ..., 1] = 0.1, 0.05
    fitted = FittedStill(still, (64, 64))
    frames = fitted.moved(field, 16, 8)
    (rows, columns), side = shown(frames[12]), fitted.window[2]
    assert rows[0] - 40 == pytest.approx(0.05 * side, abs=1.5)
    assert columns[0] - 90 == pytest.approx(0.1 * side, abs=1.5)
    assert np.array_equal(frames[8], still)


def test_what_lies_far_from_the_sticker_is_kept():
    still = block(300, 300, 200, 200, 60, 60)
    still[4:10, 4:10] = (9, 9, 9, 6)  # too faint to count as the sticker
    frames = FittedStill(still, (64, 64)).moved(shift(0.05), 16, 8)
    assert np.array_equal(frames[8], still)
    assert (frames[4, :40, :40, 3] > 0).any()


def test_long_thin_stills_need_no_square_of_their_length():
    still = block(30, 9000, 5, 5, 20, 8990)
    fitted = FittedStill(still, (64, 64))
    tracemalloc.start()
    frames = fitted.moved(shift(0.001), 3, 1)
    enlarged = fitted.enlarge(np.repeat(fitted.shrink(), 2, axis=0), reference=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames.shape == (3, 30, 9000, 4)
    assert enlarged.shape == (2, 30, 9000, 4)
    assert np.array_equal(enlarged[0], still)
    assert peak < 800e6  # bytes; a square of its length has 324e6 a frame, four times that in float


def test_a_picture_that_its_canvas_cuts_off_is_not_made_smaller_than_the_least_size():
    still = block(100, 100, 0, 0, 100, 100)
    frames = FittedStill(still, (64, 64)).moved(shift(0.6), 16, 8)
    assert len(shown(frames[8])[0]) == pytest.approx(100 * LEAST_SIZE, abs=2)

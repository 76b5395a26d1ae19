"""Strokes on a frame, and where they are on the others."""

import cv2
import numpy as np
import pytest

from glassine.pipelines.corrections import Correction, Stroke, carry
from glassine.utils.errors import UserError


def moving_disk(frames: int = 6, size: int = 96, step: int = 3) -> np.ndarray:
    """A textured disk on gray that moves to the right: `f h w 4`."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), np.uint8), (0, 0), 2) * np.uint8(1)
    rows, columns = np.indices((size, size))
    clip = np.full((frames, size, size, 4), 128, np.uint8)
    clip[..., 3] = 255
    for number in range(frames):
        x = 30 + step * number
        inside = (rows - 48) ** 2 + (columns - x) ** 2 < 20**2
        clip[number][inside, :3] = np.roll(texture, step * number, axis=1)[inside]
    return clip


def center(mask: np.ndarray) -> tuple[float, float]:
    """Column and row of a mask's middle."""
    rows, columns = np.indices(mask.shape)
    return float((mask * columns).sum() / mask.sum()), float((mask * rows).sum() / mask.sum())


@pytest.mark.parametrize("painted", [0, 3, 5])
def test_a_stroke_follows_the_motion_both_ways(painted):
    clip = moving_disk()
    place = ((30 + 3 * painted + 0.5) / 96, 48.5 / 96)
    found = carry(clip, [Stroke(painted, "remove", 0.08, (place,))])
    for number, correction in enumerate(found):
        assert correction is not None
        x, y = center(correction.remove)
        assert abs(x - (30 + 3 * number)) < 1.5
        assert abs(y - 48) < 1.5
        assert correction.keep.max() == 0


def test_a_stroke_stays_where_nothing_moves():
    clip = np.repeat(moving_disk(1), 4, axis=0)
    found = carry(clip, [Stroke(1, "keep", 0.1, ((0.3, 0.5), (0.5, 0.5)))])
    assert all(np.array_equal(one.keep, found[1].keep) for one in found)


def test_a_stroke_ends_where_the_picture_changes():
    clip = moving_disk()
    clip[3:, ..., :3] = 255 - clip[3:, ..., :3] // 4
    found = carry(clip, [Stroke(0, "keep", 0.08, ((30 / 96, 0.5),))])
    assert found[2].keep.max() > 0.8
    assert found[4] is None or found[4].keep.max() < 0.1


def test_a_stroke_can_be_for_its_frame_alone():
    found = carry(moving_disk(), [Stroke(2, "keep", 0.1, ((0.5, 0.5),))], over_time=False)
    assert [one is not None for one in found] == [False, False, True, False, False, False]


def test_the_later_stroke_counts_where_two_overlap():
    first, second = (Stroke(0, mode, 0.2, ((0.5, 0.5),)) for mode in ("keep", "remove"))
    (found,) = carry(moving_disk(1), [first, second])
    assert (found.keep[48, 48], found.remove[48, 48]) == (0, 1)
    (found,) = carry(moving_disk(1), [second, first])
    assert (found.keep[48, 48], found.remove[48, 48]) == (1, 0)


def test_a_correction_restores_colors_and_clears_them():
    original = moving_disk(1)[0]
    cut = np.zeros_like(original)
    cut[:, 48:] = original[:, 48:]
    keep, remove = np.zeros((96, 96), np.float32), np.zeros((96, 96), np.float32)
    keep[:20], remove[-20:] = 1, 1
    result = Correction(keep, remove).apply(cut, original)
    assert np.array_equal(result[:20], original[:20])
    assert not result[-20:].any()
    assert np.array_equal(result[30:60], cut[30:60])


def test_a_kept_pixel_is_never_more_opaque_than_the_original():
    original = moving_disk(1)[0]
    original[..., 3] = 100
    result = Correction(np.ones((96, 96), np.float32), np.zeros((96, 96), np.float32)).apply(original * 0, original)
    assert (result[..., 3] == 100).all()


@pytest.mark.parametrize(
    ("stroke", "said"),
    [
        ((-1, "keep", 0.1, ((0, 0),)), "frame of a stroke"),
        ((0, "burn", 0.1, ((0, 0),)), "keep or remove"),
        ((0, "keep", 0, ((0, 0),)), "radius"),
        ((0, "keep", 0.1, ()), "points"),
        ((0, "keep", 0.1, ((9, 0),)), "pairs of shares"),
    ],
)
def test_strokes_that_cannot_be_painted(stroke, said):
    with pytest.raises(UserError, match=said):
        Stroke(*stroke)


def test_a_stroke_on_a_frame_that_there_is_not():
    with pytest.raises(UserError, match="below 2, got 2"):
        carry(moving_disk(2), [Stroke(2, "keep", 0.1, ((0, 0),))])

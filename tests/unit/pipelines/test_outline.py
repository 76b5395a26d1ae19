"""Borders and shadows under stickers."""

import numpy as np
import pytest

from glassine.pipelines.outline import (
    THRESHOLDS,
    Surround,
    add_surround,
    outline_layer,
    premultiplied,
    shadow_layer,
    straight,
    surrounded,
    under,
)
from glassine.utils.errors import UserError


def drawing(seed: int, height: int = 22, width: int = 27) -> np.ndarray:
    """A few soft blobs, `h w 4` uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    alpha = np.zeros((height, width))
    for _ in range(3):
        y, x, radius = rng.uniform(6, height - 6), rng.uniform(6, width - 6), rng.uniform(1, 5)
        alpha = np.maximum(alpha, np.clip(radius - np.hypot(rows - y, columns - x), 0, 1))
    frame = rng.integers(0, 256, (height, width, 4), np.uint8)
    frame[..., 3] = (alpha * 255).round()
    frame[frame[..., 3] == 0] = 0
    return frame


def outline_by_brute_force(alpha: np.ndarray, width: float) -> np.ndarray:
    """Every pixel against every other one."""
    height, breadth = alpha.shape
    places = np.stack(np.mgrid[:height, :breadth], axis=-1).reshape(-1, 2).astype(float)
    layer = np.zeros(alpha.size)
    for threshold in THRESHOLDS:
        inside = places[(alpha >= threshold).ravel()]
        if len(inside):
            distance = np.sqrt(((places[:, None] - inside[None]) ** 2).sum(axis=-1)).min(axis=1)
            layer += np.clip(width + 1 - distance, 0, 1) / len(THRESHOLDS)
    return layer.reshape(alpha.shape)


@pytest.mark.parametrize("width", [0.5, 2.0, 3.7])
@pytest.mark.parametrize("seed", range(4))
def test_the_border_is_as_wide_as_exact_distances_say(seed, width):
    alpha = drawing(seed)[..., 3].astype(np.float32) / 255
    np.testing.assert_allclose(outline_layer(alpha, width), outline_by_brute_force(alpha, width), atol=1e-4)


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 0.75])
def test_a_border_ends_its_width_beyond_the_edge_also_within_a_pixel(part):
    alpha = np.zeros((9, 40), np.float32)
    alpha[:, :10], alpha[:, 10] = 1, part
    assert outline_layer(alpha, 5)[4].sum() == pytest.approx(10 + part + 5, abs=1e-4)


def test_an_empty_frame_gets_no_border():
    assert not outline_layer(np.zeros((8, 8), np.float32), 3).any()


def test_alpha_is_that_of_the_sticker_over_its_border():
    frame = drawing(0)
    alpha = frame[..., 3].astype(np.float32) / 255
    result = add_surround(frame[None], Surround(outline=2, outline_color=(10, 200, 30)))[0]
    expected = alpha + (1 - alpha) * outline_by_brute_force(alpha, 2)
    assert np.abs(result[..., 3] / 255 - expected).max() <= 0.5 / 255 + 1e-3


def test_opaque_pixels_of_the_sticker_stay_what_they_were():
    frame = drawing(1)
    result = add_surround(frame[None], Surround(outline=3, shadow=0.8))[0]
    inside = frame[..., 3] == 255
    assert inside.any()
    np.testing.assert_array_equal(result[inside], frame[inside])


def test_the_border_alone_has_its_own_color():
    frame = np.zeros((20, 20, 4), np.uint8)
    frame[8:12, 8:12] = (255, 0, 0, 255)
    result = add_surround(frame[None], Surround(outline=3, outline_color=(10, 200, 30)))[0]
    assert result[10, 6].tolist() == [10, 200, 30, 255]
    assert result[10, 2].tolist() == [0, 0, 0, 0]


def test_a_sharp_shadow_is_the_silhouette_moved():
    alpha = drawing(2)[..., 3].astype(np.float32) / 255
    moved = shadow_layer(alpha, (2, 3), 0)
    np.testing.assert_allclose(moved[3:, 2:], alpha[:-3, :-2], atol=1e-6)
    assert not moved[:3].any()
    assert not moved[:, :2].any()


def test_blur_spreads_a_shadow_and_loses_none_of_it():
    alpha = np.zeros((61, 61), np.float32)
    alpha[28:33, 28:33] = 1
    soft = shadow_layer(alpha, (0, 0), 4)
    assert soft.sum() == pytest.approx(alpha.sum(), rel=1e-3)
    rows = np.arange(61) - 30
    spread = float((soft.sum(axis=1) * rows**2).sum() / soft.sum())
    assert spread == pytest.approx(2.0 + 16, rel=0.03)  # variances add: of 5 pixels in a row, and of the blur


def test_a_layer_under_half_transparent_pixels_counts_half():
    pixels = np.full((1, 1, 4), 0.5, np.float32)  # premultiplied: white at half
    result = under(pixels, np.ones((1, 1), np.float32), (0, 0, 0))
    np.testing.assert_allclose(result[0, 0], [0.5, 0.5, 0.5, 1.0])


def test_straight_and_premultiplied_go_back_and_forth():
    frame = drawing(3)
    np.testing.assert_array_equal(straight(premultiplied(frame)), frame)


@pytest.mark.parametrize("surround", [Surround(outline=4), Surround(shadow=1), Surround(outline=3, shadow=0.5)])
def test_the_canvas_grows_so_that_nothing_is_cut(surround):
    frame = np.full((12, 12, 4), 255, np.uint8)
    result = surrounded(frame, surround)
    assert result.shape == (12 + 2 * surround.room, 12 + 2 * surround.room, 4)
    rim = np.concatenate([result[0], result[-1], result[:, 0], result[:, -1]])
    assert rim[:, 3].max() <= 1


def test_without_border_and_shadow_a_frame_stays_itself():
    frame = drawing(0)
    assert surrounded(frame, Surround()) is frame


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"outline": -1}, "outline must be"),
        ({"outline": float("nan")}, "outline must be"),
        ({"shadow": 1.5}, r"opacity in \[0, 1\], got 1.5"),
        ({"shadow_blur": -2}, "blur must be"),
        ({"shadow_offset": (float("inf"), 0)}, "offset must be"),
    ],
)
def test_numbers_out_of_range_are_refused(setting, says):
    with pytest.raises(UserError, match=says):
        Surround(**setting)

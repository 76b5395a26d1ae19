import numpy as np
import pytest

from glassine.data.shards import cap_fps, resize_frames
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def test_shrinking_equals_the_mean_of_premultiplied_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 20, 4), dtype=np.uint8)
    small = resize_frames(frames, 6, 10)
    alpha = frames[..., 3].astype(float) / 255
    color = frames[..., :3] * alpha[..., None]
    mean_alpha = alpha.reshape(2, 6, 2, 10, 2).mean((2, 4))
    mean_color = color.reshape(2, 6, 2, 10, 2, 3).mean((2, 4)) / mean_alpha[..., None]
    assert np.abs(small[..., 3] - mean_alpha * 255).max() <= 0.51
    assert np.abs(small[..., :3] - mean_color).max() <= 0.51


@pytest.mark.parametrize("size", [(5, 7), (40, 40)])
def test_invisible_colors_never_leak(size: tuple[int, int]) -> None:
    frames = np.zeros((1, 16, 16, 4), np.uint8)
    frames[..., 1] = 255  # invisible green all around
    frames[:, 4:12, 4:12] = [255, 0, 0, 255]
    resized = resize_frames(frames, *size)
    assert resized[..., 1][resized[..., 3] > 0].max() == 0
    assert resized[..., 0][resized[..., 3] > 0].min() == 255


def test_another_shape_is_fitted_in_and_padded_with_clear() -> None:
    frames = np.full((1, 10, 20, 4), 255, np.uint8)
    fitted = resize_frames(frames, 16, 16, keep_shape=True)
    assert (fitted[0, 4:12] == 255).all()
    assert not fitted[0, :4].any()
    assert not fitted[0, 12:].any()


def test_the_same_size_is_not_touched() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 4), dtype=np.uint8)
    assert resize_frames(frames, 8, 8) is frames


def test_a_slow_sticker_keeps_all_its_frames_and_the_cap_is_never_passed() -> None:
    sticker = Sticker(np.zeros((6, 2, 2, 4), np.uint8), (200,) * 6)
    assert cap_fps(sticker, 8) is sticker
    assert cap_fps(sticker, None) is sticker
    fast = Sticker(np.zeros((73, 2, 2, 4), np.uint8), (42,) * 73)
    assert cap_fps(fast, 8).fps <= 8
    assert cap_fps(fast, 8).duration_ms == fast.duration_ms
    with pytest.raises(UserError, match="above 0"):
        cap_fps(fast, 0)

import cv2
import numpy as np
import pytest

from glassine.pipelines.upsampling import WorkingSize, guided_upsampling


def disc(size: int, radius: float) -> np.ndarray:
    """Alpha `size size` of a soft-edged disc."""
    y, x = np.indices((size, size)) + 0.5 - size / 2
    return np.clip(radius - np.hypot(y, x) + 0.5, 0, 1).astype(np.float32)


def test_edges_come_back_sharp_at_the_full_size():
    truth = disc(256, 90)
    background, inside = np.array([0.9, 0.9, 1.0], np.float32), np.array([0.8, 0.2, 0.1], np.float32)
    picture = truth[..., None] * inside + (1 - truth[..., None]) * background
    small = cv2.resize(truth, (64, 64), interpolation=cv2.INTER_AREA)
    guided = guided_upsampling(small, picture)
    plain = cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR)
    assert np.sqrt(np.mean((guided - truth) ** 2)) < 0.1 * np.sqrt(np.mean((plain - truth) ** 2))


def test_texture_and_noise_inside_make_no_holes():
    picture = np.random.default_rng(0).random((128, 128, 3), dtype=np.float32)
    solid = np.zeros((32, 32), np.float32)
    solid[8:24, 8:24] = 1
    result = guided_upsampling(solid, picture)
    assert result[40:88, 40:88].min() == 1
    assert result[:24].max() == 0
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("full", [(1, 1), (1, 300), (300, 1), (33, 57), (256, 256), (255, 119), (700, 41)])
def test_any_size_fits_the_network_and_comes_back(full):
    size = WorkingSize.of(full, resolution=64, multiple=32)
    assert max(size.inner) == 64
    assert not any(side % 32 for side in size.frame)
    picture = np.full((*full, 3), 40, np.uint8)
    seen = size.shrink(picture, (255, 0, 102))
    assert seen.shape == (3, *size.frame)
    np.testing.assert_allclose(seen[:, : size.inner[0], : size.inner[1]], 40 / 255, atol=1e-6)
    filled = np.broadcast_to(np.array([1, 0, 0.4])[:, None, None], (3, size.frame[0] - size.inner[0], size.frame[1]))
    np.testing.assert_allclose(seen[:, size.inner[0] :], filled, atol=1e-6)
    alpha = np.full(size.frame, 0.25, np.float32)
    alpha[size.inner[0] :] = 1  # beyond the picture: must not leak in
    np.testing.assert_allclose(size.enlarge(alpha, picture), np.full(full, 0.25), atol=1e-6)


def test_at_the_networks_own_size_nothing_is_resampled():
    size = WorkingSize.of((64, 40), resolution=64, multiple=32)
    rng = np.random.default_rng(0)
    picture, alpha = rng.integers(0, 256, (64, 40, 3), dtype=np.uint8), rng.random(size.frame, dtype=np.float32)
    np.testing.assert_allclose(
        size.shrink(picture, (0, 0, 0))[:, :64, :40], np.moveaxis(picture, -1, 0) / 255, atol=1e-6
    )
    np.testing.assert_array_equal(size.enlarge(alpha, picture), alpha[:64, :40])

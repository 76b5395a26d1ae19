import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from glassine.nn.losses import laplacian_l1, laplacian_pyramid, weighted_l1

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def literal_pyramid(picture: np.ndarray, levels: int) -> list[np.ndarray]:
    bands = []
    for _ in range(levels):
        smaller = correlate(picture, KERNEL, mode="mirror")[::2, ::2]
        sparse = np.zeros((2 * smaller.shape[0], 2 * smaller.shape[1]))
        sparse[::2, ::2] = smaller
        larger = correlate(sparse, 4 * KERNEL, mode="mirror")
        bands.append(picture - larger[: picture.shape[0], : picture.shape[1]])
        picture = smaller
    return bands


@pytest.mark.parametrize("size", [(64, 48), (37, 50)])
def test_the_pyramid_equals_a_literal_one_also_where_sizes_are_odd(size):
    picture = torch.rand(1, 1, *size, dtype=torch.float64)
    for band, expected in zip(laplacian_pyramid(picture, 4), literal_pyramid(picture[0, 0].numpy(), 4), strict=True):
        np.testing.assert_allclose(band[0, 0].numpy(), expected, atol=1e-6)


def test_the_loss_doubles_each_levels_weight_and_counts_the_weighed_pixels_alone():
    one, other = torch.rand(2, 2, 1, 40, 40).unbind()
    weight = (torch.rand(2, 1, 40, 40) > 0.7).float()
    expected = 0.0
    for level in range(3):
        pyramids = [[literal_pyramid(x[0].double().numpy(), 3)[level] for x in batch] for batch in (one, other)]
        counted = weight[:, 0, :: 2**level, :: 2**level].numpy()
        expected += 2**level * (np.abs(np.subtract(*pyramids)) * counted).sum() / counted.sum()
    assert laplacian_l1(one, other, weight, levels=3).item() == pytest.approx(expected, rel=1e-4)


def test_a_flat_difference_is_no_edge():
    one = torch.rand(1, 1, 64, 64)
    everywhere = torch.ones_like(one)
    assert laplacian_l1(one, one + 0.25, everywhere) < 1e-5
    assert weighted_l1(one, one + 0.25, everywhere).item() == pytest.approx(0.25)


def test_where_no_pixel_counts_nothing_is_lost():
    one, other = torch.rand(2, 1, 1, 64, 64).unbind()
    nowhere = torch.zeros_like(one)
    assert weighted_l1(one, other, nowhere) == 0
    assert laplacian_l1(one, other, nowhere) == 0


def test_mixed_precision_does_not_touch_what_is_nearly_equal():
    one = torch.rand(1, 1, 64, 64)
    other = one + torch.randn_like(one) * 1e-3
    everywhere = torch.ones_like(one)
    expected = laplacian_l1(one, other, everywhere)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(laplacian_l1(one, other, everywhere), expected)


def test_a_picture_too_small_for_the_levels_is_refused():
    with pytest.raises(ValueError, match="at least 33 pixels for 5 levels, got 32 x 64"):
        laplacian_pyramid(torch.rand(1, 1, 32, 64))

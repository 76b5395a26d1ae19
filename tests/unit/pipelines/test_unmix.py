import cv2
import numpy as np
import pytest

from glassine.data.alpha import composite_frames
from glassine.pipelines.backgrounds import unmix


def test_the_composite_on_the_background_is_the_input_again():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (32, 32, 4), dtype=np.uint8)
    for background in ((255, 255, 255), (128, 128, 128), (10, 200, 90)):
        opaque = composite_frames(frame, background)
        result = unmix(opaque, frame[..., 3], background)
        again = composite_frames(result, background)
        assert np.abs(again.astype(int) - opaque).max() <= 1
        clear = frame[..., 3] >= 128  # one step of the composite is at most two of the color
        assert np.abs(result[clear, :3].astype(int) - frame[clear, :3]).max() <= 2


def test_opaque_pixels_keep_their_bits_and_invisible_ones_are_black():
    opaque = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[:4] = 0
    result = unmix(opaque, alpha, (3, 4, 5))
    np.testing.assert_array_equal(result[4:, :, :3], opaque[4:])
    assert not result[:4].any()


def test_colors_out_of_reach_are_clipped():
    opaque = np.full((1, 1, 3), 250, np.uint8)
    result = unmix(opaque, np.full((1, 1), 20, np.uint8), (0, 128, 255))
    assert result[0, 0].tolist() == [255, 255, 191, 20]


@pytest.mark.full
@pytest.mark.parametrize("background", [(255, 255, 255), (128, 128, 128)])
def test_soft_pixels_come_out_nearer_the_truth_than_with_pymattings_estimation(background):
    pymatting = pytest.importorskip("pymatting")  # compiles for half a minute
    alpha = np.zeros((96, 96), np.float32)
    cv2.circle(alpha, (48, 48), 30, 1.0, -1)
    alpha = (cv2.GaussianBlur(alpha, (0, 0), 4) * 255).round().astype(np.uint8)  # a glow around a disc
    y, x = np.indices(alpha.shape)
    color = np.stack([2 * x, 2 * y, np.where((x // 12) % 2, 220, 40)], axis=-1).clip(0, 255).astype(np.uint8)
    truth = np.concatenate([color, alpha[..., None]], axis=-1)
    opaque = composite_frames(truth, background)
    soft = (alpha > 0) & (alpha < 255)

    def error(estimated: np.ndarray) -> float:
        return float((np.abs(estimated.astype(float) - color) * (alpha[..., None] / 255.0))[soft].mean())

    guessed = pymatting.estimate_foreground_ml(opaque / 255.0, alpha / 255.0)
    assert error(unmix(opaque, alpha, background)[..., :3]) < 0.2 * error((guessed * 255).clip(0, 255))

"""One palette for many frames."""

import numpy as np

from glassine.pipelines.pack.palette import apply_palette, exact_palette, shared_palette


def gradient() -> np.ndarray:
    """Two frames of a soft disc with more colors than a palette holds."""
    rows, columns = np.mgrid[:48, :64]
    frames = np.zeros((2, 48, 64, 4), np.uint8)
    for number, frame in enumerate(frames):
        frame[..., 0], frame[..., 1], frame[..., 2] = columns * 4, rows * 5, 80 + 40 * number
        frame[..., 3] = np.clip(20 - np.hypot(rows - 24, columns - 28 - 4 * number), 0, 1) * 255
        frame[frame[..., 3] == 0] = 0
    return frames


def error(frames: np.ndarray, most: int) -> float:
    seen, meant = (
        part[..., :3] * (part[..., 3:] / 255.0) for part in (apply_palette(*shared_palette(frames, most)), frames)
    )
    return float(((seen - meant) ** 2).mean())


def test_few_colors_stay_exact():
    rng = np.random.default_rng(0)
    colors = rng.integers(1, 256, (40, 4), np.uint8)
    frames = colors[rng.integers(0, 40, (3, 9, 11))]
    numbers, palette = shared_palette(frames, 64)
    assert len(palette) <= 40
    np.testing.assert_array_equal(apply_palette(numbers, palette), frames)


def test_exact_palettes_are_only_for_few_colors():
    assert exact_palette(gradient()) is None
    numbers, palette = exact_palette(gradient()[:, :2]) or (None, None)  # all clear
    assert palette is not None
    assert palette.tolist() == [[0, 0, 0, 0]]
    assert not numbers.any()


def test_palettes_are_no_larger_than_asked_for_and_better_the_larger_they_are():
    frames = gradient()
    for most in (4, 16, 64, 256):
        numbers, palette = shared_palette(frames, most)
        assert len(palette) <= most
        assert numbers.max() < len(palette)
    assert error(frames, 256) < error(frames, 64) < error(frames, 16)
    assert error(frames, 256) < 16.0  # 36 dB for 4,000 colors


def test_clear_pixels_stay_clear_and_no_others_become_so():
    frames = gradient()
    result = apply_palette(*shared_palette(frames, 8))
    np.testing.assert_array_equal(result[..., 3] == 0, frames[..., 3] == 0)


def test_opaque_frames_stay_opaque():
    frames = gradient()
    frames[..., 3] = 255
    assert (apply_palette(*shared_palette(frames, 32))[..., 3] == 255).all()

import cv2
import numpy as np
import pytest
import torch

from glassine.data.alpha import composite_frames
from glassine.pipelines.backgrounds import (
    MIDDLE_GRAY,
    find_background,
    give_back_colors,
    parse_background,
    settle_alpha,
    unmix,
)
from glassine.utils.errors import UserError


def picture(color: tuple[int, int, int], size: int = 40) -> np.ndarray:
    frame = np.full((size, size, 4), 255, np.uint8)
    frame[..., :3] = color
    return frame


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("auto", None),
        ("white", (255, 255, 255)),
        ("gray", (128, 128, 128)),
        ("#ff8001", (255, 128, 1)),
        ("ff8001", (255, 128, 1)),  # an unquoted # starts a comment in a shell
        ("#F80", (255, 136, 0)),
        (" Navy ", (0, 0, 128)),
    ],
)
def test_colors_by_name_or_hex(text, color):
    assert parse_background(text) == color


@pytest.mark.parametrize("text", ["", "#12345", "whitish", "#gggggg", "12,13,14"])
def test_other_colors_are_the_users_mistake(text):
    with pytest.raises(UserError, match="background"):
        parse_background(text)


def test_the_border_tells_the_exact_color_though_the_sticker_touches_it():
    frame = picture((211, 47, 90))
    frame[10:, 12:30, :3] = (20, 200, 60)  # reaches the lower border
    frame[10:, 11, :3] = (190, 60, 88)  # and is soft there
    assert find_background([frame]) == (211, 47, 90)


def test_noise_is_averaged_over_all_frames():
    noise = np.random.default_rng(0).integers(-6, 7, (5, 40, 40, 3))
    frames = [picture((120, 130, 140)) for _ in noise]
    for frame, grain in zip(frames, noise, strict=True):
        frame[..., :3] = frame[..., :3] + grain
    assert np.abs(np.subtract(find_background(frames), (120, 130, 140))).max() <= 1


def test_a_border_cut_out_already_asks_for_gray_and_hidden_pixels_have_no_vote():
    frame = picture((255, 0, 0))
    frame[..., 3] = 0
    assert find_background([frame]) == MIDDLE_GRAY
    frame[:, :20, :3], frame[:, :20, 3] = (0, 0, 255), 255
    assert find_background([frame]) == (0, 0, 255)


def test_one_pixel_is_a_border():
    assert find_background([picture((7, 8, 9), size=1)]) == (7, 8, 9)


def test_what_nobody_sees_is_clear_and_what_is_nearly_opaque_is_opaque():
    came, wanted = [0, 3, 4, 5, 128, 246, 247, 255], [0, 0, 0, 5, 128, 246, 255, 255]
    assert settle_alpha(np.array(came, np.uint8)).tolist() == wanted


def test_a_shift_of_all_colors_is_taken_back_in_every_frame():
    base = torch.full((4, 32, 32), 0.6)
    base[3] = 0
    base[3, 8:24, 8:24] = 1
    clips = base.expand(2, 3, -1, -1, -1).clone()
    clips[:, :, 0] -= 0.2
    clips[:, 0, 1] += 0.1  # what differs from the reference frame stays so
    given = give_back_colors(clips, base, reference=1)
    inside = given[..., 8:24, 8:24]
    torch.testing.assert_close(inside[:, :, 0], torch.full_like(inside[:, :, 0], 0.6))
    torch.testing.assert_close(inside[:, 0, 1], torch.full_like(inside[:, 0, 1], 0.7))
    assert torch.equal(given[:, :, 3], clips[:, :, 3])


def test_details_are_not_painted_over_what_moves():
    base = torch.ones(4, 32, 32)
    base[:3, 16, 16] = 0
    clips = torch.ones(1, 2, 4, 32, 32)
    assert (give_back_colors(clips, base, reference=0) - clips).abs().max() < 0.02


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

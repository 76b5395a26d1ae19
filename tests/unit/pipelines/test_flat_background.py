import numpy as np
import pytest

from glassine.pipelines.backgrounds import MIDDLE_GRAY, find_background, parse_background
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

"""Backgrounds that are not flat are found on the border of one picture."""

import cv2
import numpy as np
import pytest

from glassine.pipelines.background_models import find_behind
from glassine.pipelines.background_track import BackgroundTrack, still_picture
from glassine.pipelines.insets import Inset, find_inset, largest_difference

SIZE = 96
Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def with_sticker(background: np.ndarray, radius: int = 26, shift: int = 0) -> np.ndarray:
    """A filled, outlined circle on `background` (`h w 3` or `3`), `h w 3` uint8."""
    picture = np.broadcast_to(background, (SIZE, SIZE, 3)).round().astype(np.uint8).copy()
    cv2.circle(picture, (48 + shift, 48), radius, (20, 20, 30), -1, cv2.LINE_AA)
    cv2.circle(picture, (48 + shift, 48), radius - 4, (240, 150, 40), -1, cv2.LINE_AA)
    return picture


def outside(radius: int = 26) -> np.ndarray:
    return np.hypot(X - 48, Y - 48) > radius + 4


def jpeg(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def board(period: int, light: int, dark: int, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    odd = ((X + shift[0]) // period + (Y + shift[1]) // period) % 2 > 0
    return np.where(odd, dark, light)[..., None] * np.ones(3)


LEFT, RIGHT = np.array([250.0, 240, 200]), np.array([60.0, 110, 190])


def ramp(degrees: float, *stops: tuple[int, int, int]) -> np.ndarray:
    """A linear gradient of any stops in any direction."""
    along = X * np.cos(np.radians(degrees)) + Y * np.sin(np.radians(degrees))
    places = np.linspace(along.min(), along.max(), len(stops))
    return np.stack([np.interp(along, places, channel) for channel in np.transpose(stops)], axis=-1)


BACKGROUNDS = {
    "flat": np.array([12.0, 200, 90]),
    "gradient down": LEFT + (RIGHT - LEFT) * Y[..., None] / SIZE,
    "gradient askew": LEFT + (RIGHT - LEFT) * ((0.6 * X + 0.3 * Y) / SIZE)[..., None],
    "three stops askew": ramp(40, (255, 120, 60), (255, 240, 230), (80, 140, 255)),
    "four stops askew": ramp(115, (250, 80, 120), (255, 220, 90), (90, 220, 160), (80, 90, 240)),
    "two colors": np.where((X < 41)[..., None], LEFT, RIGHT),
    "horizon": np.where((Y < 60)[..., None], LEFT, RIGHT),
    "checkerboard 8": board(8, 255, 204),
    "checkerboard 10, shifted": board(10, 255, 239, (3, 6)),
    "dark checkerboard": board(16, 128, 102, (5, 0)),
}


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_the_background_is_known_at_every_pixel_around_the_sticker(name):
    picture = with_sticker(BACKGROUNDS[name])
    found = find_behind(picture)
    assert found.fit > 0.95
    assert not found.inset
    error = largest_difference(found.picture(picture), np.broadcast_to(BACKGROUNDS[name], picture.shape))
    assert np.percentile(error[outside()], 99) <= 2


@pytest.mark.parametrize("name", ["flat", "gradient askew", "two colors", "checkerboard 8"])
def test_compression_moves_it_little(name):
    picture = jpeg(with_sticker(BACKGROUNDS[name]))
    found = find_behind(picture)
    assert found.fit > 0.9
    error = largest_difference(found.picture(picture), np.broadcast_to(BACKGROUNDS[name], picture.shape))
    assert np.percentile(error[outside(34)], 90) <= 8


def test_a_checkerboard_is_predicted_behind_the_sticker_too():
    truth = board(12, 255, 192, (4, 2))
    found = find_behind(with_sticker(truth))
    assert found.kind == "checkerboard"
    assert largest_difference(found.colors, truth).max() <= 1


def test_a_frame_line_is_peeled_off():
    picture = with_sticker(np.array([255.0, 255, 255]))
    picture[[0, -1]] = picture[:, [0, -1]] = 0
    assert find_inset(picture) == Inset(1, 1, 1, 1)
    found = find_behind(picture)
    assert (found.kind, found.inset, found.fit) == ("flat", Inset(1, 1, 1, 1), 1.0)
    assert found.mean_color == (255, 255, 255)


def test_black_bars_are_peeled_off():
    picture = with_sticker(np.array([90.0, 160, 220]), radius=20)
    picture[:14] = picture[-14:] = 0
    found = find_behind(picture)
    assert found.inset == Inset(14, 14, 0, 0)
    assert found.mean_color == (90, 160, 220)


def test_a_wide_sticker_on_white_has_no_bars():
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    picture[30:60] = (30, 60, 120)
    assert not find_inset(picture)
    assert find_behind(picture).mean_color == (255, 255, 255)


def test_noise_has_no_model_and_says_so():
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    assert find_behind(picture).fit < 0.6


def test_a_fading_background_has_a_color_a_frame():
    frames = [(with_sticker(np.array([255.0, 255, 255])) * (k / 6)).round().astype(np.uint8) for k in range(7)]
    track = BackgroundTrack(frames)
    for number, frame in enumerate(frames):
        assert np.abs(np.subtract(track.of(frame).mean_color, round(255 * number / 6))).max() <= 1


def test_a_flashing_background_is_followed():
    colors = [(255, 255, 255), (255, 255, 255), (220, 20, 20), (255, 255, 255), (220, 20, 20)]
    frames = [with_sticker(np.array(color, np.float64)) for color in colors]
    track = BackgroundTrack(frames)
    assert [track.of(frame).mean_color for frame in frames] == colors


def test_a_sticker_that_covers_the_border_for_a_while_does_not_become_the_background():
    frames = [with_sticker(np.array([255.0, 255, 255])) for _ in range(3)]
    frames[1][:, :12] = (20, 20, 30)
    track = BackgroundTrack(frames)
    assert {track.of(frame).mean_color for frame in frames} == {(255, 255, 255)}


def test_a_still_picture_is_the_median_over_time():
    scene = cv2.resize(np.random.default_rng(1).random((7, 7, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 200
    scene = scene.clip(0, 255)
    frames = [with_sticker(scene, radius=12, shift=step) for step in range(-28, 30, 4)]
    found = still_picture(frames)
    assert found is not None
    assert found.fit == 1.0
    assert np.percentile(largest_difference(found.colors, scene), 95) <= 2
    assert still_picture([frames[0]] * 8) is None  # nothing moves: the median would be the sticker itself


def test_a_background_that_is_never_found_is_looked_for_ever_less_often(monkeypatch):
    import glassine.pipelines.background_track as module

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (24, 24, 3), np.uint8) for _ in range(60)]
    track = BackgroundTrack(frames[:8])
    looked = []
    monkeypatch.setattr(module, "find_behind", lambda frame: looked.append(1) or find_behind(frame))
    for frame in frames:
        assert track.of(frame).fit < 0.6
    assert 3 <= len(looked) <= 8

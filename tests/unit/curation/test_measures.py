import numpy as np
import pytest

from glassine.curation.filters import Thresholds, measured_reasons, text_length, text_reason
from glassine.curation.keyframes import keyframes, sample_keyframes
from glassine.curation.measures import change, entropy, main_colors, measure
from glassine.curation.motion import describe_motion
from glassine.utils.errors import UserError


def disc(x: float, y: float, radius: float, side: int = 64, alpha: int = 255) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    frame = np.zeros((side, side, 4), np.uint8)
    inside = np.hypot(columns - x, rows - y) < radius
    frame[inside] = (220, 40, 45, alpha)
    return frame


def motion_of(frames: list[np.ndarray], ms: int = 60) -> list[str]:
    clip = np.stack(frames)
    return list(describe_motion(clip, [ms] * len(clip), change(clip)).kinds)


def test_motion_is_said_in_words():
    steps = np.arange(16)
    wave = np.sin(2 * np.pi * steps / 8)
    assert motion_of([disc(32 + 8 * w, 32, 14) for w in wave])[0] == "shakes left and right"
    assert motion_of([disc(32 + 8 * w, 32, 14) for w in wave], 300)[0] == "sways left and right"
    assert motion_of([disc(32, 32 + 8 * w, 14) for w in wave])[0] == "bounces up and down"
    assert motion_of([disc(12 + 2.6 * n, 32, 8) for n in steps])[0] == "moves right"
    assert motion_of([disc(32, 52 - 2.6 * n, 8) for n in steps])[0] == "moves up"
    assert motion_of([disc(32, 32, 6 + n) for n in steps])[0] == "grows"
    assert motion_of([disc(32, 32, 22 - n) for n in steps])[0] == "shrinks"
    assert motion_of([disc(32, 32, 16 + 4 * w) for w in wave])[0] == "pulses"
    assert motion_of([disc(32, 32, 16, alpha=70 + 12 * n) for n in steps])[0] == "fades in"
    assert motion_of([disc(32, 32, 16, alpha=250 - 12 * n) for n in steps])[0] == "fades out"
    assert motion_of([disc(32, 32, 16)] * 5) == ["still"]


def test_a_turning_bar_turns():
    rows, columns = np.mgrid[:64, :64] - 32
    frames = []
    for angle in np.linspace(0, np.pi, 16, endpoint=False):
        along = columns * np.cos(angle) + rows * np.sin(angle)
        across = -columns * np.sin(angle) + rows * np.cos(angle)
        frame = np.zeros((64, 64, 4), np.uint8)
        frame[(abs(along) < 26) & (abs(across) < 6)] = (20, 90, 200, 255)
        frames.append(frame)
    assert "turns" in motion_of(frames)


def test_entropy_is_that_of_its_levels():
    flat = np.full((8, 8, 4), 255, np.uint8)
    assert entropy(flat) == 0
    half = flat.copy()
    half[:4, :, :3] = 0
    assert entropy(half) == pytest.approx(1)
    clear = flat.copy()
    clear[:4, :, 3] = 0  # white on nothing is two levels, too
    assert entropy(clear) == pytest.approx(1)


def test_colors_are_named_by_what_is_visible():
    assert main_colors(disc(32, 32, 20)[None]) == ["red"]
    assert main_colors(np.zeros((1, 8, 8, 4), np.uint8)) == []


def test_keyframes_are_the_frames_that_differ():
    a, b, c = disc(16, 32, 10), disc(48, 32, 10), disc(32, 16, 10)
    assert keyframes(np.stack([a, a, a, b, b, c, c])) == [0, 3, 5]
    assert keyframes(np.stack([a] * 5)) == [0]
    assert keyframes(a[None]) == [0]


def test_sampling_takes_keyframes_and_fills_up():
    durations = [100] * 12
    frames, fps = sample_keyframes(durations, [0, 5, 9], 4)
    assert {0, 5, 9} <= set(frames)
    assert frames == sorted(frames)
    assert fps == pytest.approx(4 / 1.2)
    assert sample_keyframes([100] * 3, [0, 2], 8)[0] == [0, 1, 2, 1, 0, 1, 2, 1]
    assert len(set(sample_keyframes(durations, [0, 99, -3], 8)[0])) == 8  # an index of another sticker does no harm


def row_of(frames: np.ndarray, width: int, height: int) -> dict:
    found = measure(frames, [100] * len(frames), width, height)
    return {"measures": found, "width": width, "height": height, "frames": len(frames)}


def test_each_filter_finds_its_kind_and_says_its_score():
    good, limits = disc(32, 32, 20)[None], Thresholds()
    assert not measured_reasons(row_of(good, 256, 256), limits)
    assert measured_reasons(row_of(good, 400, 100), limits) == {"aspect ratio": 4.0}
    assert measured_reasons(row_of(good, 40, 40), limits) == {"too small": 40.0}
    assert "nothing visible" in measured_reasons(row_of(np.zeros((1, 64, 64, 4), np.uint8), 64, 64), limits)
    assert list(measured_reasons(row_of(np.full((1, 64, 64, 4), 255, np.uint8), 64, 64), limits)) == ["low entropy"]
    opaque = row_of(np.full((1, 64, 64, 4), 255, np.uint8), 64, 64)
    assert "opaque" in measured_reasons(opaque, Thresholds(min_transparent=0.05))
    assert measured_reasons(row_of(good, 64, 64), Thresholds(min_frames=2)) == {"too few frames": 1.0}


def test_text_counts_letters_and_chinese_twice():
    assert text_length("Hi, you!") == 5
    assert text_length("你好") == 4
    assert text_reason("你好吗" * 6, Thresholds(max_text=30)) == {"long text": 36.0}
    assert not text_reason("hello", Thresholds())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_aspect": 0.5}, "at least 1, got 0.5"),
        ({"min_size": -1}, "min_size must be at least 0"),
        ({"min_transparent": 1.0}, "in \\[0, 1\\)"),
        ({"min_frames": 5, "max_frames": 2}, "at least min_frames"),
        ({"keep": "some"}, "all or best"),
    ],
)
def test_thresholds_that_nothing_can_meet_are_refused(given, says):
    with pytest.raises(UserError, match=says):
        Thresholds(**given)

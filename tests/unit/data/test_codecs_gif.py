"""GIF: thresholded alpha, palettes, disposal, and its two ways of counting."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from glassine.data.codecs import decode_bytes, read_sticker, write_sticker
from glassine.data.codecs.lottie import LeftOutWarning
from glassine.data.sticker import Sticker

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def handmade(frames: list[tuple[tuple[int, int, int, int], tuple[int, int, int], int, int]], loop: int | None) -> bytes:
    """A GIF of 4x4 out of flat boxes `((left, top, width, height), color, disposal, delay)`, uncompressed codes."""
    parts = [b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0)]
    if loop is not None:
        parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0))
    for (left, top, width, height), color, disposal, delay in frames:
        parts.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, disposal << 2 | 1, delay, 1, 0))
        parts.append(struct.pack("<BHHHHB", 0x2C, left, top, width, height, 0x80) + bytes(color) + bytes(3))
        # code size 2: clear (4) before each pixel keeps every code at three bits; 5 ends
        codes = [code for _ in range(width * height) for code in (4, 0)] + [5]
        bits = sum(code << 3 * place for place, code in enumerate(codes))
        data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
        parts.append(bytes([2, len(data)]) + data + b"\0")
    return b"".join([*parts, b"\x3b"])


def shown(*boxes: tuple[tuple[slice, slice], tuple[int, int, int]]) -> np.ndarray:
    frame = np.zeros((4, 4, 4), np.uint8)
    for box, color in boxes:
        frame[box] = (*color, 255)
    return frame


TOP, CORNER = (slice(0, 2), slice(0, 4)), (slice(2, 4), slice(2, 4))


@pytest.mark.parametrize(
    ("disposal", "second", "third"),
    [
        (1, shown((TOP, RED), (CORNER, GREEN)), shown((TOP, RED), (CORNER, GREEN), ((slice(2, 3), slice(0, 1)), BLUE))),
        (2, shown((TOP, RED), (CORNER, GREEN)), shown((TOP, RED), ((slice(2, 3), slice(0, 1)), BLUE))),
        (3, shown((TOP, RED), (CORNER, GREEN)), shown((TOP, RED), ((slice(2, 3), slice(0, 1)), BLUE))),
    ],
)
def test_disposal_methods_and_local_palettes(disposal: int, second: np.ndarray, third: np.ndarray) -> None:
    data = handmade([((0, 0, 4, 2), RED, 1, 5), ((2, 2, 2, 2), GREEN, disposal, 0), ((0, 2, 1, 1), BLUE, 1, 7)], loop=0)
    sticker = decode_bytes(data, "gif")
    assert np.array_equal(sticker.frames[0], shown((TOP, RED)))
    assert np.array_equal(sticker.frames[1], second)
    assert np.array_equal(sticker.frames[2], third)
    assert sticker.durations == (50, 100, 70)  # a delay of 0 is shown for 100 ms


def test_restoring_to_previous_brings_back_what_it_covered() -> None:
    boxes = [((0, 0, 4, 4), RED, 1, 5), ((1, 1, 2, 2), GREEN, 3, 5), ((0, 0, 1, 1), BLUE, 1, 5)]
    frames = decode_bytes(handmade(boxes, loop=0), "gif").frames
    assert frames[1, 1, 1].tolist() == [*GREEN, 255]
    assert frames[2, 1, 1].tolist() == [*RED, 255]


@pytest.mark.parametrize(("told", "plays"), [(None, 1), (0, 0), (1, 2), (4, 5)])
def test_repeats_become_plays(told: int | None, plays: int) -> None:
    assert decode_bytes(handmade([((0, 0, 4, 4), RED, 1, 5)], told), "gif").loop == plays


TWO = [((0, 0, 4, 4), RED, 1, 5), ((0, 0, 2, 2), BLUE, 1, 5)]


def test_missing_end_mark_is_forgiven_but_said() -> None:
    with pytest.warns(LeftOutWarning, match="what may have followed frame 2"):
        assert decode_bytes(handmade(TWO, 0)[:-1], "gif").num_frames == 2


@pytest.mark.parametrize("mark", [b"\x00", b"\x2d", b"\x3b"])
def test_a_frame_lost_to_damage_of_its_mark_is_said(mark: bytes) -> None:
    data = handmade(TWO, 0)
    place = data.rindex(b"\x2c")
    with pytest.warns(LeftOutWarning, match=r"where there may have been one \(1 frames are read\)"):
        assert decode_bytes(data[:place] + mark + data[place + 1 :], "gif").num_frames == 1


def test_zeros_and_a_line_break_around_the_frames_are_nothing() -> None:
    data = handmade(TWO, 0)
    place = data.rindex(b"\x21")
    with warnings.catch_warnings(action="error"):
        assert decode_bytes(data[:place] + bytes(40) + data[place:] + b"\r\n" + bytes(99), "gif").num_frames == 2


def colorful(threshold_alpha: bool) -> np.ndarray:
    """Five frames of few colors: things appear, stand still, vanish and vanish altogether."""
    frames = np.zeros((5, 12, 15, 4), np.uint8)
    frames[0, 2:6, 3:9] = (200, 10, 10, 255)
    frames[1, 2:6, 3:9] = (200, 10, 10, 255)
    frames[1, 8:10, 1:4] = (10, 200, 10, 255)
    frames[2] = frames[1]
    frames[3, 5:11, 7:14] = (10, 10, 200, 255)
    if threshold_alpha:
        frames[1, 3, 3, 3], frames[1, 3, 4, 3] = 127, 128
    return frames


@pytest.mark.parametrize("loop", [0, 1, 2, 7])
def test_few_colors_come_back_exactly(tmp_path: Path, loop: int) -> None:
    frames, durations = colorful(False), (20, 40, 100, 70, 30)
    write_sticker(Sticker(frames, durations, loop), tmp_path / "a.gif")
    back = read_sticker(tmp_path / "a.gif")
    assert np.array_equal(back.frames, frames)
    assert (back.durations, back.loop) == (durations, loop)


@pytest.mark.parametrize("threshold", [1, 127, 128, 129, 255])
def test_alpha_threshold(tmp_path: Path, threshold: int) -> None:
    frames = colorful(True)
    write_sticker(Sticker(frames, (40,) * 5), tmp_path / "a.gif", alpha_threshold=threshold)
    back = read_sticker(tmp_path / "a.gif").frames
    assert np.array_equal(back[..., 3], np.where(frames[..., 3] >= threshold, 255, 0))


def test_durations_go_in_tens_without_drift(tmp_path: Path) -> None:
    frames = np.zeros((6, 2, 2, 4), np.uint8)
    write_sticker(Sticker(frames, (42, 42, 42, 42, 42, 42)), tmp_path / "a.gif")
    back = read_sticker(tmp_path / "a.gif")
    assert back.durations == (40, 40, 50, 40, 40, 40)


@pytest.mark.parametrize("dither", [False, True])
@pytest.mark.parametrize("opaque", [False, True])
def test_many_colors_come_back_nearly(tmp_path: Path, dither: bool, opaque: bool) -> None:
    rows, columns = np.mgrid[:64, :64]
    alpha = np.full((64, 64), 255) if opaque else np.where(np.hypot(rows - 32, columns - 32) < 28, 255, 0)
    frame = np.stack([rows * 4, columns * 4, (rows + columns) * 2, alpha], axis=-1).astype(np.uint8)
    write_sticker(Sticker(np.stack([frame, frame[::-1]]), (40, 40)), tmp_path / "a.gif", dither=dither)
    back = read_sticker(tmp_path / "a.gif").frames
    assert np.array_equal(back[0, ..., 3], frame[..., 3])
    error = np.mean((back[0][alpha > 0][:, :3].astype(float) - frame[alpha > 0][:, :3]) ** 2)
    assert 10 * np.log10(255**2 / error) > (26 if dither else 30)


def test_opaque_frame_may_use_all_256_colors(tmp_path: Path) -> None:
    frame = np.full((1, 16, 16, 4), 255, np.uint8)
    frame[0, ..., 0] = np.arange(256).reshape(16, 16)
    write_sticker(Sticker(frame, (40,)), tmp_path / "a.gif")
    assert np.array_equal(read_sticker(tmp_path / "a.gif").frames, frame)

"""Animations keep their speed: what browsers slow down is read so, and no format changes it in silence."""

from pathlib import Path

import av
import numpy as np
import pytest
from tests.helpers.png_parts import apng, flat

from glassine.data.codecs import create_sticker, open_sticker, read_sticker, write_sticker
from glassine.data.codecs.timing import Pacer, TickClock
from glassine.data.sticker import Sticker

COLORS = [(200, 10 * n, 0, 255) for n in range(8)]


def frames(count: int) -> np.ndarray:
    return np.stack([flat(4, 4, COLORS[n % 8]) for n in range(count)])


def with_delays(path: Path, delays: list[int]) -> None:
    """A file of any animated format whose delays are changed after it was written, to ones that no writer writes."""
    write_sticker(Sticker(frames(len(delays)), (1110,) * len(delays)), path)
    data = bytearray(path.read_bytes())
    place = 0
    for delay in delays:
        if path.suffix == ".gif":
            place = data.index(b"\x21\xf9\x04", place) + 4
            data[place : place + 2] = (delay // 10).to_bytes(2, "little")
        else:
            place = data.index(b"ANMF", place) + 20
            data[place : place + 3] = delay.to_bytes(3, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_delays_of_10_ms_or_less_are_100_ms(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with_delays(path, [0, 10, 20, 50])
    with open_sticker(path) as reader:
        assert reader.durations == (100, 100, 20, 50)
        assert len(reader.notes) == 1
        assert "2 of 4 frames have a delay of 10 ms or less" in reader.notes[0]
    with_delays(path, [20, 30])
    with open_sticker(path) as reader:
        assert reader.notes == ()


def test_the_same_rule_holds_for_apng(tmp_path):
    shown = {(0, 100): 100, (1, 0): 100, (1, 100): 100, (1, 96): 10, (11, 1000): 11, (700, 1): 700_000}
    pictures = [(flat(2, 2, COLORS[n]), 0, 0, 0, 0, *delay) for n, delay in enumerate(shown)]
    (tmp_path / "a.png").write_bytes(apng((2, 2), pictures))
    with open_sticker(tmp_path / "a.png") as reader:
        assert reader.durations == tuple(shown.values())
        assert "3 of 6" in reader.notes[0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif", ".webm", ".mov", ".zip"])
def test_a_frame_of_700_s_does_not_lengthen_the_next(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with create_sticker(path, 4, 4) as writer:
        for picture, duration in zip(frames(3), (700_000, 100, 50), strict=True):
            writer.append(picture, duration)
    shown = read_sticker(path).durations
    assert shown == ((655_350 if suffix == ".gif" else 700_000), 100, 50)
    assert bool(writer.notes) == (suffix == ".gif")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
@pytest.mark.parametrize("fps", [24, 50, 60, 100, 144, 1000])
def test_fast_animations_keep_their_length(tmp_path, suffix, fps):
    count = max(24, fps // 4)
    times = [round(1000 * n / fps) for n in range(count + 1)]
    path = tmp_path / f"a{suffix}"
    with create_sticker(path, 4, 4) as writer:
        for picture, start, end in zip(frames(count), times, times[1:], strict=False):
            writer.append(picture, max(1, end - start))
    shown = read_sticker(path).durations
    assert abs(sum(shown) - times[-1]) <= 20
    assert min(shown) >= (20 if suffix == ".gif" else 11)
    left_out = count - len(shown)
    assert (left_out > 0) == (fps > (50 if suffix == ".gif" else 90))
    assert bool(writer.notes) == (left_out > 0)
    if left_out:
        assert f"{left_out} of {count} frames are dropped to preserve the speed" in writer.notes[0]


@pytest.mark.parametrize("target", [".gif", ".webp", ".png", ".webm"])
def test_a_gif_of_10_ms_plays_as_fast_in_every_format_as_browsers_show_it(tmp_path, target):
    with_delays(tmp_path / "a.gif", [10] * 5)
    write_sticker(read_sticker(tmp_path / "a.gif"), tmp_path / f"b{target}")
    assert read_sticker(tmp_path / f"b{target}").durations == (100,) * 5


def test_a_clock_carries_what_rounding_leaves_and_nothing_else():
    clock = TickClock(10, least=2, most=100)
    assert [clock.ticks(ms) for ms in (42, 42, 42, 42, 42)] == [4, 4, 5, 4, 4]
    assert [clock.ticks(ms) for ms in (5000, 50, 50)] == [100, 5, 5]


def test_a_pacer_leaves_out_as_few_as_it_must():
    pacer = Pacer(20)
    shown = [pacer.shown_ms(ms) for ms in (17, 16, 17) * 20]
    assert abs(sum(ms or 0 for ms in shown) - 1000) <= 20
    assert 10 <= pacer.left_out == shown.count(None) <= 12
    assert set(shown) <= {None, *range(20, 31)}


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
def test_one_frame_is_a_plain_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pixels = frames(1)
    pixels[0, 0, 0] = 0
    write_sticker(Sticker(pixels, (500,), 3), path)
    data = path.read_bytes()
    assert not any(mark in data for mark in (b"ANIM", b"ANMF", b"acTL", b"fcTL", b"NETSCAPE"))
    np.testing.assert_array_equal(read_sticker(path).frames, pixels)
    with av.open(str(path)) as container:  # FFmpeg takes it for a picture
        assert len(list(container.decode(video=0))) == 1


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_frames_can_be_stored_whole(tmp_path, suffix):
    path, marks = tmp_path / f"a{suffix}", {".webp": b"ANMF", ".png": b"fcTL"}
    pixels = np.zeros((4, 9, 10, 4), np.uint8)
    for number in range(4):
        pixels[number, 3, number : number + 2] = (200, 90, 0, 255)
    pixels[2] = pixels[1]  # equal neighbors are not merged either
    for whole in (False, True):
        write_sticker(Sticker(pixels, (40,) * 4, 5), path, whole_canvas=whole)
        back = read_sticker(path)
        np.testing.assert_array_equal(back.frames, pixels)
        assert (back.loop, back.durations) == (5, (40,) * 4)
        data, sizes = path.read_bytes(), set()
        for part in data.split(marks[suffix])[1:]:
            if suffix == ".png":
                sizes.add((int.from_bytes(part[4:8], "big"), int.from_bytes(part[8:12], "big")))
            else:
                sizes.add((int.from_bytes(part[10:13], "little") + 1, int.from_bytes(part[13:16], "little") + 1))
        assert (sizes == {(10, 9)}) == whole

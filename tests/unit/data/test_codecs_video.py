"""Video as a player shows it: edit lists, pixels that are not square, colors without a mark, several tracks."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from glassine.data.codecs import open_sticker, read_frames, read_sticker, write_sticker
from glassine.data.codecs.guard import announced_sizes
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def write(
    path: Path, count: int = 50, size: tuple[int, int] = (64, 48), color=None, shape: Fraction | None = None
) -> None:
    """An MP4 of 25 frames a second with B-frames; frame n is gray of 4 n, or all are of one color, without any mark."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if shape is not None:
            stream.sample_aspect_ratio = shape
        for number in range(count):
            pixels = np.full((size[1], size[0], 3), 4 * number if color is None else color, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def with_edits(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    """The MP4 with another edit list: length in ms (the film's clock) and start (the track's clock; -1 for nothing)."""
    start = data.index(b"edts") - 4
    old = int.from_bytes(data[start : start + 4], "big")
    rows = b"".join(struct.pack(">IiHH", length, begin, 1, 0) for length, begin in edits)
    elst = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    edts = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    changed = bytearray(data[:start] + edts + data[start + old :])
    for box in (b"moov", b"trak"):  # they lie behind the pictures, whose places stay
        place = data.index(box) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(edts) - old
        changed[place : place + 4] = struct.pack(">I", size)
    return bytes(changed)


def shown(path: Path) -> tuple[list[int], list[int]]:
    """The number that is painted in each frame, and the durations."""
    with open_sticker(path) as reader:
        pairs = [(round(float(frame[..., 0].mean()) / 4), duration) for frame, duration in reader]
        assert reader.num_frames == len(pairs)
    return [number for number, _ in pairs], [duration for _, duration in pairs]


TICK = 512  # of one frame, on the track's clock of 12,800 Hz
FIRST = 2 * TICK  # where the first frame lies, behind the delay of B-frames


@pytest.mark.parametrize(
    ("edits", "numbers", "length"),
    [
        ([(2000, FIRST)], [*range(50)], 2000),
        ([(1480, FIRST + 13 * TICK)], [*range(13, 50)], 1480),  # begins between key frames
        ([(400, FIRST)], [*range(10)], 400),  # ends early
        ([(390, FIRST)], [*range(10)], 390),  # within a frame
        (
            [(200, FIRST + 25 * TICK), (120, FIRST + 5 * TICK)],
            [25, 26, 27, 28, 29, 5, 6, 7],
            320,
        ),  # pieces, not in order
        ([(120, FIRST), (120, FIRST)], [0, 1, 2, 0, 1, 2], 240),  # one twice
        ([(500, -1), (400, FIRST)], [*range(10)], 400),  # begins later
        ([(0, FIRST)], [*range(50)], 2000),  # shows nothing at all: a mistake
    ],
)
def test_edit_lists_show_what_players_show(tmp_path, edits, numbers, length):
    write(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(with_edits((tmp_path / "a.mp4").read_bytes(), edits))
    got, durations = shown(tmp_path / "b.mp4")
    assert got == numbers
    assert sum(durations) == length
    picked = read_frames(tmp_path / "b.mp4", ".mp4", [3, 0])[..., 0].mean(axis=(1, 2)) / 4
    assert picked.round().tolist() == [numbers[3], numbers[0]]


@pytest.mark.parametrize(
    ("shape", "size"), [(Fraction(4, 3), (96, 48)), (Fraction(2, 3), (72, 72)), (Fraction(1), (72, 48))]
)
def test_pixels_are_made_square(tmp_path, shape, size):
    write(tmp_path / "a.mp4", 2, (72, 48), (200, 90, 40), shape)
    frames = read_sticker(tmp_path / "a.mp4").frames
    assert frames.shape == (2, size[1], size[0], 4)
    assert np.ptp(frames, axis=(0, 1, 2)).max() <= 2


@pytest.mark.parametrize(("height", "matrix"), [(480, "bt601"), (720, "bt709"), (1080, "bt709")])
def test_colors_without_a_mark_go_by_the_height(tmp_path, height, matrix):
    write(tmp_path / "a.mp4", 1, (64, height), (0, 255, 0))  # written by BT.601
    got = read_sticker(tmp_path / "a.mp4").frames[0, height // 2, 32, :3].astype(int)
    # pure green in BT.601 and what its numbers mean in BT.709
    expected = (0, 255, 0) if matrix == "bt601" else (0, 215, 0)
    assert np.abs(got - expected).max() <= 4


def test_a_cover_picture_is_no_video_and_the_default_track_is_shown(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        first, second = (container.add_stream("libx264", rate=25) for _ in range(2))
        for stream, level in ((first, 40), (second, 200)):
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = av.stream.Disposition.default if level == 200 else 0
        for stream, level in ((first, 40), (second, 200)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert abs(int(read_sticker(tmp_path / "a.mkv").frames[0, 5, 5, 0]) - 200) <= 2


def vp9_key_frame(width: int, height: int) -> bytes:
    bits = "10" + "00" + "0" + "0" + "1" + "0" + f"{0x498342:024b}" + "001" + "0" + f"{width - 1:016b}{height - 1:016b}"
    return int(bits.ljust(96, "0"), 2).to_bytes(12, "big")


def test_sizes_that_vp8_and_vp9_announce_are_read():
    key = vp9_key_frame(16_384, 9000)
    assert announced_sizes("vp9", key) == [(16_384, 9000)]
    sizes = struct.pack("<BHHB", 0xC9, 12, 12, 0xC9)  # a superframe of two
    assert (32, 40) in announced_sizes("vp9", key + vp9_key_frame(32, 40) + sizes)
    assert announced_sizes("vp8", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)) == [(16_383, 16_383)]
    for data in (b"", b"\x82", bytes(3), b"\xff" * 40):
        assert announced_sizes("vp9", data) == []
        assert announced_sizes("vp8", data) == []


@pytest.mark.parametrize("which", ["color", "alpha"])
def test_vp9_with_alpha_that_grows_is_refused_before_room_is_made(tmp_path, which):
    """The container says 40x40, the packets of the color or the alpha stream 16,384x16,384."""
    frames = np.full((3, 40, 40, 4), (200, 90, 10, 128), np.uint8)
    write_sticker(Sticker(frames, (40,) * 3), tmp_path / "a.webm")
    data = (tmp_path / "a.webm").read_bytes()
    start = vp9_key_frame(40, 40)[:4]
    places = [place for place in range(len(data)) if data.startswith(start, place)]
    assert len(places) >= 2
    place = places[0 if which == "color" else 1]
    bits = int.from_bytes(data[place : place + 16], "big")
    shift = 128 - 36 - 32  # frame marker to color range are 36 bits
    assert bits >> shift & 0xFFFFFFFF == (39 << 16) | 39
    bits |= 0x3FFF3FFF << shift
    changed = data[:place] + bits.to_bytes(16, "big") + data[place + 16 :]
    (tmp_path / "b.webm").write_bytes(changed)
    with pytest.raises(UserError, match=r"16384x16384 = 268,435,456 pixels; at most|got 0x0"):
        read_sticker(tmp_path / "b.webm")

"""The checker finds every broken rule, also in files that others wrote."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.data.codecs import write_sticker
from glassine.data.sticker import Sticker
from glassine.pipelines.pack.check import _file_problems, check_packs
from glassine.pipelines.pack.containers import BrokenFileError, facts
from glassine.pipelines.pack.limits import Limits
from glassine.utils.errors import UserError


def frames(count: int = 4, side: int = 32) -> np.ndarray:
    result = np.zeros((count, side, side, 4), np.uint8)
    for number, frame in enumerate(result):
        frame[4 + number : 20 + number, 6:20] = (20 * number, 90, 200, 255)
    return result


def written(folder: Path, name: str, sticker: Sticker, **how: object) -> bytes:
    write_sticker(sticker, folder / name, **how)  # type: ignore[arg-type]
    return (folder / name).read_bytes()


def limits(format: str, **rules: object) -> Limits:
    sources = {} if format == "png" else {"max_loops": "ours"}
    return Limits(format, (32, 32), "exact", 100_000, sources=sources, **rules)  # type: ignore[arg-type]


def problems(data: bytes, rules: Limits) -> str:
    return "; ".join(_file_problems(data, facts(data), rules))


@pytest.mark.parametrize(
    ("suffix", "format"), [(".webp", "webp"), (".gif", "gif"), (".png", "apng"), (".webm", "webm")]
)
def test_facts_are_those_of_the_file(tmp_path, suffix, format):
    found = facts(written(tmp_path, f"a{suffix}", Sticker(frames(), (40, 80, 40, 100), 0), whole_canvas=True))
    assert found.format == format
    assert (found.width, found.height) == (32, 32)
    assert found.durations == pytest.approx([40, 80, 40, 100])
    assert found.has_alpha
    if format == "webm":
        assert (found.codec, found.tracks) == ("V_VP9", ["video"])
    else:
        assert found.plays == 0


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_play_counts_are_read(tmp_path, suffix):
    assert facts(written(tmp_path, f"a{suffix}", Sticker(frames(), (40,) * 4, 3))).plays == 3


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_files_of_pillow_are_read_too(tmp_path, suffix):
    pictures = [Image.fromarray(frame, "RGBA") for frame in frames()]
    pictures[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pictures[1:], duration=70, loop=0)
    found = facts((tmp_path / f"a{suffix}").read_bytes())
    assert found.durations == pytest.approx([70] * 4)
    assert found.plays == 0


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".webm"])
def test_cut_off_files_are_broken(tmp_path, suffix):
    data = written(tmp_path, f"a{suffix}", Sticker(frames(), (40,) * 4, 0))
    with pytest.raises(BrokenFileError):
        facts(data[: len(data) - 20])


def test_a_wrong_checksum_is_found(tmp_path):
    data = bytearray(written(tmp_path, "a.png", Sticker(frames(), (40,) * 4, 0)))
    data[20] ^= 1
    with pytest.raises(BrokenFileError, match="wrong checksum"):
        facts(bytes(data))


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"bytes": 100}, "at most 100 bytes, got"),
        ({"canvas": (64, 64)}, "size must be 64x64, got 32x32"),
        ({"canvas": (48, 40), "shape": "cut"}, "touch one side"),
        ({"shrink_to": 40, "canvas": (64, 64)}, "a square of 40 to 64 pixels"),
        ({"format": "gif"}, "format must be gif, got webp"),
        ({"max_ms": 100}, "length must be at most 100 ms, got 160"),
        ({"max_fps": 10}, "at most 10 frames a second"),
        ({"min_frame_ms": 50}, "at least 50 ms, got 40"),
        ({"min_frames": 5}, "frames must be 5"),
        ({"max_frames": 3}, "frames must be 1 to 3, got 4"),
        ({"whole_seconds": True}, "whole seconds, got 160 ms"),
        ({"max_loops": 4}, "play 1 to 4 times, got 0"),
    ],
)
def test_every_rule_is_held_against_the_file(tmp_path, rules, says):
    data = written(tmp_path, "a.webp", Sticker(frames(), (40,) * 4, 0), whole_canvas=True)
    assert problems(data, limits("webp")) == ""
    assert says in problems(data, replace(limits("webp"), **rules))


def test_plays_together_must_not_be_too_long(tmp_path):
    data = written(tmp_path, "a.png", Sticker(frames(), (500,) * 4, 3))
    assert "at most 4000 ms, got 6000" in problems(data, limits("apng", max_loops=4, loops_ms=4000))


def test_one_that_plays_three_times_does_not_play_for_ever(tmp_path):
    data = written(tmp_path, "a.gif", Sticker(frames(), (40,) * 4, 3))
    assert "must play for ever, got 3" in problems(data, limits("gif"))


def test_frames_of_parts_of_the_canvas_are_found(tmp_path):
    data = written(tmp_path, "a.webp", Sticker(frames(), (40,) * 4, 0))
    assert "cover the whole canvas" in problems(data, limits("webp", whole_canvas=True))


def test_mixed_blend_and_dispose_modes_are_found(tmp_path):
    data = bytearray(written(tmp_path, "a.webp", Sticker(frames(), (40,) * 4, 0), whole_canvas=True))
    data[data.index(b"ANMF") + 8 + 15] ^= 1
    assert "one blend and dispose mode" in problems(bytes(data), limits("webp", whole_canvas=True))


def test_video_without_alpha_or_of_another_codec_is_found(tmp_path):
    opaque = frames()
    opaque[..., 3] = 255
    data = written(tmp_path, "a.webm", Sticker(frames(), (40,) * 4, 0))
    assert problems(data, limits("webm")) == ""
    plain = data.replace(b"\x53\xc0\x81\x01", b"\x53\xc0\x81\x00")
    assert "alpha must be announced" in problems(plain, limits("webm"))
    assert "codec must be V_VP9, got V_VP8" in problems(data.replace(b"V_VP9", b"V_VP8"), limits("webm"))


def test_frames_that_are_all_alike_or_first_show_nothing_are_found(tmp_path):
    alike = written(tmp_path, "a.png", Sticker(frames()[[0, 0, 0]], (40,) * 3, 0))
    assert "must not all be alike" in problems(alike, limits("apng"))
    empty = frames()
    empty[0] = 0
    assert "must show something" in problems(written(tmp_path, "b.png", Sticker(empty, (40,) * 4, 0)), limits("apng"))


def test_an_opaque_background_is_found(tmp_path):
    opaque = frames()
    opaque[..., 3] = 255
    data = written(tmp_path, "a.png", Sticker(opaque, (40,) * 4, 0))
    assert "background must be clear" in problems(data, limits("apng", transparent=True))


def test_packs_of_a_wrong_number_mixed_or_without_their_covers_are_found(tmp_path):
    folder = tmp_path / "whatsapp"
    folder.mkdir()
    large = np.zeros((2, 512, 512, 4), np.uint8)
    large[0, 100:200, 100:200] = large[1, 120:220, 100:200] = 255
    write_sticker(Sticker(large, (100, 100), 0), folder / "01.webp", quality=50, whole_canvas=True)
    write_sticker(Sticker(large[:1], (100,), 0), folder / "02.webp", quality=50)
    (pack,) = check_packs(tmp_path)
    text = "; ".join(pack.problems)
    for says in (
        "3 to 30 stickers, got 2",
        "02.webp: a pack must be all animated",
        "tray.png is missing",
        "contents.json is missing",
    ):
        assert says in text


def test_zips_are_looked_into_and_broken_ones_said_so(tmp_path):
    picture = io.BytesIO()
    Image.fromarray(frames(1, 128)[0], "RGBA").save(picture, format="PNG")
    with zipfile.ZipFile(tmp_path / "slack.zip", "w") as archive:
        archive.writestr("cat.png", picture.getvalue())
        archive.writestr("UPPER CASE.png", picture.getvalue())
    (tmp_path / "line.zip").write_bytes(b"no zip")
    found = {pack.platform: pack for pack in check_packs(tmp_path)}
    assert "zip cannot be read" in found["line"].problems[0]
    assert [problem for problem in found["slack"].problems if not problem.startswith("UPPER CASE.png: its name")] == []
    assert found["slack"].stickers == 2


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_packs_is_refused(tmp_path, make):
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(UserError, match="no pack in" if make else "no folder at"):
        check_packs(folder)

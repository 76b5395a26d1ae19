"""Damaged shards: what can be read is read, what cannot is named, and one bad sticker closes nothing."""

import io
import json
import struct
import tarfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.data.shards import (
    ShardFormat,
    ShardWriter,
    StickerShards,
    build_index,
    decode_frame,
    index_path,
    load_index,
    rebuild_index,
)
from glassine.data.shards.frames import stated_size
from glassine.data.shards.tar_members import Gap, Member, walk
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    """Eight stickers of two frames."""
    with ShardWriter(tmp_path, ShardFormat("png")) as writer:
        for number in range(8):
            frames = np.full((2, 8, 8, 4), 30 * number + 10, np.uint8)
            writer.write(f"s{number}", Sticker(frames, (80, 80)), {"description": f"number {number}"})
    return tmp_path / "shard-000000.tar"


def flip(tar: Path, place: int) -> None:
    data = bytearray(tar.read_bytes())
    data[place] ^= 4
    tar.write_bytes(data)


def header_of(tar: Path, name: str) -> int:
    with tarfile.open(tar) as archive:
        return archive.getmember(name).offset


def keys(index) -> list[str]:
    return [sample.key for sample in index.samples]


@pytest.mark.parametrize("member", ["s3.json", "s3.000.png", "s3.001.png"])
@pytest.mark.parametrize("field", [2, 124, 148, 300])  # name, size, checksum, padding
def test_one_flipped_bit_in_a_header_costs_one_sticker_which_is_named(tar, member, field):
    flip(tar, header_of(tar, member) + field)
    index = build_index(tar)
    lost = {f"s{number}" for number in range(8)} - set(keys(index))
    assert "s3" in lost
    assert lost <= index.damaged.keys()
    assert len(lost) <= 2  # a name that cannot be read may be a neighbor's
    assert any(name.startswith("byte ") and "damaged header" in reason for name, reason in index.damaged.items())


def test_a_header_whose_name_is_readable_costs_its_own_sticker_alone(tar):
    flip(tar, header_of(tar, "s3.json") + 124)
    index = build_index(tar)
    assert keys(index) == ["s0", "s1", "s2", "s4", "s5", "s6", "s7"]


def test_a_file_that_was_cut_is_read_to_the_cut_and_says_so(tar):
    data = tar.read_bytes()
    for cut in (header_of(tar, "s5.json"), header_of(tar, "s5.000.png") + 100, header_of(tar, "s5.001.png") + 520):
        tar.write_bytes(data[:cut])
        index = build_index(tar)
        assert keys(index) == ["s0", "s1", "s2", "s3", "s4"]
        assert any("cut short" in reason for reason in index.damaged.values())


def test_tar_files_one_after_the_other_are_read_as_one(tar, tmp_path):
    with ShardWriter(tmp_path / "more", ShardFormat("png")) as writer:
        writer.write("other", Sticker(np.ones((1, 4, 4, 4), np.uint8), (80,)), {})
    tar.write_bytes(tar.read_bytes() + (tmp_path / "more" / "shard-000000.tar").read_bytes())
    index = build_index(tar)
    assert keys(index)[-2:] == ["s7", "other"]
    assert not index.damaged


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_pythons_reader_finds(tmp_path, style):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        for name in ("a.gif", "folder/b.gif", "x/" * 60 + "c.gif", "größer" * 3 + ".gif", "n" * 90 + ".json"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"\1" * 700))
        archive.addfile(tarfile.TarInfo("empty.txt"))
        folder = tarfile.TarInfo("only")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as archive:
        wanted = [Member(m.name, m.offset_data, m.size, m.isfile()) for m in archive]
    assert list(walk(file)) == wanted


def test_what_lies_after_the_end_is_a_gap(tar):
    tar.write_bytes(tar.read_bytes() + b"more" * 300)
    with tar.open("rb") as file:
        gaps = [found for found in walk(file) if isinstance(found, Gap)]
    assert any("after the end" in gap.reason for gap in gaps)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("durations", [80, 10**30]),
        ("durations", [80, 2**31]),
        ("durations", [80, -1]),
        ("durations", [80, 0.5]),
        ("durations", []),
        ("durations", [True, 80]),
        ("width", 10**9),
        ("height", -1),
        ("width", "8"),
        ("split", "trial"),
        ("split", None),
        ("suffix", "exe"),
        ("key", ""),
        ("key", 3),
        ("key", "s0"),
        ("info", [0, 0]),
        ("info", [1, 2, 3]),
        ("info", [-5, 10]),
        ("members", []),
        ("members", [[512, 10]]),
        ("members", [[512, 10**15], [512, 10]]),
        ("members", [[None, 10], [512, 10]]),
        ("members", 7),
        ("more", 1),
    ],
)
@pytest.mark.parametrize("how", ["new", "old"])
def test_an_entry_that_cannot_be_right_is_left_out_and_named(tar, name, value, how):
    content = json.loads(index_path(tar).read_text())
    if how == "old":  # as written before indexes had a checksum
        del content["crc32"]
    content["samples"][4][name] = value
    index_path(tar).write_text(json.dumps(content))
    index = load_index(tar)
    assert keys(index) == ["s0", "s1", "s2", "s3", "s5", "s6", "s7"]
    named = [reason for reason in index.damaged.values() if "cannot be right" in reason]
    assert len(named) == 1
    with pytest.warns(UserWarning, match=r"damaged: .*cannot be right"):
        assert len(StickerShards(tar)) == 7


def test_a_sticker_that_vanished_without_a_trace_is_named_when_the_file_is_indexed_again(tar):
    data, start, end = tar.read_bytes(), header_of(tar, "s3.json"), header_of(tar, "s4.json")
    tar.write_bytes(data[:start] + data[end:])
    index = rebuild_index(tar)
    assert len(index.samples) == 7
    assert index.damaged == {"s3": "in the old index, and no longer in the file"}
    assert index.settings


def test_an_index_whose_checksum_was_damaged_together_with_a_key_says_so(tar):
    text = index_path(tar).read_bytes()
    index_path(tar).write_bytes(text.replace(b'"crc32"', b'"crc3q"', 1).replace(b'"key":"s3"', b'"key":"x3"'))
    with pytest.warns(UserWarning, match="its index is not as it was written"):
        StickerShards(tar)


def test_an_index_that_lost_an_entry_says_so(tar):
    text = index_path(tar).read_bytes()
    start, end = (text.index(b'{"key":"s%d"' % number) for number in (3, 4))
    index_path(tar).write_bytes(text[:start] + text[end:])
    with pytest.warns(UserWarning, match="its index is not as it was written"):
        assert len(StickerShards(tar)) == 7


@pytest.mark.parametrize("text", ["[" * 100_000, '{"glassine_index": 1}', "[]", "3", '{"a":' * 9000, "\xff", "{}"])
def test_an_index_that_is_none_closes_its_own_shard_alone(tar, tmp_path, text):
    with ShardWriter(tmp_path / "more", ShardFormat("png")) as writer:
        writer.write("other", Sticker(np.ones((1, 4, 4, 4), np.uint8), (80,)), {})
    index_path(tar).write_text(text, encoding="latin-1")
    with pytest.warns(UserWarning, match="its index cannot be read"):
        shards = StickerShards(tmp_path)
    assert [shards.key(0)] == ["other"]


def one_sticker(folder: Path, suffix: str, media: bytes, about: bytes) -> Path:
    with tarfile.open(folder / "part.tar", "w") as archive:
        for name, data in ((f"k.{suffix}", media), ("k.json", about), ("z.png", png(4, 4))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "part.tar"


def png(width: int, height: int, stated: tuple[int, int] | None = None, twice: bool = False) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (width, height), (9, 9, 9, 9)).save(file, "PNG")
    data = file.getvalue()
    header = struct.pack(">II", *(stated or (width, height))) + data[24:29]
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    first = data[8:33] if twice else b""
    return data[:8] + first + chunk + data[33:]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (b"[" * 100_000, "JSON is too deep"),
        (b"\xff{}", "JSON"),
        (b"[]", "not an object"),
        (b'{"durations": [' + b"9" * 5000 + b"]}", ""),
    ],
)
def test_metadata_that_is_built_to_hurt_costs_one_sticker(tmp_path, about, words):
    index = build_index(one_sticker(tmp_path, "png", png(4, 4), about))
    assert keys(index) == ["z"]
    assert words in index.damaged["k"]


def test_a_frame_that_stands_for_ever_costs_one_sticker(tmp_path):
    about = json.dumps({"durations": [10**12]}).encode()
    index = build_index(one_sticker(tmp_path, "000.png", png(4, 4), about))
    assert keys(index) == ["z"]
    assert "at most 24 days" in index.damaged["k"]


def test_halves_of_surrogate_pairs_and_control_letters_are_text_that_can_be_written(tmp_path):
    about = b'{"description": "a\\ud800b", "group": "\\udfff", "loop": 99999999999999999999}'
    tar = one_sticker(tmp_path, "png", png(4, 4), about)
    build_index(tar).save(index_path(tar))
    info = StickerShards(tar).metadata(0)
    assert (info.description, info.group, info.loop) == ("a?b", "?", 0)


def test_a_damaged_gif_is_a_sticker_that_cannot_be_read_and_nothing_else(tmp_path):
    file = io.BytesIO()
    pictures = [Image.new("RGBA", (8, 8), (number * 40, 9, 9, 255)) for number in range(5)]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=80)
    tar = one_sticker(tmp_path, "gif", file.getvalue(), b"{}")
    build_index(tar).save(index_path(tar))
    data = tar.read_bytes()
    for place in range(512, 512 + len(file.getvalue()), 3):
        tar.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        shards = StickerShards(tar)
        try:
            shards.read(0, range(len(shards.durations(0))))
        except ValueError:  # and nothing else
            continue


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(4, 4, stated=(20_000, 20_000)), "at most 33,554,432 pixels, got 20000x20000"),
        (png(4, 4, stated=(20_000, 20_000), twice=True), "states its size 2 times"),
        (b"II*\0" + bytes(100), "not a PNG, JPEG or WebP"),
        (b"\xff\xd8\xff\xd9", "states no size"),
        (b"\x89PNG\r\n\x1a\n\0\0", "0 times"),
        (b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f" + bytes(9), "got 16384x16384"),
        (b"", "not a PNG"),
    ],
)
def test_the_size_of_a_frame_is_looked_at_before_room_is_made(data, words):
    with pytest.raises(ValueError, match=words):
        decode_frame([data])


def test_an_alpha_of_another_size_is_refused_before_it_is_decoded():
    with pytest.raises(ValueError, match="color is 4x4 and alpha is 5000x5000"):
        decode_frame([png(4, 4), png(4, 4, stated=(5000, 5000))])


def test_the_largest_of_all_stated_sizes_counts():
    small = b"VP8X\x0a\0\0\0" + bytes(4) + bytes(6)
    large = b"VP8L\x06\0\0\0\x2f" + struct.pack("<I", 12_999 | 12_999 << 14) + b"\0"
    for chunks in (small + large, large + small):
        assert stated_size(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks) == (13_000, 13_000)


def test_a_pipe_is_no_shard_to_wait_for(tmp_path):
    os = pytest.importorskip("os")
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(UserError, match=r"no \.tar file"):
        StickerShards(tmp_path)
    with pytest.raises(UserError, match="must be a file"):
        build_index(tmp_path / "pipe.tar")


def test_an_index_of_before_the_checksum_is_read_without_a_word(tar):
    content = json.loads(index_path(tar).read_text())
    del content["crc32"]
    index_path(tar).write_text(json.dumps(content))
    with warnings.catch_warnings(action="error"):
        assert len(StickerShards(tar)) == 8

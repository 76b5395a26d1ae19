"""Bad files and bad places give one clear line, and no half-written output."""

import contextlib
import errno
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassine.data.codecs import (
    MAX_PIXELS,
    create_sticker,
    decode_bytes,
    open_sticker,
    read_frames,
    read_sticker,
    write_sticker,
)
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError

FORMATS = [".webp", ".gif", ".png", ".avif", ".zip", ".webm", ".mov"]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small sticker in every format."""
    rows, columns = np.mgrid[:40, :50]
    frames = [
        np.stack([columns * 5, rows * 5, rows * 0 + n, np.clip((columns - n) * 20, 0, 255)], axis=-1) for n in range(5)
    ]
    folder = tmp_path_factory.mktemp("good")
    for suffix in FORMATS:
        write_sticker(Sticker(np.stack(frames).astype(np.uint8), (50,) * 5), folder / f"a{suffix}")
    return {suffix: (folder / f"a{suffix}").read_bytes() for suffix in FORMATS}


def one_line(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read_sticker(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_cut_off_files(tmp_path: Path, good: dict[str, bytes], suffix: str, share: float) -> None:
    data = good[suffix]
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    one_line(path, "damaged or cut off")


@pytest.mark.parametrize("suffix", FORMATS)
def test_scrambled_files_never_crash(good: dict[str, bytes], suffix: str) -> None:
    random = np.random.default_rng(0)
    for _ in range(12):
        data = bytearray(good[suffix])
        for place in random.integers(12, len(data), 8):
            data[place] ^= int(random.integers(1, 256))
        with contextlib.suppress(UserError):  # any other error fails the test
            assert decode_bytes(bytes(data), suffix).num_frames >= 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_content_counts_not_the_name(tmp_path: Path, good: dict[str, bytes], suffix: str) -> None:
    path = tmp_path / "wrong.jpg"
    path.write_bytes(good[suffix])
    assert read_sticker(path).num_frames == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"The quick brown fox jumps over the lazy dog", "not an image or video"),
        (b"%PDF-1.7 and so on, and so on", "not an image or video"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00\x3b", "no frames"),
        (b"RIFF\x04\x00\x00\x00WEBP", "no frames"),
        (b"\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov", "cannot be decoded|no video track"),
    ],
)
def test_no_media_and_no_frames(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.gif"
    path.write_bytes(content)
    one_line(path, words)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    one_line(tmp_path / "none.gif", "no such file")
    one_line(tmp_path, "no PNG files")


def chunk(tag: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))


def png_claiming(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def test_enormous_frames_are_refused_by_a_stated_limit(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_claiming(20_000, 20_000))
    one_line(tmp_path / "bomb.png", f"400,000,000 pixels; at most {MAX_PIXELS:,}")
    gif = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"\x2c" + struct.pack("<HHHHB", 0, 0, 20_000, 20_000, 0)
    (tmp_path / "bomb.gif").write_bytes(gif + b"\x02\x02\x44\x01\x00\x3b")
    one_line(tmp_path / "bomb.gif", "400,000,000 pixels")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive:
        archive.writestr("a.png", png_claiming(20_000, 20_000))
    one_line(tmp_path / "bomb.zip", "400,000,000 pixels")
    with zipfile.ZipFile(tmp_path / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(9 * 1000 + 2**20 + 1))
    with pytest.raises(UserError, match="unpacks to 1,057,577 bytes; at most 1,057,576"):
        read_sticker(tmp_path / "zeros.zip", max_pixels=1000)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_limit_holds_for_every_format(good: dict[str, bytes], suffix: str) -> None:
    assert read_frames(good[suffix], suffix, [1], max_pixels=2000).shape == (1, 40, 50, 4)
    with pytest.raises(UserError, match=r"2,000 pixels; at most 1,999"):
        read_frames(good[suffix], suffix, [1], max_pixels=1999)


def test_all_frames_together_have_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassine.data.codecs.io.MAX_STICKER_PIXELS", 35)
    write_sticker(Sticker(np.zeros((4, 3, 3, 4), np.uint8), (40,) * 4), tmp_path / "a.webp")
    one_line(tmp_path / "a.webp", "more than 3 frames of 3x3")
    with open_sticker(tmp_path / "a.webp") as reader:
        assert len(list(reader)) == 4


def test_cut_off_jpeg(tmp_path: Path) -> None:
    packed = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(packed, format="JPEG")
    (tmp_path / "a.jpg").write_bytes(packed.getvalue()[:-400])
    one_line(tmp_path / "a.jpg", "damaged or cut off")


@pytest.mark.parametrize("suffix", [".mp4", ".jpg", ".xyz"])
def test_formats_that_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match=r"choose \.webp"):
        create_sticker(tmp_path / f"a{suffix}", 4, 4)


@pytest.mark.parametrize("options", [{"quality": 101}, {"quality": -1}, {"alpha_threshold": 0}, {"loop": 70_000}])
def test_settings_out_of_range(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must be"):
        create_sticker(tmp_path / "a.webp", 4, 4, **options)


@pytest.mark.parametrize("suffix", [*FORMATS, ""])
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    resource = pytest.importorskip("resource")
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (3, 48, 48, 4), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*free some space") as caught:
            write_sticker(Sticker(frames, (40,) * 3), tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_error_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.webm").write_bytes(b"old")

    def interrupted() -> None:
        with create_sticker(tmp_path / "a.webm", 8, 8) as writer:
            writer.append(np.zeros((8, 8, 4), np.uint8), 40)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "camera"))

    with pytest.raises(OSError, match="camera"):
        interrupted()
    assert (tmp_path / "a.webm").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1

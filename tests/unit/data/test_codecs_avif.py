"""AVIF and HEIC are told from MP4 by their brands and read as pictures."""

import importlib.util
import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tests.helpers.heic import heic, heic_frame

from glassine.data.codecs import create_sticker, decode_bytes, open_bytes, open_sticker, read_sticker, write_sticker
from glassine.data.codecs.iso_boxes import iso_layout
from glassine.data.codecs.still import Kind, sniff
from glassine.data.sticker import Sticker
from glassine.utils.errors import UserError


def picture(height: int = 24, width: int = 40) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    alpha = np.where(columns < width // 2, 255, 0)
    return np.stack([rows * 8, columns * 5, rows * 0 + 60, alpha], axis=-1).astype(np.uint8)


def avif(pixels: np.ndarray, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=100, subsampling="4:4:4", **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("main", "others", "kind"),
    [
        (b"avif", b"mif1miaf", Kind.AVIF),
        (b"avis", b"avifmsf1", Kind.AVIF),
        (b"mif1", b"avifmiaf", Kind.AVIF),
        (b"heic", b"mif1heic", Kind.HEIC),
        (b"msf1", b"hevcheic", Kind.HEIC),
        (b"mif1", b"mif1heix", Kind.HEIC),
        (b"isom", b"iso2avc1mp41", Kind.MP4),
        (b"qt  ", b"qt  ", Kind.MP4),
    ],
)
def test_brands_tell_pictures_from_video(main, others, kind):
    head = struct.pack(">I4s4sI", 16 + len(others), b"ftyp", main, 0) + others + b"avif is no brand any more"
    assert sniff(head, "a") is kind


def test_alpha_and_size_of_a_still():
    sticker = decode_bytes(avif(picture()))
    assert sticker.frames.shape == (1, 24, 40, 4)
    np.testing.assert_array_equal(sticker.frames[0, ..., 3], picture()[..., 3])
    assert np.abs(sticker.frames[0].astype(int) - picture())[:, :20].max() <= 3
    assert open_bytes(avif(picture()[..., :3])).opaque


@pytest.mark.parametrize("turned", [3, 6, 8])
def test_rotation_is_obeyed(turned):
    exif = Image.Exif()
    exif[0x0112] = turned  # Pillow writes it as the AVIF's own rotation
    frame = decode_bytes(avif(picture(), exif=exif)).frames[0]
    quarter = {3: 2, 6: 3, 8: 1}[turned]
    assert np.abs(frame.astype(int) - np.rot90(picture(), quarter))[..., 3].max() == 0


@pytest.mark.parametrize("loop", [0, 1, 2, 7])
def test_an_animation_keeps_its_frames_times_and_loops(tmp_path, loop):
    frames = np.stack([np.roll(picture(), 3 * n, axis=1) for n in range(4)])
    write_sticker(Sticker(frames, (40, 70, 33, 500), loop), tmp_path / "a.avif", quality=95)
    back = read_sticker(tmp_path / "a.avif")
    assert back.frames.shape == frames.shape
    assert (back.durations, back.loop) == ((40, 70, 33, 500), loop)
    assert np.abs(back.frames[..., 3].astype(int) - frames[..., 3]).mean() < 2
    with open_bytes((tmp_path / "a.avif").read_bytes()) as reader:
        assert [len(list(reader)), len(list(reader))] == [4, 4]  # it starts over


def test_a_wrong_size_takes_no_memory():
    data = avif(picture())
    with pytest.raises(UserError, match="at most 900 are read"):
        decode_bytes(data, max_pixels=900)
    size = data.index(b"ispe") + 8
    huge = data[:size] + struct.pack(">II", 60_000, 60_000) + data[size + 8 :]
    with pytest.raises(UserError, match=r"60000x60000 = 3,600,000,000 pixels; at most"):
        decode_bytes(huge)


def test_memory_of_the_process_that_decodes_is_limited(monkeypatch):
    """A picture of 24 megapixels whose boxes announce 40x24, for which it is given little."""
    file = io.BytesIO()
    Image.new("RGB", (6000, 4000)).save(file, "AVIF", speed=10)
    data = bytearray(file.getvalue())
    place = -1
    while (place := data.find(b"ispe", place + 1)) >= 0:
        data[place + 8 : place + 16] = struct.pack(">II", 40, 24)
    assert decode_bytes(bytes(data)).frames.shape == (1, 24, 40, 4)
    monkeypatch.setattr("glassine.data.codecs.sandbox._BASE_BYTES", 2**26)
    with pytest.raises(UserError, match="damaged"):
        decode_bytes(bytes(data))


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_heic_with_its_alpha_and_turned_as_it_says(tmp_path, alpha, quarter_turns):
    if not any(importlib.util.find_spec(package) for package in ("pillow_heif", "pi_heif")):
        pytest.skip("reading HEIC needs the extra heif")
    file = tmp_path / "a.mp4"  # the content counts
    file.write_bytes(heic(alpha, quarter_turns))
    wanted = np.rot90(heic_frame(), quarter_turns).astype(int)
    with open_sticker(file) as reader:
        assert (reader.height, reader.width) == wanted.shape[:2]
        assert (reader.num_frames, reader.opaque) == (1, not alpha)
        [(frame, duration)] = list(reader)
    assert duration == 1000
    away = np.abs(frame.astype(int) - wanted)
    if alpha:
        assert away[..., 3].max() <= 1
    else:
        assert (frame[..., 3] == 255).all()
    # half of the colors are stored: a little is left of one quarter in the next
    assert away[..., :3].max() < 30
    assert away[..., :3].mean() < 3
    with pytest.raises(UserError, match="at most 2,000 are read"):
        open_sticker(file, max_pixels=2000)


def test_damaged_heic_is_refused():
    if not any(importlib.util.find_spec(package) for package in ("pillow_heif", "pi_heif")):
        pytest.skip("reading HEIC needs the extra heif")
    data = heic()
    for broken in (data[:-100], data[:200], data[:-300] + bytes(300)):
        with pytest.raises(UserError, match="damaged"):
            decode_bytes(broken)


def test_heic_needs_its_package_and_says_so(monkeypatch):
    head = struct.pack(">I4s4sI", 24, b"ftyp", b"heic", 0) + b"mif1heic"
    found = importlib.util.find_spec
    missing = ("pillow_heif", "pi_heif")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else found(name, *rest)
    )
    with pytest.raises(UserError, match=r"is an HEIC, which needs one more package; pip install 'glassine\[heif\]'"):
        decode_bytes(head + bytes(100))
    with pytest.raises(UserError, match=r"pip install 'glassine\[heif\]', or save it as JPEG or PNG"):
        decode_bytes(heic())


@pytest.mark.parametrize("cut", [30, 200, 0.6])
def test_cut_off_pictures_are_refused(cut):
    data = avif(picture())
    with pytest.raises(UserError, match="damaged"):
        decode_bytes(data[: int(cut * len(data)) if cut < 1 else cut])


def test_boxes_that_hold_themselves_or_reach_too_far_are_refused():
    nested = struct.pack(">I4s", 2**31, b"moov") + bytes(40)
    for data in (nested, b"\0\0\0\4moov", struct.pack(">I4sQ", 1, b"moov", 2**63), b"\0\0\0\x08free" * 30_000):
        with pytest.raises(ValueError, match="box"):
            iso_layout(data)


def test_a_program_that_only_reads_does_not_load_torch():
    code = "import sys, glassine.data.codecs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_formats_that_are_only_read_are_named(tmp_path):
    with pytest.raises(UserError, match=r"\.heic is not written; choose \.webp"):
        create_sticker(tmp_path / "a.heic", 4, 4)

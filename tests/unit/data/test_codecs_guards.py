"""Small files that announce or unpack to enormous things are refused before room is made for them."""

import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers.png_parts import chunk, flat, png

from glassine.data.codecs import MAX_PIXELS, decode_bytes, open_sticker, read_sticker
from glassine.utils.errors import UserError

CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from glassine.data.codecs import read_sticker
from glassine.utils.errors import UserError
for path in sys.argv[1:]:
    try:
        read_sticker(path)
    except UserError as error:
        if isinstance(error.__cause__, MemoryError):
            raise
    else:
        sys.exit(f"{path} was read")
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)
sys.exit(f"{peak} kB were needed" if peak > 400_000 else 0)
"""


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(t + struct.pack("<I", len(c)) + c + bytes(len(c) % 2) for t, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    file = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save(file, "WEBP", lossless=True, exact=True)
    data = file.getvalue()
    packed = bytearray(data[data.index(b"VP8L") + 8 :])
    packed[1:5] = (width - 1 | (height - 1) << 14 | 1 << 28).to_bytes(4, "little")
    return b"VP8L", bytes(packed)


def vp8x(width: int, height: int, animated: bool = False) -> tuple[bytes, bytes]:
    return b"VP8X", struct.pack("<I", 0x10 | 2 * animated) + b"".join(
        (s - 1).to_bytes(3, "little") for s in (width, height)
    )


def anmf(width: int, height: int, picture: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    sides = b"".join(number.to_bytes(3, "little") for number in (0, 0, width - 1, height - 1, 50)) + b"\2"
    return b"ANMF", sides + picture[0] + struct.pack("<I", len(picture[1])) + picture[1]


WEBPS = {
    "picture before the header": webp(vp8l(13_000, 13_000), vp8x(1, 1)),
    "picture larger than the canvas": webp(vp8x(1, 1), vp8l(13_000, 13_000)),
    "frame larger than it says": webp(vp8x(16, 16, True), (b"ANIM", bytes(6)), anmf(16, 16, vp8l(13_000, 13_000))),
    "frame larger than the canvas": webp(vp8x(16, 16, True), (b"ANIM", bytes(6)), anmf(9000, 9000, vp8l(9000, 9000))),
    "two headers": webp(vp8x(16, 16), vp8x(13_000, 13_000), vp8l(16, 16)),
}


@pytest.mark.parametrize("name", WEBPS)
def test_a_webp_that_contradicts_itself_is_refused(name):
    with pytest.raises(UserError, match=r"damaged|at most"):
        decode_bytes(WEBPS[name])


def test_the_handmade_webp_is_right_where_its_sizes_are():
    for data in (webp(vp8l(16, 16)), webp(vp8x(16, 16), vp8l(16, 16)), webp(vp8l(16, 16), vp8x(1, 1))):
        assert decode_bytes(data).frames[0, 3, 3].tolist() == [1, 2, 3, 4]


def test_a_gif_picture_far_outside_the_canvas_is_refused():
    picture = struct.pack("<BHHHHB", 0x2C, 0, 0, 4, 4, 0) + b"\2\2\x44\1\0"
    far = struct.pack("<BHHHHB", 0x2C, 2, 2, 60_000, 60_000, 0) + b"\2\2\x44\1\0"
    with pytest.raises(UserError, match="at most"):
        decode_bytes(b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + picture + far + b"\x3b")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("member", ["a.png", "animation.json"])
def test_a_zip_packed_otherwise_is_refused(tmp_path, method, member):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.png", png(flat(4, 4, (1, 2, 3, 4))))
        archive.writestr(zipfile.ZipInfo(member), bytes(2**22), compress_type=method)
    with pytest.raises(UserError, match="packed in a way that is not read"):
        read_sticker(tmp_path / "a.zip")


def test_a_zip_member_is_counted_while_it_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**24))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = struct.pack("<I", 1000)  # what the list of members says
    (tmp_path / "b.zip").write_bytes(data)
    for name in ("a.zip", "b.zip"):
        with pytest.raises(UserError, match=r"at most|damaged"):
            read_sticker(tmp_path / name, max_pixels=1000)


def test_a_zip_with_a_password_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png(flat(4, 4, (1, 2, 3, 4))))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.zip/a\.png: needs a password"):
        read_sticker(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "note",
    [
        "[" * 100_000,
        '{"durations": [' + "9" * 4000 + "]}",
        '{"durations": [' + "9" * 5000 + "]}",
        '{"durations": [1e400]}',
        '{"durations": [40], "loop": ' + "9" * 4000 + "}",
        '{"durations": {"0": 40}}',
        "[40]",
        '"40"',
        "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
        json.dumps({"durations": [40] * 400_000}),
    ],
)
def test_a_note_of_times_that_makes_no_sense_is_one_clear_error(tmp_path, note):
    (tmp_path / "a.png").write_bytes(png(flat(4, 4, (1, 2, 3, 4))))
    (tmp_path / "animation.json").write_text(note, encoding="utf-8")
    with pytest.raises(UserError, match=r"is no timing note|bytes that are read"):
        read_sticker(tmp_path)


def test_names_of_frames_may_hold_any_number(tmp_path):
    names = [f"{number}.png" for number in ("9" * 200, "10", "2", "007", "\u00b2")]
    for level, name in enumerate(names):
        (tmp_path / name).write_bytes(png(flat(2, 2, (level, 0, 0, 255))))
    assert read_sticker(tmp_path).frames[:, 0, 0, 0].tolist() in ([2, 3, 1, 0, 4], [4, 2, 3, 1, 0])


@pytest.mark.parametrize("note", [b"\x07undefined", b"6", bytes(2)])
def test_an_orientation_of_another_type_is_none(note):
    file = io.BytesIO()
    entry = b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, 7, len(note)) + note.ljust(4, b"\0")[:4] + bytes(8)
    Image.new("RGB", (9, 5)).save(file, "JPEG", exif=b"Exif\0\0" + entry)
    assert decode_bytes(file.getvalue()).frames.shape == (1, 5, 9, 4)


def test_bombs_need_little_memory(tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    bombs = {f"{number}.webp": data for number, data in enumerate(WEBPS.values())}
    whole = png(flat(1, 1, (1, 2, 3, 4)))
    bombs["two.png"] = whole[:33] + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 6, 0, 0, 0)) + whole[33:]
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", bytes(2**28))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("animation.json", bytes(2**28))
        archive.writestr("a.png", png(flat(4, 4, (1, 2, 3, 4))))
    paths = [str(tmp_path / name) for name in (*bombs, "a.zip", "b.zip")]
    done = subprocess.run([sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_limit_of_pixels_is_the_callers(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.zeros((30, 40, 4), np.uint8)))
    with pytest.raises(UserError, match=r"40x30 = 1,200 pixels; at most 1,199"):
        open_sticker(tmp_path / "a.png", max_pixels=1199)
    assert MAX_PIXELS == 2**25

"""APNG is laid together as browsers do it, and PNGs of every kind show what they are meant to."""

import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from tests.helpers.png_parts import apng, chunk, flat, header, packed, png

from glassine.data.codecs import decode_bytes, open_bytes
from glassine.utils.errors import UserError

RED, GREEN, BLUE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEEP, CLEAR, RESTORE = 0, 1, 2
SOURCE, OVER = 0, 1


def at(data: bytes, frame: int, x: int, y: int) -> list[int]:
    return decode_bytes(data).frames[frame, y, x].tolist()


def test_restoring_undoes_a_frame_that_was_blended():
    frames = [(flat(8, 8, RED), 0, 0, KEEP, SOURCE), (flat(4, 4, GREEN), 2, 2, RESTORE, OVER)]
    data = apng((8, 8), [*frames, (flat(1, 1, BLUE), 0, 0, KEEP, OVER)])
    assert at(data, 1, 3, 3) == list(GREEN)
    assert at(data, 2, 3, 3) == list(RED)
    assert at(data, 2, 0, 0) == list(BLUE)


def test_clearing_and_restoring_the_first_frame_leave_nothing():
    for dispose in (CLEAR, RESTORE):
        data = apng((8, 8), [(flat(8, 8, RED), 0, 0, dispose, SOURCE), (flat(2, 2, GREEN), 0, 0, KEEP, SOURCE)])
        assert at(data, 1, 0, 0) == list(GREEN)
        assert at(data, 1, 5, 5) == [0, 0, 0, 0]


def test_a_hidden_picture_is_not_below_the_frames():
    data = apng(
        (8, 8), [(flat(4, 4, GREEN), 2, 2, KEEP, OVER), (flat(2, 2, BLUE), 0, 0, KEEP, OVER)], hidden=flat(8, 8, RED)
    )
    assert at(data, 0, 7, 7) == [0, 0, 0, 0]
    assert at(data, 0, 3, 3) == list(GREEN)
    assert at(data, 1, 3, 3) == list(GREEN)


@pytest.mark.parametrize("below", [(0, 0, 0, 0), (10, 200, 30, 255), (250, 3, 77, 128), (9, 9, 9, 1)])
@pytest.mark.parametrize("above", [(0, 0, 0, 0), (200, 100, 50, 255), (200, 100, 50, 128), (90, 250, 1, 1)])
def test_blending_is_exact(below, above):
    data = apng((1, 1), [(flat(1, 1, below), 0, 0, KEEP, SOURCE), (flat(1, 1, above), 0, 0, KEEP, OVER)])
    a, b = Fraction(above[3], 255), Fraction(below[3], 255)
    alpha = a + b * (1 - a)
    expected = below  # nothing was laid over it
    if above[3]:
        mixed = [(p * a + q * b * (1 - a)) / alpha for p, q in zip(above[:3], below[:3], strict=True)]
        expected = tuple(int(value + Fraction(1, 2)) for value in (*mixed, alpha * 255))
    assert at(data, 1, 0, 0) == list(expected)


def test_a_replacing_frame_takes_its_clear_pixels_along():
    data = apng((4, 4), [(flat(4, 4, RED), 0, 0, KEEP, SOURCE), (flat(2, 2, (7, 8, 9, 0)), 0, 0, KEEP, SOURCE)])
    assert at(data, 1, 1, 1) == [7, 8, 9, 0]


@pytest.mark.parametrize(("promised", "shown"), [(2, 2), (3, 3), (7, 3)])
def test_a_wrong_count_of_frames_shows_those_that_are_there(promised, shown):
    frames = [(flat(4, 4, color), 0, 0, KEEP, SOURCE) for color in (RED, GREEN, BLUE)]
    with open_bytes(apng((4, 4), frames, promised)) as reader:
        assert reader.num_frames == shown
        assert len(list(reader)) == shown
        assert bool(reader.notes) == (promised != 3)


def test_a_count_of_none_or_too_late_shows_the_picture():
    control = chunk(b"acTL", struct.pack(">II", 0, 0))
    assert at(png(flat(4, 4, RED), control), 0, 0, 0) == list(RED)
    late = SIGNATURE + header(4, 4) + chunk(b"IDAT", packed(flat(4, 4, RED))) + chunk(b"acTL", struct.pack(">II", 2, 0))
    assert decode_bytes(late + chunk(b"IEND", b"")).num_frames == 1


@pytest.mark.parametrize(
    "frames",
    [
        [(flat(4, 4, RED), 0, 0, KEEP, SOURCE), (flat(3, 3, GREEN), 2, 2, KEEP, SOURCE)],  # reaches outside
        [(flat(4, 4, RED), 0, 0, 3, SOURCE), (flat(3, 3, GREEN), 0, 0, KEEP, SOURCE)],  # no such dispose
        [(flat(3, 3, RED), 0, 0, KEEP, SOURCE), (flat(3, 3, GREEN), 0, 0, KEEP, SOURCE)],  # the first is not whole
    ],
)
def test_frames_that_make_no_sense_are_refused(frames):
    with pytest.raises(UserError, match="damaged"):
        decode_bytes(apng((4, 4), frames))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_gray_of_any_depth_with_a_clear_level(depth):
    most = (1 << depth) - 1
    line = bytes([most << (8 - depth)]) + bytes(1)  # the first pixel at full level, the others black
    data = np.frombuffer(line, np.uint8)[None, :, None]
    width = 16 // depth
    frame = decode_bytes(
        png(data, chunk(b"tRNS", struct.pack(">H", most)), depth=depth, color_type=0, width=width)
    ).frames[0, 0]
    assert frame[0].tolist() == [255, 255, 255, 0]
    assert frame[1].tolist() == [0, 0, 0, 255]


def test_clear_colors_of_16_bits_are_told_by_all_of_them():
    gray = np.array([[0x12FF, 0x12FE, 0xFFFF]], ">u2").view(np.uint8).reshape(1, -1, 2)
    frame = decode_bytes(png(gray, chunk(b"tRNS", struct.pack(">H", 0x12FF)), depth=16, color_type=0)).frames[0, 0]
    assert frame.tolist() == [[0x12] * 3 + [0], [0x12] * 3 + [255], [255] * 4]
    color = np.array([[0x12FF, 0x3400, 0x5601], [0x12FF, 0x3400, 0x5602]], ">u2").view(np.uint8).reshape(1, 2, 6)
    clear = chunk(b"tRNS", struct.pack(">3H", 0x12FF, 0x3400, 0x5601))
    frame = decode_bytes(png(color, clear, depth=16, color_type=2)).frames[0, 0]
    assert frame.tolist() == [[0x12, 0x34, 0x56, 0], [0x12, 0x34, 0x56, 255]]


def test_a_clear_color_and_clear_palette_entries():
    clear = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    frame = decode_bytes(png(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8), clear, color_type=2)).frames[0, 0]
    assert frame[:, 3].tolist() == [0, 255]
    notes = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])), chunk(b"tRNS", bytes([77]))
    frame = decode_bytes(png(np.array([[[0], [1]]], np.uint8), *notes, color_type=3)).frames[0, 0]
    assert frame.tolist() == [[10, 20, 30, 77], [40, 50, 60, 255]]


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_png_is_turned_upright(turned):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, 0], pixels[0, 2] = RED, GREEN
    note = b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, turned, 0)
    frame = decode_bytes(png(pixels, chunk(b"eXIf", note))).frames[0]
    by_pillow = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Image.Transpose
    expected = Image.fromarray(pixels)
    if turned > 1:
        expected = expected.transpose(Image.Transpose(by_pillow[turned]))
    np.testing.assert_array_equal(frame, np.asarray(expected))


@pytest.mark.parametrize("note", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"MM\0*" + bytes(40), b"Exif\0\0"])
def test_an_orientation_that_makes_no_sense_is_none(note):
    assert decode_bytes(png(flat(3, 2, RED), chunk(b"eXIf", note))).frames.shape == (1, 2, 3, 4)


def test_large_packed_text_and_wrong_checksums_of_notes_are_no_damage():
    text = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 3_000_000))
    assert at(png(flat(4, 4, RED), text), 0, 0, 0) == list(RED)
    for tag in (b"tEXt", b"tIME", b"gAMA", b"eXIf", b"tRNS"):
        assert at(png(flat(4, 4, RED), chunk(tag, bytes(6), wrong=True)), 0, 0, 0) == list(RED)


def test_a_wrong_checksum_of_the_picture_is_damage():
    data = png(flat(4, 4, RED))
    for tag in (b"IHDR", b"IDAT"):
        broken = bytearray(data)
        start = data.index(tag)
        broken[start + 4 + int.from_bytes(data[start - 4 : start], "big")] ^= 1
        with pytest.raises(UserError, match="damaged"):
            decode_bytes(bytes(broken))


def test_a_second_header_is_damage_and_takes_no_memory():
    for sizes in (((1, 1), (30_000, 30_000)), ((30_000, 30_000), (1, 1))):
        data = SIGNATURE + b"".join(header(*size) for size in sizes) + chunk(b"IDAT", packed(flat(1, 1, RED)))
        with pytest.raises(UserError, match="two headers"):
            decode_bytes(data + chunk(b"IEND", b""))

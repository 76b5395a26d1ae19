"""Colors that a file describes otherwise come out as sRGB; alpha, and colors that are sRGB already, as they were."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.helpers.png_parts import chunk, flat, png

from glassine.data.codecs import decode_bytes

SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
DISPLAY_P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def profile(primaries: tuple[float, ...], gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    """An ICC profile, version 2, of three primaries (or of gray) and a gamma, adapted to D50 by Bradford's matrix."""
    x, y = np.array(primaries[::2]), np.array(primaries[1::2])
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    white, d50 = np.array([0.95046, 1, 1.08906]), np.array([0.9642, 1, 0.8249])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.solve(cone, np.diag((cone @ d50) / (cone @ white)) @ cone)
    matrix = adapt @ (columns * np.linalg.solve(columns, white))
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + bytes(2)
    tags = {b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, d50))}
    if space == b"RGB ":
        tags |= {
            tag: b"XYZ " + bytes(4) + b"".join(map(fixed, matrix[:, n]))
            for n, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
        }
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags[b"kTRC"] = curve
    tags |= {
        b"desc": b"desc" + struct.pack(">II", 0, 2) + b"x\0" + bytes(79),
        b"cprt": b"text" + bytes(4) + b"free\0\0\0\0",
    }
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(fixed, d50)) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def saved(kind: str, pixels: np.ndarray, icc: bytes) -> bytes:
    how = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, icc_profile=icc, **how.get(kind, {"quality": 98, "subsampling": 0}))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "AVIF"])
def test_display_p3_comes_out_as_srgb(kind):
    pixels = flat(16, 16, (234, 51, 35, 255) if kind != "JPEG" else (234, 51, 35))  # sRGB's red, written in Display P3
    pixels[:, 8:, :3] = 128
    frame = decode_bytes(saved(kind, pixels, profile(DISPLAY_P3))).frames[0].astype(int)
    assert np.abs(frame[4, 2] - (255, 0, 0, 255)).max() <= 6
    assert np.abs(frame[4, 13, :3] - 128).max() <= 2  # grays stay gray


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_not_converted_and_animations_are(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 4), np.uint8)
    frame = decode_bytes(saved(kind, pixels, profile(DISPLAY_P3))).frames[0]
    np.testing.assert_array_equal(frame[..., 3], pixels[..., 3])
    assert (frame[..., :3] != pixels[..., :3]).mean() > 0.5
    file = io.BytesIO()
    pictures = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    how = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], icc_profile=profile(DISPLAY_P3), **how)
    seen = pixels[..., 3] > 0
    np.testing.assert_array_equal(decode_bytes(file.getvalue()).frames[0][seen], frame[seen])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_srgb_stays_bit_for_bit(kind):
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24, 4), np.uint8)
    for icc in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile at all", bytes(200)):
        np.testing.assert_array_equal(decode_bytes(saved(kind, pixels, icc)).frames[0], pixels)


def test_a_gray_picture_obeys_its_gray_profile_and_a_foreign_one_is_passed_over():
    levels = np.full((4, 4), 128, np.uint8)
    linear = decode_bytes(saved("PNG", levels, profile(SRGB, 1.0, b"GRAY"))).frames[0, 0, 0]
    assert np.abs(linear[:3].astype(int) - 188).max() <= 1  # half the light is 188 in sRGB
    cmyk = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert decode_bytes(saved("PNG", levels, cmyk)).frames[0, 0, 0].tolist() == [128, 128, 128, 255]


def places(*xy: float) -> bytes:
    """The chunk `cHRM`: white, red, green, blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in (0.3127, 0.329, *xy))))


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


@pytest.mark.parametrize(
    ("notes", "shown"),
    [
        ((gamma(45455),), (200, 100, 50)),  # what sRGB is written as
        ((gamma(45455), places(*SRGB)), (200, 100, 50)),
        ((places(*DISPLAY_P3),), (200, 100, 50)),  # too little is said, as browsers see it
        ((gamma(100000),), (229, 168, 122)),
        ((gamma(55556),), (210, 119, 65)),
        ((gamma(45455), places(*DISPLAY_P3)), (216, 93, 24)),
        ((gamma(100000), chunk(b"sRGB", b"\0")), (200, 100, 50)),  # the stronger note
        ((chunk(b"cICP", bytes([12, 13, 0, 1])),), (215, 93, 31)),
        ((chunk(b"cICP", bytes([1, 13, 0, 1])), gamma(100000)), (200, 100, 50)),
        ((chunk(b"cICP", bytes([1, 8, 0, 1])),), (229, 168, 122)),
        ((chunk(b"cICP", bytes([9, 1, 0, 1])),), (239, 63, 5)),
        ((chunk(b"cICP", bytes([12, 13, 0, 0])),), (200, 100, 50)),  # not full range: browsers pass it over
    ],
)
def test_gamma_chromaticities_and_code_points(notes, shown):
    """The values are Chromium's."""
    pixel = decode_bytes(png(flat(2, 2, (200, 100, 50, 90)), *notes)).frames[0, 0, 0].astype(int)
    assert np.abs(pixel - (*shown, 90)).max() <= 1


def test_gamma_and_primaries_that_make_no_sense_change_nothing():
    for notes in (
        (gamma(0),),
        (gamma(1), places(0, 0, 0, 0, 0, 0)),
        (gamma(50000), places(0.3, 0.3, 0.3, 0.3, 0.3, 0.3)),
    ):
        assert decode_bytes(png(flat(2, 2, (200, 100, 50, 255)), *notes)).frames.shape == (1, 2, 2, 4)

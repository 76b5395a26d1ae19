"""Detect a file's format by its first bytes, never by its name; read still JPEG and BMP.

JPEG is rotated by its EXIF orientation, which is parsed without trusting any offsets.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from glassine.data.codecs.base import StickerReader, rgba_pixels
from glassine.data.codecs.color import by_profile, cmyk_to_srgb, to_srgb
from glassine.data.codecs.guard import STILL_MS, check_size, decoding
from glassine.utils.errors import UserError

SUPPORTED = "GIF, WebP, PNG, APNG, AVIF, HEIC, JPEG, BMP, WebM, MKV, MOV, MP4, Lottie, SVG, or a folder or .zip of PNGs"


class Kind(enum.Enum):
    """Kind of a file. Still and animated WebP are one kind, as are PNG and APNG."""

    GIF = "GIF"
    WEBP = "WebP"
    PNG = "PNG"
    AVIF = "AVIF"
    HEIC = "HEIC"
    JPEG = "JPEG"
    BMP = "BMP"
    MATROSKA = "WebM or MKV"
    MP4 = "MP4 or MOV"
    ZIP = "zip"
    GZIP = "gzip"
    LOTTIE = "Lottie"
    SVG = "SVG"


_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# brands of image formats that look like MP4: AVIF, section 6; ISO/IEC 23008-12, annexes B and E
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_PICTURE_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
HEAD_BYTES = 256


def sniff(head: bytes, name: str) -> Kind:
    """The kind of a file.

    Args:
        head: the first 16 bytes or more; kinds that look like MP4 need up to 256.
        name: file name for the message.

    Raises:
        UserError: the file is empty or unsupported.
    """
    if not head:
        raise UserError(f"{name}: is empty (0 bytes); give an image or video: {SUPPORTED}")
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return Kind.GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return Kind.PNG
    if head[:3] == b"\xff\xd8\xff":
        return Kind.JPEG
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return Kind.BMP
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Kind.MATROSKA
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in _MP4_BOXES:
        return Kind.MP4
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Kind.ZIP
    if head[:2] == b"\x1f\x8b":
        return Kind.GZIP
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"{", b"<") or head[:4] in (b"\xff\xfe<\0", b"\xfe\xff\0<"):
        return Kind.LOTTIE if start == b"{" else Kind.SVG
    raise UserError(f"{name}: is not an image or video that can be read; give one of: {SUPPORTED}")


def _by_brand(head: bytes) -> Kind:
    """Brands at the start of a file: the major brand, a version, and compatible brands."""
    main, size = head[8:12], int.from_bytes(head[:4], "big")
    brands = {head[place : place + 4] for place in range(16, min(size, len(head)), 4)}
    if main in _AVIF_BRANDS or (main in _PICTURE_BRANDS and brands & _AVIF_BRANDS):
        return Kind.AVIF
    if main in _HEIC_BRANDS | _PICTURE_BRANDS:
        return Kind.HEIC
    return Kind.MP4


def sniff_file(file: BinaryIO, name: str) -> Kind:
    """`sniff` for an open file, which is rewound."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return sniff(head, name)


_ORIENTATION = 0x0112
_SHORT = 3
_MOST_BYTES = 2**16  # the first directory, which has the orientation, is near the start


def orientation(note: bytes) -> int:
    """The orientation in EXIF data, 1 to 8; 1 (upright) if there is none or the data is invalid.

    EXIF data is a TIFF: EXIF 2.32, section 4.5.

    Args:
        note: with or without the `Exif` prefix used in JPEG.
    """
    data = note[6:_MOST_BYTES] if note[:6] in (b"Exif\0\0", b"Exif\0\xff") else note[:_MOST_BYTES]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, place)
        for number in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", data, place + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def upright_size(width: int, height: int, turned: int) -> tuple[int, int]:
    """Width and height after `upright`."""
    return (height, width) if turned >= 5 else (width, height)


def upright(picture: np.ndarray, turned: int) -> np.ndarray:
    """An image `h w c` rotated and mirrored according to its orientation (1 to 8)."""
    if turned in (2, 3, 7, 8):
        picture = picture[:, ::-1]
    if turned in (3, 4, 6, 7):
        picture = picture[::-1]
    if turned >= 5:
        picture = picture.swapaxes(0, 1)
    return np.ascontiguousarray(picture)


class StillReader(StickerReader):
    """One frame of 1000 ms from a JPEG or BMP, rotated by its EXIF orientation and converted to sRGB."""

    num_frames = 1
    durations = (STILL_MS,)

    def __init__(self, file: BinaryIO, name: str, max_pixels: int) -> None:
        self._file, self._name = file, name
        with decoding(name):
            # the size is checked below against our own limit, before decoding
            self._image = Image.open(file, formats=("JPEG", "BMP"))
            self.width, self.height = self._image.size
            check_size(name, self.width, self.height, max_pixels)
            exif, profile = (self._image.info.get(key) for key in ("exif", "icc_profile"))
            self._turned = orientation(exif) if isinstance(exif, bytes) else 1
            self._convert = by_profile(profile) if isinstance(profile, bytes) else None
            self.width, self.height = upright_size(self.width, self.height, self._turned)
            self.opaque = "A" not in self._image.getbands()

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        with decoding(self._name):
            image = cmyk_to_srgb(self._image) if self._image.mode == "CMYK" else self._image
            picture = to_srgb(rgba_pixels(image), self._convert)
            yield upright(picture, self._turned), STILL_MS

    def close(self) -> None:
        """Close the file."""
        self._file.close()

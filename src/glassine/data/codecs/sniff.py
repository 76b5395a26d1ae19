"""Tell the kind of a file by its first bytes, never by its name."""

from __future__ import annotations

import enum
from typing import BinaryIO

from glassine.errors import UserError

SUPPORTED = "GIF, WebP, PNG, APNG, AVIF, HEIC, JPEG, BMP, WebM, MKV, MOV, MP4, Lottie, SVG, or a folder or .zip of PNGs"


class Kind(enum.Enum):
    """What a file holds. Still and animated WebP are one kind, and so are PNG and APNG."""

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
# brands of pictures that look like MP4: AVIF, section 6; ISO/IEC 23008-12, annexes B and E
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_PICTURE_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
HEAD_BYTES = 256


def sniff(head: bytes, name: str) -> Kind:
    """The kind of a file.

    Args:
        head: the first 16 bytes or more; kinds that look like MP4 are told apart by up to 256.
        name: how the message calls the file.

    Raises:
        UserError: empty, or none of the supported kinds.
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
    """Of a file that begins with its brands: the main one, a version, and those it is compatible with."""
    main, size = head[8:12], int.from_bytes(head[:4], "big")
    brands = {head[place : place + 4] for place in range(16, min(size, len(head)), 4)}
    if main in _AVIF_BRANDS or (main in _PICTURE_BRANDS and brands & _AVIF_BRANDS):
        return Kind.AVIF
    if main in _HEIC_BRANDS | _PICTURE_BRANDS:
        return Kind.HEIC
    return Kind.MP4


def sniff_file(file: BinaryIO, name: str) -> Kind:
    """`sniff` for an open file; leaves it at its start."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return sniff(head, name)

"""The size that a picture states, before room is made for it."""

import struct

_JPEG_SIZES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


def stated_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, JPEG or WebP: the largest that it states anywhere.

    Raises:
        ValueError: it is something else, states no size, or a PNG states one twice.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as error:
        raise ValueError("a picture that is cut off before its size") from error
    raise ValueError("not a PNG, JPEG or WebP picture")


def _png(data: bytes) -> tuple[int, int]:
    place, sizes = 8, list[tuple[int, int]]()
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IHDR":
            sizes.append(struct.unpack_from(">II", data, place + 8))
        elif kind == b"fcTL":
            raise ValueError("an animated PNG where a picture should be")
        place += 12 + length
    if len(sizes) != 1:
        raise ValueError(f"a PNG that states its size {len(sizes)} times")
    return sizes[0]


def _jpeg(data: bytes) -> tuple[int, int]:
    place, widest = 2, (0, 0)
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker == 0xFF:  # fill
            place += 1
            continue
        if marker in (0xDA, 0xD9):  # the picture itself, or the end
            break
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            place += 2
            continue
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            widest = max(widest, (width, height), key=lambda size: size[0] * size[1])
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    if 0 in widest:
        raise ValueError("a JPEG that states no size")
    return widest


def _webp(data: bytes) -> tuple[int, int]:
    place, widest = 12, (0, 0)
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        body = place + 8
        size = (0, 0)
        if kind == b"VP8X":
            wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (body + 4, body + 7))
            size = wide, high
        elif kind == b"VP8L":
            bits = struct.unpack_from("<I", data, body + 1)[0]
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"VP8 ":
            wide, high = struct.unpack_from("<HH", data, body + 6)
            size = wide & 0x3FFF, high & 0x3FFF
        elif kind in (b"ANIM", b"ANMF"):
            raise ValueError("an animated WebP where a picture should be")
        widest = max(widest, size, key=lambda size: size[0] * size[1])
        place = body + length + length % 2
    if 0 in widest:
        raise ValueError("a WebP that states no size")
    return widest

"""Is a video file whole? Looked up in its outermost boxes, since decoders stop at a cut without a word."""

from __future__ import annotations

from typing import BinaryIO

from glassine.data.codecs.guard import damaged

_SEGMENT = 0x18538067


def check_matroska_whole(file: BinaryIO, name: str) -> None:
    """Refuse a WebM or MKV that is shorter than its segment says. Live recordings, which do not say, pass.

    Element sizes: RFC 8794, section 6.

    Raises:
        UserError: cut off.
    """
    length = file.seek(0, 2)
    place = 0
    while place < length:
        file.seek(place)
        head = file.read(12)
        id_bytes = _leading_bytes(head[:1])
        size_bytes = _leading_bytes(head[id_bytes : id_bytes + 1])
        if not id_bytes or not size_bytes or len(head) < id_bytes + size_bytes:
            break
        field = head[id_bytes : id_bytes + size_bytes]
        size = int.from_bytes(field, "big") & ((1 << 7 * size_bytes) - 1)
        if size == (1 << 7 * size_bytes) - 1:
            return  # unknown size
        end = place + id_bytes + size_bytes + size
        if end > length:
            raise damaged(name, f"the video should have {end:,} bytes and has {length:,}")
        if int.from_bytes(head[:id_bytes], "big") == _SEGMENT:
            return
        place = end
    raise damaged(name, f"the video ends after {length:,} bytes, before its first frame")


def _leading_bytes(first: bytes) -> int:
    """Length of a variable-length number by its first byte; 0 when there is none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def check_mp4_whole(file: BinaryIO, name: str) -> None:
    """Refuse an MP4 or MOV of which a top-level box reaches past the end (ISO/IEC 14496-12, section 4.2).

    Raises:
        UserError: cut off.
    """
    length = file.seek(0, 2)
    place = 0
    while place + 8 <= length:
        file.seek(place)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size == 0:
            return  # the last box reaches to the end
        place += max(size, 8)
    if place > length:
        raise damaged(name, f"the video should have {place:,} bytes and has {length:,}")

"""The frame sizes that VP8 and VP9 packets announce, read before libvpx makes room for them.

VP8: RFC 6386, section 9.1. VP9: the bitstream specification, version 0.6, sections 6.2 and 7.2, and annex B.
"""

from __future__ import annotations

_KEY_START, _SYNC = b"\x9d\x01\x2a", 0x498342
_RGB = 7


def announced_sizes(codec: str, packet: bytes) -> list[tuple[int, int]]:
    """Width and height of each frame in a packet that states them; others are as large as the frames before.

    Args:
        codec: `vp8` or `vp9`.
        packet: its bytes, damaged ones too.
    """
    if codec == "vp8":
        if len(packet) < 10 or packet[0] & 1 or packet[3:6] != _KEY_START:
            return []
        return [tuple(int.from_bytes(packet[at : at + 2], "little") & 0x3FFF for at in (6, 8))]  # type: ignore[list-item]
    found = []
    for frame in _frames(packet):
        try:
            size = _size(_Bits(frame))
        except IndexError:  # cut off: the decoder will refuse it
            continue
        if size is not None:
            found.append(size)
    return found


def _frames(packet: bytes) -> list[bytes]:
    """The frames of a superframe, or the packet itself."""
    marker = packet[-1] if packet else 0
    count, size_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = 2 + count * size_bytes
    if marker & 0xE0 != 0xC0 or len(packet) < index or packet[-index] != marker:
        return [packet]
    frames, begin = [packet], 0
    for number in range(count):
        at = len(packet) - index + 1 + number * size_bytes
        size = int.from_bytes(packet[at : at + size_bytes], "little")
        frames.append(packet[begin : begin + size])
        begin += size
    return frames


class _Bits:
    """Reads numbers of so many bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def read(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._place >> 3] >> (7 - (self._place & 7)) & 1
            self._place += 1
        return value


def _size(bits: _Bits) -> tuple[int, int] | None:
    """The size in a VP9 frame's uncompressed header, where it is written out."""
    if bits.read(2) != 2:
        return None
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3:
        bits.read(1)
    if bits.read(1):  # an earlier frame is shown again
        return None
    inter, shown, resilient = bits.read(1), bits.read(1), bits.read(1)
    if not inter:
        if bits.read(24) != _SYNC:
            return None
        _skip_colors(bits, profile)
        return _written(bits)
    intra_only = not shown and bits.read(1)
    if not resilient:
        bits.read(2)
    if intra_only:
        if bits.read(24) != _SYNC:
            return None
        if profile:
            _skip_colors(bits, profile)
        bits.read(8)
        return _written(bits)
    bits.read(8 + 3 * 4)
    if any(bits.read(1) for _ in range(3)):  # as large as one of the frames before
        return None
    return _written(bits)


def _skip_colors(bits: _Bits, profile: int) -> None:
    if profile >= 2:
        bits.read(1)
    if bits.read(3) != _RGB:
        bits.read(1)
        bits.read(3 if profile & 1 else 0)
    else:
        bits.read(profile & 1)


def _written(bits: _Bits) -> tuple[int, int]:
    width, height = bits.read(16) + 1, bits.read(16) + 1
    return width, height

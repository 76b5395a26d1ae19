"""Limits of all readers, against files that are broken, far too large, or not media.

This includes the frame sizes declared in VP8 and VP9 packets, read before libvpx allocates memory for them. VP8: RFC
6386, section 9.1. VP9: the bitstream specification, version 0.6, sections 6.2 and 7.2, and annex B.
"""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator

import av
from PIL import Image

from glassine.utils.errors import UserError

MAX_PIXELS = 2**25
"""Largest frame to read, width times height: 33,554,432, enough for 8K video. Checked before anything is decoded."""

MAX_STICKER_PIXELS = 2**30
"""Maximum pixels (frames times width times height) held at once: 4 GiB of RGBA. Streaming has no such limit."""

ZERO_DELAY_MS = 100
"""Duration of frames without a duration, or with one that browsers lengthen (see `TOO_SHORT_MS`)."""

TOO_SHORT_MS = 10
"""Frames of animated images with this delay or less are shown for 100 ms, as in browsers."""

SHORTEST_SHOWN_MS = TOO_SHORT_MS + 1
"""Shortest whole delay that browsers keep."""

LONGEST_MS = 2**31 - 1
"""Longest frame duration accepted from a file: 24 days."""

STILL_MS = 1000
"""Duration of the only frame of a still image."""

# exceptions that decoders raise for unexpected bytes; RuntimeError covers RecursionError and NotImplementedError
_DECODE_ERRORS = (
    av.FFmpegError,
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)

_RUST_PANIC = "pyo3_runtime"
"""Module of the panic exceptions of Rust libraries, which are not an `Exception`."""


def printable(text: str) -> str:
    """A name for one-line messages: line breaks and the like become question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Reject empty and enormous frames.

    Args:
        name: file name for the message.
        width: pixels.
        height: pixels.
        max_pixels: maximum number of pixels per frame.

    Raises:
        UserError: no pixels, or more than `max_pixels`.
    """
    if width < 1 or height < 1:
        raise UserError(f"{name}: frames must be at least 1x1, got {width}x{height}: export it again")
    if width * height > max_pixels:
        raise UserError(
            f"{name}: its frames are {width}x{height} = {width * height:,} pixels; "
            f"at most {max_pixels:,} are read; scale it down first"
        )


def damaged(name: str, detail: str) -> UserError:
    """The error for a file of a supported kind that cannot be decoded; `detail` describes the problem."""
    return UserError(f"{name}: {' '.join(detail.split())}; the file is damaged or cut off; get it again")


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn decoder errors inside the block into a `UserError` that names the file.

    Raises:
        UserError: for any decoder error. A full disk or missing permissions keep their own `OSError`.
    """
    try:
        yield
    except UserError:
        raise
    except _DECODE_ERRORS as error:
        if isinstance(error, PermissionError):
            raise UserError(f"{name}: no permission to read it; change its permissions") from error
        raise damaged(name, f"cannot be decoded ({type(error).__name__}: {printable(str(error))[:120]})") from error
    except BaseException as error:
        if type(error).__module__ != _RUST_PANIC:
            raise
        raise damaged(name, f"cannot be decoded (its decoder failed: {printable(str(error))[:120]})") from error


_KEY_START, _SYNC = b"\x9d\x01\x2a", 0x498342
_RGB = 7


def announced_sizes(codec: str, packet: bytes) -> list[tuple[int, int]]:
    """Width and height of the frames in a packet that declare them; others have the size of earlier frames.

    Args:
        codec: `vp8` or `vp9`.
        packet: its bytes, possibly damaged.
    """
    if codec == "vp8":
        if len(packet) < 10 or packet[0] & 1 or packet[3:6] != _KEY_START:
            return []
        return [tuple(int.from_bytes(packet[at : at + 2], "little") & 0x3FFF for at in (6, 8))]  # type: ignore[list-item]
    found = []
    for frame in _frames(packet):
        try:
            size = _size(_Bits(frame))
        except IndexError:  # truncated: the decoder will reject it
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
    """Reads numbers with a given number of bits, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def read(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._place >> 3] >> (7 - (self._place & 7)) & 1
            self._place += 1
        return value


def _size(bits: _Bits) -> tuple[int, int] | None:
    """The size in a VP9 frame's uncompressed header, if it is explicit."""
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
    if any(bits.read(1) for _ in range(3)):  # same size as an earlier frame
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

"""What every reader does about files that are broken, huge or no media at all."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator

import av
from PIL import Image

from glassine.errors import UserError

MAX_PIXELS = 2**25
"""Largest frame that is read, width times height: 33,554,432, room for 8K video. Checked before anything is decoded."""

MAX_STICKER_PIXELS = 2**30
"""Most pixels (frames times width times height) that are held at once: 4 GiB of RGBA. Streaming has no such limit."""

ZERO_DELAY_MS = 100
"""How long a frame stands whose file gives it no duration, or one that browsers lengthen (see `TOO_SHORT_MS`)."""

TOO_SHORT_MS = 10
"""Browsers show frames of animated images for 100 ms whose delay is this or less, and so do we."""

SHORTEST_SHOWN_MS = TOO_SHORT_MS + 1
"""Shortest whole delay that browsers keep."""

LONGEST_MS = 2**31 - 1
"""Longest duration of a frame that is taken from a file: 24 days."""

STILL_MS = 1000
"""Duration of the only frame of a still image."""

# whatever a decoder throws at bytes it did not expect; RuntimeError covers RecursionError and NotImplementedError
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


def printable(text: str) -> str:
    """A name fit for a one-line message: line breaks and the like become question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse empty and enormous frames.

    Args:
        name: how the message calls the file.
        width: pixels.
        height: pixels.
        max_pixels: most pixels a frame may have.

    Raises:
        UserError: no pixels, or more than `max_pixels`.
    """
    if width < 1 or height < 1:
        raise UserError(f"{name}: its frames are {width}x{height}; at least 1x1 is needed; export it again")
    if width * height > max_pixels:
        raise UserError(
            f"{name}: its frames are {width}x{height} = {width * height:,} pixels; "
            f"at most {max_pixels:,} are read; scale it down first"
        )


def damaged(name: str, detail: str) -> UserError:
    """The error for a file that is of a supported kind but cannot be decoded; `detail` says what is wrong."""
    return UserError(f"{name}: {' '.join(detail.split())}; the file is damaged or cut off; get it again")


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder throws inside the block into one `UserError` that names the file.

    Raises:
        UserError: for any decoder error. A full disk or missing rights keep their own `OSError`.
    """
    try:
        yield
    except UserError:
        raise
    except _DECODE_ERRORS as error:
        if isinstance(error, PermissionError):
            raise UserError(f"{name}: no permission to read it; change its permissions") from error
        raise damaged(name, f"cannot be decoded ({type(error).__name__}: {printable(str(error))[:120]})") from error

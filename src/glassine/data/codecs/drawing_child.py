"""The process that renders Lottie and SVG, since the renderers never finish, or abort, on some files.

Run as a program by `drawing.py`; it imports nothing from glassine. It serves one file after another, or several at
once. Input: one byte for the command, and 4-byte little-endian numbers.

- `o`, number of the file, bytes of its text, frames, width, height, the text: opens a Lottie; output: 1, or 0 if it
fails.
- `d`, number of the file, frame: renders it; output: `height width 4` bytes, premultiplied BGRA.
- `c`, number of the file: closes it.
- `s`, bytes of the text, width, height, whether it needs fonts, the text: renders an SVG; output: size of the PNG, the
PNG.

Failures inside a renderer end the process, directly or through the limits on time and memory.
"""

import os
import signal
import struct
import sys
import time
from typing import Any, BinaryIO

BASE_BYTES = 2**30  # the interpreter, the renderers, their threads' stacks, fonts, and their parse trees
BYTES_A_PIXEL = 48  # a frame and its layers
OPENING_SECONDS, FRAME_SECONDS = 10.0, 5.0  # CPU time, so that a busy machine does not matter
SECONDS_A_FRAME = 0.2  # average over all frames of a file, in addition to the initial seconds

opened: dict[int, tuple[Any, int, int]] = {}
left: dict[int, float] = {}


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the caller, which ends this process
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may write to the answer stream
    limit("RLIMIT_CORE", 0)
    serve = {b"o": open_lottie, b"d": draw_frame, b"c": close_lottie, b"s": draw_svg}
    while what := source.read(1):
        out.write(serve[what](source))
        out.flush()


def numbers(source: BinaryIO, count: int) -> tuple[int, ...]:
    """The next numbers."""
    return struct.unpack(f"<{count}I", source.read(4 * count))


def begin(size: int, width: int, height: int) -> None:
    """Set the limits for a file with this many bytes of text, and images of this size."""
    limit("RLIMIT_AS", BASE_BYTES + BYTES_A_PIXEL * width * height + 16 * size + 2**24 * (os.cpu_count() or 1))
    limit("RLIMIT_CPU", time.process_time() + OPENING_SECONDS)


def open_lottie(source: BinaryIO) -> bytes:
    """Answer `o`."""
    import rlottie_python

    number, size, frames, width, height = numbers(source, 5)
    begin(size, width, height)
    animation = rlottie_python.LottieAnimation.from_data(source.read(size).decode())
    opened[number] = animation, width, height
    left[number] = OPENING_SECONDS + SECONDS_A_FRAME * frames
    return b"\1" if animation.animation_p else b"\0"


def draw_frame(source: BinaryIO) -> bytes:
    """Answer `d`."""
    number, frame = numbers(source, 2)
    begun = time.process_time()
    limit("RLIMIT_CPU", begun + min(FRAME_SECONDS, left[number]))
    animation, width, height = opened[number]
    drawn: bytes = animation.lottie_animation_render(frame, width=width, height=height)
    left[number] -= time.process_time() - begun
    return drawn


def close_lottie(source: BinaryIO) -> bytes:
    """Answer `c`, with nothing."""
    (number,) = numbers(source, 1)
    animation, *_ = opened.pop(number)
    if animation.animation_p:
        animation.lottie_animation_destroy()
    del left[number]
    return b""


def draw_svg(source: BinaryIO) -> bytes:
    """Answer `s`."""
    import resvg_py

    size, width, height, fonts = numbers(source, 4)
    begin(size, width, height)
    text = source.read(size).decode()
    side: dict[str, Any] = {"width": width} if width >= height else {"height": height}
    png = bytes(resvg_py.svg_to_bytes(svg_string=text, skip_system_fonts=not fonts, dpi=96, **side))
    return struct.pack("<I", len(png)) + png


def limit(what: str, most: float) -> None:
    """Set a system limit; the process can raise it again."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    kind = getattr(resource, what)
    _, hard = resource.getrlimit(kind)
    soft = int(most) + 1 if most else 0
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}"[:300].replace("\n", " "), file=sys.stderr, flush=True)
        os._exit(1)

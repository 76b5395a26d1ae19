"""Decode in a separate process with limited memory."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from glassine.data.codecs.guard import check_size, damaged, printable

_CHILD = Path(__file__).with_name("sandbox_child.py")
_BASE_BYTES = 2**29  # the interpreter, Pillow and the decoder's own tables
_BYTES_A_PIXEL = 48  # a few frames of 10-bit 4:4:4 with alpha inside the decoder, and RGBA twice
_MOST_NOTE_BYTES = 2**24
_OPENING_SECONDS, _FRAME_SECONDS = 60.0, 300.0


class ChildProcess:
    """A Python program in a separate process, with communication over its standard input and output.

    Args:
        program: path of the program.
        arguments: arguments of the program.
        name: file name for messages.
    """

    def __init__(self, program: Path, arguments: list[str], name: str) -> None:
        self.name, self.ended = name, False
        # few arenas: each reserves memory that counts even if empty
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"}
        # standard error goes to a file, since an unread pipe would block the process
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the child)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def send(self, data: bytes) -> None:
        """Write to its input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise self._failed() from error

    def take(self, count: int, seconds: float) -> bytearray:
        """`count` bytes of its output; the process is ended on a timeout."""
        out: IO[bytes] | None = self._process.stdout
        assert out is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            data = bytearray(count)
            view, filled = memoryview(data), 0
            while filled < count:
                got = out.readinto(view[filled:])  # type: ignore[attr-defined]
                if not got:
                    raise self._failed()
                filled += got
            return data
        finally:
            timer.cancel()

    def _failed(self) -> Exception:
        """The error that explains why it ended."""
        self.ended = True
        self._process.kill()
        self._process.wait()
        self._said.seek(max(0, self._said.seek(0, 2) - 400))
        said = self._said.read().decode("utf-8", "replace")
        why = printable(" ".join(said.split())[-160:]) or "its decoder crashed or took too long"
        if any(sign in said for sign in ("MemoryError", "OUT_OF_MEMORY", "Out of memory", "bad_alloc")):
            why = "it needs far more memory than a picture of its size"
        return damaged(self.name, f"cannot be decoded ({why})")

    def close(self) -> None:
        """End it."""
        self.ended = True
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # unsent data does not matter
        self._process.wait()


class Sandbox:
    """A child process for one file; metadata is read at once, frames are decoded by iterating, which works once.

    Args:
        kind: Pillow's name of the format, `AVIF` or `HEIF`.
        data: the file's content.
        name: file name for messages.
        pixels: number of pixels per frame declared by the file; memory is limited accordingly.
        max_pixels: largest frame to read.

    Raises:
        UserError: the file cannot be opened, or is larger than declared.

    Attributes:
        frames: number of frames.
        size: width and height in pixels.
        profile: an ICC profile, or empty.
        exif: EXIF data, used for the orientation, or empty.
        alpha: whether it has transparency.
    """

    def __init__(self, kind: str, data: bytes, name: str, pixels: int, max_pixels: int) -> None:
        self._name, self._max_pixels = name, max_pixels
        limit = _BASE_BYTES + _BYTES_A_PIXEL * pixels + 2 * len(data)
        self._child = ChildProcess(_CHILD, [kind, str(limit)], name)
        try:
            self._child.send(struct.pack("<Q", len(data)) + data)
            (size,) = struct.unpack("<I", self._child.take(4, _OPENING_SECONDS))
            note = json.loads(self._child.take(min(size, _MOST_NOTE_BYTES), _OPENING_SECONDS))
            self.frames, self.alpha = int(note["frames"]), bool(note["alpha"])
            self.size: tuple[int, int] = (int(note["size"][0]), int(note["size"][1]))
            self.profile, self.exif = (base64.b64decode(note[key]) for key in ("profile", "exif"))
            check_size(name, *self.size, max_pixels)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each frame, `h w 4` uint8 straight RGBA."""
        self._child.send(b"g")
        for _ in range(self.frames):
            width, height = struct.unpack("<II", self._child.take(8, _FRAME_SECONDS))
            if (width, height) != self.size:
                raise damaged(self._name, f"a frame is {width}x{height} and not {self.size[0]}x{self.size[1]}")
            pixels = np.frombuffer(self._child.take(4 * width * height, _FRAME_SECONDS), np.uint8)
            yield pixels.reshape(height, width, 4)

    def close(self) -> None:
        """End the child."""
        self._child.close()

"""Render Lottie and SVG in a separate process shared by all files; a crash on one does not affect the others."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glassine.data.alpha import unpremultiply
from glassine.data.codecs.guard import damaged
from glassine.data.codecs.lottie_content import LottieContent
from glassine.data.codecs.sandbox import ChildProcess
from glassine.utils.errors import UserError

_CHILD = Path(__file__).with_name("drawing_child.py")
_SECONDS = 300.0  # timeout where the system does not limit CPU time
_MOST_FILES = 1000  # rendered per process, since renderers leak a little


class _Server:
    """The rendering process of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset, for use in a forked process, since the pipes belong to its parent."""
        self.lock = threading.RLock()
        self.child: ChildProcess | None = None
        self.files = 0
        self.open: set[int] = set()

    def get(self, name: str) -> ChildProcess:
        """The running process, or a new one; `name` is the file name for messages."""
        if self.child is not None and self.files >= _MOST_FILES and not self.open:
            self.end()
        if self.child is None or self.child.ended:
            self.end()
            self.child = ChildProcess(_CHILD, [], name)
            self.files, self.open = 0, set()
        self.child.name = name
        return self.child

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """One request at a time; an answer that was not read completely must not be taken for the next one."""
        with self.lock:
            try:
                yield
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End the process; the next file starts another."""
        if self.child is not None:
            self.child.close()
        self.child = None


_server = _Server()
_numbers = itertools.count()
atexit.register(_server.end)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_server.forget)


class Animation:
    """A Lottie opened for rendering.

    Args:
        content: the checked animation.
        name: file name for messages.
        width: width of the output in pixels.
        height: height of the output in pixels.

    Raises:
        UserError: rlottie cannot read it, or crashes.
    """

    def __init__(self, content: LottieContent, name: str, width: int, height: int) -> None:
        self._content, self._name, self._size = content, name, (width, height)
        self._number = next(_numbers)
        self._child: ChildProcess | None = None
        with _server.talking():
            self._connected()

    def _connected(self) -> ChildProcess:
        """The process that has the animation open; reopened if another file ended the previous process."""
        child = _server.get(self._name)
        if child is not self._child:
            text = self._content.text.encode()
            frames = min(self._content.num_frames, 2**31)
            child.send(b"o" + struct.pack("<5I", self._number, len(text), frames, *self._size) + text)
            if child.take(1, _SECONDS) != b"\1":
                raise damaged(self._name, "rlottie cannot read the animation")
            self._child, _server.files = child, _server.files + 1
            _server.open.add(self._number)
        return child

    def draw(self, number: int) -> np.ndarray:
        """One frame, `h w 4` uint8 straight RGBA."""
        width, height = self._size
        with _server.talking():
            child = self._connected()
            child.send(b"d" + struct.pack("<2I", self._number, number))
            bgra = np.frombuffer(child.take(4 * width * height, _SECONDS), np.uint8).reshape(height, width, 4)
        return unpremultiply(bgra[..., [2, 1, 0, 3]])

    def close(self) -> None:
        """Free the renderer's memory."""
        with _server.lock, contextlib.suppress(UserError):  # a process that has ended in the meantime is fine
            if self._child is not None and self._child is _server.child and not self._child.ended:
                _server.open.discard(self._number)
                self._child.send(b"c" + struct.pack("<I", self._number))
        self._child = None


def draw_svg(text: str, name: str, width: int, height: int) -> bytes:
    """Render a checked SVG as PNG.

    Args:
        text: XML.
        name: file name for messages.
        width: in pixels; the longer side is exact, the other may be off by a pixel.
        height: in pixels.

    Raises:
        UserError: resvg cannot render it, or crashes.
    """
    data = text.encode()
    fonts = re.search(r"<(\w+:)?(text|tspan)\b", text) is not None  # loading fonts takes longer than rendering
    with _server.talking():
        child = _server.get(name)
        _server.files += 1
        child.send(b"s" + struct.pack("<4I", len(data), width, height, fonts) + data)
        (size,) = struct.unpack("<I", child.take(4, _SECONDS))
        return bytes(child.take(size, _SECONDS))

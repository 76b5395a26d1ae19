"""One writer at a time: two that write into one folder would lose each other's work."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from glassine.errors import UserError, output_error

LOCK_NAME = ".writing.lock"
_TRIES, _PAUSE = 10, 0.1  # seconds
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}

_HELD: list[IO[str]] = []


def _let_go_in_child() -> None:
    """A forked worker that outlives a killed parent must not hold the parent's lock."""
    while _HELD:
        _HELD.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def sole_writer(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes of glassine from writing into `folder` while the block runs.

    The system lets go of the lock when the process ends, however it does; the file `.writing.lock` is then taken over.
    On file systems without locks nothing is kept off.

    Args:
        folder: an existing folder.
        what: what is being written there, for the message: "these shards".

    Raises:
        UserError: another process is writing there; it says which.
    """
    path = folder / LOCK_NAME
    try:
        file = _locked(path)
        for _ in range(_TRIES):  # a worker that was forked at this moment lets go as soon as it runs
            if file is not None:
                break
            time.sleep(_PAUSE)
            file = _locked(path)
    except OSError as error:
        raise output_error(path, error) from error
    if file is None:
        raise UserError(
            f"{folder} must have one writer of {what} at a time, and {_owner(path)} is writing there: wait for it to "
            "end, or choose another folder"
        )
    _HELD.append(file)
    try:
        yield
    finally:
        if file in _HELD:
            _HELD.remove(file)
        with contextlib.suppress(OSError):
            if os.name != "nt":  # there an open file cannot be removed
                path.unlink()
        file.close()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                path.unlink()


def _locked(path: Path) -> IO[str] | None:
    """The lock's file, open and locked; None where another process holds it."""
    while True:
        file = path.open("a+", encoding="utf-8")
        if not _try_lock(file):
            file.close()
            return None
        try:
            same = os.fstat(file.fileno()).st_ino == path.stat().st_ino
        except OSError:
            same = False
        if same:
            break
        file.close()  # the one before removed it between opening and locking
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _try_lock(file: IO[str]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(4096)  # beyond the text, which others read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _BUSY
    return True


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()[:200] or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"

"""Atomic writes (write to a temporary path, then rename), one-writer folder locks, and reads that never block.

A pipe or device that the user passes as a file could block, or be read, forever; the readers here reject it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from glassine.utils.errors import OUTPUT_ERRORS, UserError, output_error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def keep_input(source: Path, *targets: Path | None) -> None:
    """Raise UserError if a result would overwrite the input, even under another name."""
    for target in targets:
        if target is None:
            continue
        same = target.resolve() == source.resolve()
        with contextlib.suppress(OSError):
            same |= source.samefile(target) and source.is_file()
        if same:
            raise UserError(f"{target} must not be the input file, which would be overwritten: choose another")


_HIDDEN: dict[str, list[str]] = {}
"""Names of hidden files in folders that were written to, as found on the first visit."""


_MADE: deque[Path] = deque(maxlen=10_000)
"""Temporary paths this process handed out last; most have become results since."""


def temporary_path(folder: Path, stem: str, suffix: str) -> Path:
    """A hidden path in `folder` whose name encodes the writing process and machine; see `remove_leftovers`."""
    path = folder / f".{_short(stem)}.{_host()}-{os.getpid():x}-{secrets.token_hex(4)}{suffix}"
    _MADE.append(path)
    return path


def remove_temporary() -> None:
    """Remove this process's unfinished files: a signal may arrive between creating a file and the `try` around it."""
    while _MADE:
        _remove(_MADE.pop())


def remove_leftovers(folder: Path, stem: str, suffix: str) -> None:
    """Remove what a killed process left next to the same target: a process of this machine, or files older than a day.

    A folder is scanned once per process, since it may contain a hundred thousand results.
    """
    pattern = re.compile(
        rf"\.{re.escape(_short(stem))}\.(?P<host>[0-9a-f]{{8}})-(?P<process>[0-9a-f]+)-[0-9a-f]{{8}}{re.escape(suffix)}"
    )
    place = os.path.realpath(folder)
    if place not in _HIDDEN:
        if len(_HIDDEN) > 1000:
            _HIDDEN.clear()
        with contextlib.suppress(OSError):
            _HIDDEN[place] = [entry.name for entry in os.scandir(place) if entry.name.startswith(".")]
    for name in _HIDDEN.get(place, []):
        found = pattern.fullmatch(name)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            path = Path(place, name)
            ended = found["host"] == _host() and not _runs(int(found["process"], 16))
            if ended or time.time() - path.lstat().st_mtime > 24 * 3600:
                _remove(path)


def _short(stem: str) -> str:
    """A name truncated so that the temporary name stays within the file system's limit."""
    return os.fsencode(stem)[:120].decode(errors="ignore")


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _runs(process: int) -> bool:
    if os.name == "nt":  # on Windows signal 0 is Ctrl-C: leftovers are removed by age only
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder with the same suffix; it becomes `path` when the block succeeds.

    The block may create a file or folder at that path. If the block raises, whatever it created is removed and an
    existing `path` stays unchanged; an `OSError` about the temporary path becomes a `UserError`. A file replaces a
    file; a folder only replaces an empty folder. Leftovers of killed processes are removed.

    Raises:
        UserError: the folder is missing or not writable, the disk is full, or `path` is a non-empty folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}; create it or choose another one")
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"cannot write {path}: it is a non-empty folder; remove it or choose another name")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: {OUTPUT_ERRORS[errno.EACCES]}")
    remove_leftovers(path.parent, path.stem, path.suffix)
    temporary = temporary_path(path.parent, path.stem, path.suffix)
    try:
        yield temporary
        if path.is_dir() and not temporary.is_dir():
            path.rmdir()
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        ours = not error.filename or str(temporary) in str(error.filename)
        if error.errno is None or not ours:
            raise
        raise output_error(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


LOCK_NAME = ".writing.lock"
_TRIES, _PAUSE = 10, 0.1  # seconds
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}

_HELD: list[IO[str]] = []


def _let_go_in_child() -> None:
    """Release the parent's lock in forked workers, which may outlive a killed parent."""
    while _HELD:
        _HELD.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def sole_writer(folder: Path, what: str) -> Iterator[None]:
    """Keep other glassine processes from writing to `folder` while the block runs.

    The operating system releases the lock when the process ends, in whatever way; the file `.writing.lock` is then
    reused. On file systems without locks there is no protection.

    Args:
        folder: an existing folder.
        what: what is being written, for the error message: "these shards".

    Raises:
        UserError: another process is writing there; the message names it.
    """
    path = folder / LOCK_NAME
    try:
        file = _locked(path)
        for _ in range(_TRIES):  # a worker forked at this moment releases the lock as soon as it runs
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
            if os.name != "nt":  # open files cannot be removed on Windows
                path.unlink()
        file.close()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                path.unlink()


def _locked(path: Path) -> IO[str] | None:
    """The lock's file, open and locked; None if another process holds it."""
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
        file.close()  # the previous owner removed it between opening and locking
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _try_lock(file: IO[str]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(4096)  # beyond the text, which other processes read
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


def open_plain(path: Path) -> BinaryIO:
    """`path.open("rb")` for a regular file.

    Raises:
        OSError: as `open` does; with `EINVAL` if it is a pipe, socket or device, without blocking.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it; Path has no opener)
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it must be a regular file, got a pipe or a device: save it first")
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: Path) -> bytes:
    """`path.read_bytes()` with the error handling of `open_plain`."""
    with open_plain(path) as file:
        return file.read()


def read_plain_text(path: Path, encoding: str = "utf-8") -> str:
    """`path.read_text()` with the error handling of `open_plain`; line endings are normalized to newlines."""
    return read_plain(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _without_waiting(path: str, flags: int) -> int:
    """Open without blocking: opening a pipe otherwise waits for its writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

"""Files read from or written to a pipe: `-`, `/dev/stdin`, `<(...)`, FIFOs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from glassine.data.codecs.guard import printable
from glassine.data.codecs.still import HEAD_BYTES, sniff
from glassine.utils.errors import UserError

STANDARD = "-"
MAX_PIPE_BYTES = 2**32
"""Maximum number of bytes read from a pipe: 4 GiB. They are buffered in a temporary file, since readers seek."""

_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/", "/dev/stdout", "/dev/stderr")
_PIECE_BYTES = 2**20


def is_pipe(path: Path) -> bool:
    """Whether `path` is standard input or output, or anything else that is neither a file nor a folder."""
    return str(path) == STANDARD or (path.exists() and not path.is_file() and not path.is_dir())


def is_open_already(path: Path) -> bool:
    """Whether to write into `path` rather than replace it: a pipe, or a name of an open file."""
    return is_pipe(path) or str(path).startswith(_DESCRIPTORS)


def shown_name(path: Path) -> str:
    """The name of an input for one-line messages."""
    return "standard input" if str(path) == STANDARD else printable(path.name)


def spooled(path: Path) -> tuple[BinaryIO, str]:
    """All bytes of a pipe in a temporary file, which is deleted when closed, and its name for messages.

    The format is detected from the first bytes, so an endless pipe of something else is rejected at once.

    Raises:
        UserError: a terminal, an unreadable input, or more than `MAX_PIPE_BYTES`.
    """
    if str(path) != STANDARD:
        with path.open("rb") as file:
            return _spool(file, printable(str(path)))
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("standard input: is a terminal; pipe a file into it, or name one")
    return _spool(sys.stdin.buffer, "standard input")


def _spool(source: BinaryIO, name: str) -> tuple[BinaryIO, str]:
    head = b""
    while len(head) < HEAD_BYTES and (more := source.read(HEAD_BYTES - len(head))):
        head += more
    sniff(head, name)
    kept = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (the reader closes it)
    try:
        kept.write(head)
        count = len(head)
        while piece := source.read(_PIECE_BYTES):
            count += len(piece)
            if count > MAX_PIPE_BYTES:
                raise UserError(
                    f"{name}: a pipe must hold at most {MAX_PIPE_BYTES:,} bytes, got more: save it as a file"
                )
            kept.write(piece)
        kept.seek(0)
    except BaseException:
        kept.close()
        raise
    return kept, name


@contextlib.contextmanager
def output_path(path: Path, kind: str) -> Iterator[Path]:
    """The file to write for an output that may be a pipe: `path` itself, or a temporary one that is copied into it.

    Inside the block, prints go to standard error, so that nothing else is written to standard output.

    Args:
        path: output path.
        kind: the format in a pipe, as a suffix without its dot.

    Raises:
        UserError: standard output is a terminal, or the reader of the pipe has ended.
    """
    if not is_open_already(path):
        yield path
        return
    name = "standard output" if str(path) == STANDARD else str(path)
    if str(path) == STANDARD and sys.stdout.isatty():
        raise UserError("standard output: is a terminal; send it to a file or a program, for instance '> out.webp'")
    out = sys.stdout.buffer if str(path) == STANDARD else path.open("wb")
    with tempfile.TemporaryDirectory(prefix="glassine-") as folder:
        file = Path(folder) / f"out.{kind}"
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield file
        except UserError as error:
            raise UserError(str(error).replace(str(file), name)) from error
        try:
            with file.open("rb") as made:
                shutil.copyfileobj(made, out, _PIECE_BYTES)
            out.flush()
            if out is not sys.stdout.buffer:
                out.close()
        except BrokenPipeError as error:
            # buffered output must not be written at exit: see Python's manual, module signal
            if str(path) == STANDARD:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise UserError(f"cannot write {name}: the program that reads it has ended") from error

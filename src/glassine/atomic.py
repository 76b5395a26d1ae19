"""Write beside, then rename: nobody ever sees a half-written file."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from glassine.errors import OUTPUT_ERRORS, UserError, output_error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder and with the same suffix; it becomes `path` when the block succeeds.

    The block may make a file or a folder of that name. When the block raises, what it made is removed and an existing
    `path` stays as it was; an `OSError` about the temporary path becomes a `UserError`. A file replaces a file; a
    folder replaces nothing but an empty folder.

    Raises:
        UserError: the folder is missing or not writable, the disk is full, or `path` is a folder with content.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it or choose another one")
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"cannot write {path}: it is a folder with content; remove it or choose another name")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: {OUTPUT_ERRORS[errno.EACCES]}")
    temporary = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}{path.suffix}")
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

"""The exception for user errors, and how commands handle it."""

import errno
import os
import sys
from collections.abc import Callable

from glassine.utils.signals import TERMINATED, Terminated


class UserError(Exception):
    """Invalid input from the user.

    The message is one line: what is wrong, what is allowed, what to do. The command line prints it without a traceback
    and exits with code 2; library callers may catch it.
    """


OUTPUT_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EFBIG: "the file grew past the allowed size; free some space or raise the limit",
    errno.EACCES: "the folder is not writable; choose another one or change its permissions",
    errno.EPERM: "the folder is not writable; choose another one or change its permissions",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
    errno.ENOTDIR: "one of its folders is a file; choose another folder",
    errno.EEXIST: "a file of this name already exists; choose another name",
    errno.EISDIR: "a folder of this name already exists; choose another name",
}


JOINERS = "\u200c\u200d"  # used in emoji and some scripts


def printable(text: str) -> str:
    """Untrusted text made safe for one terminal line: control characters are escaped."""
    return "".join(
        letter if letter.isprintable() or letter in JOINERS else letter.encode("unicode_escape").decode()
        for letter in text[:2000]
    )


def output_error(path: object, error: OSError) -> UserError:
    """The error for a `path` that cannot be written."""
    reason = OUTPUT_ERRORS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
    return UserError(f"cannot write {path}: {reason}")


EXTRAS = {
    "fastapi": "app",
    "python_multipart": "app",
    "uvicorn": "app",
    "decord": "benchmark",
    "kornia": "train",
    "lightning": "train",
    "matplotlib": "benchmark",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "oxipng": "pack",
    "pi_heif": "heif",
    "resvg_py": "svg",
    "rlottie_python": "lottie",
    "tensorboard": "train",
    "torchmetrics": "train",
}
"""Packages that only some commands need, and the glassine extra that installs each."""


def missing_package(error: ModuleNotFoundError, purpose: str = "this command") -> UserError | None:
    """The error for a missing package of an extra; None if `error` is about another package."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return UserError(f"{purpose} needs {package}, which is not installed: pip install 'glassine[{EXTRAS[package]}]'")


def exit_code(work: Callable[[], object]) -> int:
    """Run `work` for a command line.

    Returns:
        0; 2 after a user error, which it prints; 130 after an interrupt and 143 after SIGTERM.
    """
    try:
        work()
    except UserError as error:
        # errors from data loader workers are prefixed with their traceback
        print(f"glassine: {printable(str(error).rpartition('UserError: ')[2].strip())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (missing := missing_package(error)) is None:
            raise
        print(f"glassine: {missing}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        print(f"glassine: {output_error(error.filename or 'the output', error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        from glassine.utils.files import remove_temporary  # it imports this module

        remove_temporary()
        print("glassine: stopped", file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else 130
    return 0

"""Errors with a status code, and the reply that a client gets for any error."""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

from glassine.utils.errors import OUTPUT_ERRORS, UserError, missing_package, printable

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class AppError(UserError):
    """A user error with the HTTP status code that says the same."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CanceledError(Exception):
    """Raised inside a job whose user no longer wants it."""


@dataclass(frozen=True)
class ErrorReply:
    """Status code, one line of text, and the single problems if there are several."""

    status: int
    text: str
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The body of the response."""
        return {"error": self.text, **({"problems": self.problems} if self.problems else {})}


def error_reply(error: Exception) -> ErrorReply:
    """The reply for an error. A bug is written to standard error, and the reply says that it is one."""
    if isinstance(error, AppError):
        return ErrorReply(error.status, printable(str(error)))
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in FULL:  # its text names a path of this machine
        error = cause
    if isinstance(error, UserError):
        problems = [printable(problem) for problem in getattr(error, "problems", ())]
        return ErrorReply(400, printable(str(error)), problems)
    if isinstance(error, OSError) and error.errno in OUTPUT_ERRORS:
        status = 507 if error.errno in FULL else 500
        return ErrorReply(status, f"the result could not be written: {OUTPUT_ERRORS[error.errno]}")
    if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)) is not None:
        return ErrorReply(501, str(missing))
    if isinstance(error, MemoryError):
        return ErrorReply(413, "the picture does not fit in memory: scale it down first")
    traceback.print_exception(error, file=sys.stderr)
    return ErrorReply(500, f"glassine failed ({type(error).__name__}); its terminal shows where: please report it")

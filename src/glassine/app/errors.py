"""Errors with a status code, and how any error is told to a client."""

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
class Told:
    """What a client is told: status code, one line, and single problems where there are several."""

    status: int
    text: str
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The body of the response."""
        return {"error": self.text, **({"problems": self.problems} if self.problems else {})}


def told(error: Exception) -> Told:
    """Status code and text of an error. Bugs are written to standard error, and the client is told that they are."""
    if isinstance(error, AppError):
        return Told(error.status, printable(str(error)))
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in FULL:  # its text names a path of this machine
        error = cause
    if isinstance(error, UserError):
        problems = [printable(problem) for problem in getattr(error, "problems", ())]
        return Told(400, printable(str(error)), problems)
    if isinstance(error, OSError) and error.errno in OUTPUT_ERRORS:
        status = 507 if error.errno in FULL else 500
        return Told(status, f"the result could not be written: {OUTPUT_ERRORS[error.errno]}")
    if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)) is not None:
        return Told(501, str(missing))
    if isinstance(error, MemoryError):
        return Told(413, "the picture does not fit in memory: scale it down first")
    traceback.print_exception(error, file=sys.stderr)
    return Told(500, f"glassine failed ({type(error).__name__}); its terminal shows where: please report it")

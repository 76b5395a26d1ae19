"""The one exception that speaks to the user, and what a command does with it."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what came, what is allowed, what to do. The command line prints it without a traceback
    and ends with exit code 2; library callers may catch it.
    """


def exit_code(work: Callable[[], object]) -> int:
    """Do `work` for a command line: 0, 2 after a UserError, which it prints, and 130 after an interrupt."""
    try:
        work()
    except UserError as error:
        print(f"glassine: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("glassine: stopped", file=sys.stderr)
        return 130
    return 0

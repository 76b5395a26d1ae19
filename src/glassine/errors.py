"""The one exception that speaks to the user."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what came, what is allowed, what to do. The command line prints it without a traceback
    and ends with exit code 2; library callers may catch it.
    """

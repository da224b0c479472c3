"""The one exception of the suite."""


class FerError(Exception):
    """Something the person at the keyboard can fix: says what, where, what was found and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, for a message of one line; its type where it has no text."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

"""The one exception of the suite."""


class FerError(Exception):
    """Something the person at the keyboard can fix: says what, where, what was found and what to do."""


def first_line(error: BaseException) -> str:
    """The first line with text of a foreign error, for a message of one line; its type where it has none."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)

"""The one exception of the suite."""


class FerError(Exception):
    """Something the person at the keyboard can fix: says what, where, what was found and what to do."""

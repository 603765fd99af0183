"""The one exception that the command turns into a line of text and a non-zero exit status.

Place: raised anywhere in `cli/`, rendered in `cli/main.py`. It never crosses a process.
"""


class Failure(Exception):
    """Something the operator must know or change; the text says what."""

"""What is wrong with a file, and where.

Place in the path: inside the app builder; made by `tree` and `syntax`, told to a chat model that
wrote the file, or to nobody when there are none.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. Lines and columns count from one; 0 is the file as a whole."""

    path: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.path}{place}: {self.message}"

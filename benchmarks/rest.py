"""Rest: what one measurement leaves behind does not weigh on the next.

After a hundred thousand requests their rows are on the way to PostgreSQL for a while, and a new
cluster still compiles and loads. Each group of rows begins when the machine does little.
"""

import time

import psutil

BUSY = 30.0
"""Percent of all cores; a cluster that nobody calls takes half of it."""
LOOK_S = 2.0
LOOKS = 3
"""In a row."""
LONGEST_S = 90.0


def rest() -> None:
    """Return when the machine is at rest, or will not come to it."""
    deadline, calm = time.monotonic() + LONGEST_S, 0
    while calm < LOOKS and time.monotonic() < deadline:
        calm = calm + 1 if psutil.cpu_percent(LOOK_S) < BUSY else 0

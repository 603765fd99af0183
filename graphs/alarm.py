"""An alarm: an event whose waiter can be woken without it being set.

Place in the path: under `graphs.durable`. DBOS's workers look for jobs, then wait on their event,
which is set to stop them, until the next look is due; ringing makes them look at once. It knows no
jobs.
"""

import threading
import time

LEAST_S = 0.02
"""Between two looks, however often it rings: each costs the database some statements."""


class Alarm(threading.Event):
    """For one waiter."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()
        self._woken_at = 0.0

    def ring(self) -> None:
        """End the wait under way, or the next one."""
        self._rung.set()

    def set(self) -> None:
        """Stop: as an event's own, and end the wait."""
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Until it rings, is set, or `timeout` seconds have passed; whether it is set."""
        if not self.is_set():
            self._rung.wait(timeout)
            super().wait(max(0.0, self._woken_at + LEAST_S - time.monotonic()))
            self._rung.clear()
            self._woken_at = time.monotonic()
        return self.is_set()

"""How many messages a client may send: a bucket that fills with time.

Place in the path: before a message is read. Serve keeps what a client sends until we take it, so a
flood has to be ended, not waited out.
"""

from collections.abc import Callable

BURST_S = 30.0


class Pace:
    """One connection's.

    Args:
        per_s: messages a second, for long; `BURST_S` times as many may come at once.
    """

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._room = per_s * BURST_S
        self._at = clock()

    def take(self) -> bool:
        """Whether there is room for one more message."""
        now = self._clock()
        self._room = min(self._per_s * BURST_S, self._room + (now - self._at) * self._per_s)
        self._at = now
        self._room -= 1
        return self._room >= 0

"""Pace: how fast a model has worked lately, and so how long a queue will take.

Place in the path: inside step 4, told of each call that ended. It knows no queue; whoever has one
asks it.
"""

WEIGHT = 1 / 16
"""Of the newest call, in the exponentially weighted means."""


class Pace:
    """Means over calls of one model: their estimated work, and the seconds that they ran."""

    def __init__(self) -> None:
        self._work = 0.0
        self._seconds = 0.0

    def saw(self, work: int, seconds: float) -> None:
        """A call of so much estimated work ended after so many seconds.

        Estimates are what is known of those who wait, so it is them that are measured.
        """
        if not self._seconds:
            self._work, self._seconds = work, seconds
        self._work += WEIGHT * (work - self._work)
        self._seconds += WEIGHT * (seconds - self._seconds)

    def wait_s(self, ahead: int, at_once: int) -> float | None:
        """How long until a place is free after `ahead` work; None before anything was measured.

        A model that does `at_once` calls at a time frees a place every `seconds / at_once`
        (Little's law), and does `at_once * work / seconds` work a second.
        """
        if not self._seconds:
            return None
        return (1 + ahead / max(1.0, self._work)) * self._seconds / at_once

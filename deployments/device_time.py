"""Device time: how long an engine worked for each call, shared where calls run together.

Place in the path: step 4, inside a model's replica, around the engine's own work: not around
waiting for it. While several calls are in the engine at once, each moment is divided among them, so
that the sum over calls is what the engine was busy. Safe to use from worker threads. It knows
neither prices nor limits.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.model import CallContext


class _Share:
    """One call in the engine, and how much of it is this call's: pictures of a batch, say."""

    __slots__ = ("call", "weight")

    def __init__(self, call: CallContext) -> None:
        self.call = call
        self.weight = 0.0


class DeviceTime:
    """Keeps `call.device_s` of every call in one engine.

    Args:
        devices: that work while the engine does; a moment of two is two moments.
        clock: seconds.
    """

    def __init__(self, devices: int = 1, clock: Callable[[], float] = time.perf_counter) -> None:
        self._devices = devices
        self._clock = clock
        self._shares: dict[int, _Share] = {}
        self._weight = 0.0
        self._since = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def busy(self, *calls: CallContext) -> Iterator[None]:
        """The engine works for `calls` inside this block. One that is named twice bears double."""
        self.begin(*calls)
        try:
            yield
        finally:
            self.leave(*calls)

    def begin(self, *calls: CallContext, weight: float = 1.0) -> None:
        """The engine works for `calls` too from now on; each bears `weight` of each moment.

        All at one moment: company that begins together is charged alike.
        """
        with self._lock:
            self._divide()
            for call in calls:
                share = self._shares.setdefault(id(call), _Share(call))
                share.weight += weight
                self._weight += weight

    def leave(self, *calls: CallContext) -> None:
        """It works for `calls` no longer, at one moment; nothing for one that it did not."""
        with self._lock:
            self._divide()
            for call in calls:
                share = self._shares.pop(id(call), None)
                if share is not None:
                    self._weight -= share.weight

    def tick(self) -> None:
        """Bring the calls up to date: one that is cut short is billed to here."""
        with self._lock:
            self._divide()

    def _divide(self) -> None:
        """What has passed since the last time, among those who are there."""
        now = self._clock()
        if self._shares:
            each = (now - self._since) * self._devices / self._weight
            for share in self._shares.values():
                share.call.device_s += each * share.weight
        self._since = now

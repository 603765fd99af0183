"""Promises: what a run of several calls holds of its budgets for those that it has yet to make.

Place in the path: before step 3, when a run of a workflow is begun. The whole estimate is held in
every budget (windows of a day or more, and money) in one atomic step, or refused. Each call is then
admitted like any other, in the same step that takes its share out of the promise
(`Ask.promise`), so it is counted once. What is left when a step, or the run, has ended is given
back. Rates are not held: they open again. It knows neither workflows nor models.

A promise is no request: it writes no usage event. One that nobody ends lapses.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from auth.admission import Refused, counted_as
from auth.pipeline import Argument, Pipeline
from auth.plans import ScopedWindows
from auth.prices import UnitPrices
from auth.scripts import Script
from auth.valkey import Shape, blocking, states_of
from core.work import WorkUnits

PROMISE = Script("meters", "promises", "promise")
UNPROMISE = Script("meters", "promises", "unpromise")
LAPSE = Script("meters", "promises", "lapse")
LAPSE_BATCH = 100


@dataclass(frozen=True, slots=True)
class PromisedStep:
    """Calls of one model.

    Args:
        calls: how many; at least one.
        units: the most that all of them take.
    """

    name: str
    calls: int
    units: WorkUnits
    prices: UnitPrices

    @property
    def one(self) -> WorkUnits:
        """What is held for each of them."""
        units = self.units.nonzero().items()
        return WorkUnits(**{name: -(-count // self.calls) for name, count in units})


class Promises(Protocol):
    """What a promise needs of its store. Every method raises StoreUnavailable."""

    async def promise(
        self, name: str, scopes: ScopedWindows, steps: Sequence[PromisedStep], lasts_s: float
    ) -> Refused | None:
        """Hold room for all calls of a run; or say which budget has none. Twice is once."""

    async def forget(self, name: str, step: str) -> None:
        """Give back what is held for calls of a step that are not made any more."""

    async def end(self, name: str) -> None:
        """Give back everything that is still held."""


class ValkeyPromises:
    """`Promises` beside `auth.valkey.ValkeyAdmission`, in the same windows.

    Args:
        store: connection to Valkey.
        prefix: begins every key.
    """

    def __init__(self, store: Pipeline, prefix: str = "carillon") -> None:
        self._store = store
        self._prefix = prefix
        self._all = f"{prefix}:promises"

    async def promise(
        self, name: str, scopes: ScopedWindows, steps: Sequence[PromisedStep], lasts_s: float
    ) -> Refused | None:
        """Hold room for all calls of a run; or say which budget has none. Twice is once.

        Args:
            lasts_s: when it lapses, if nobody ends it.
        """
        shapes = [(scope, Shape(windows, time.time())) for scope, windows in scopes]
        arguments: list[Argument] = [
            self._prefix,
            name,
            int(lasts_s * 1000),
            orjson.dumps([_written(step) for step in steps]),
        ]
        for scope, shape in shapes:
            arguments += (counted_as(scope), shape.encoded)
        verdict, now_ms, full, *used = await PROMISE.run(
            self._store, (self._key(name), self._all), arguments
        )
        if verdict != b"refused":
            return None
        windows = states_of(shapes, used, now_ms)
        return Refused(windows, *blocking([(windows[n - 1], amount) for n, amount in full]))

    async def forget(self, name: str, step: str) -> None:
        """Give back what is held for calls of a step that are not made any more."""
        await UNPROMISE.run(self._store, (self._key(name), self._all), (name, step))

    async def end(self, name: str) -> None:
        """Give back everything that is still held."""
        await UNPROMISE.run(self._store, (self._key(name), self._all), (name, ""))

    async def sweep(self) -> None:
        """End what has lapsed."""
        while await LAPSE.run(self._store, (self._all,), (self._prefix, LAPSE_BATCH)):
            pass

    def _key(self, name: str) -> str:
        return f"{self._prefix}:promise:{name}"


def _written(step: PromisedStep) -> tuple[object, ...]:
    prices = dict(step.prices)
    part = orjson.dumps([step.one.nonzero(), prices]).decode()
    return step.name, step.calls, step.units.nonzero(), prices, part

"""Batches: texts, pictures or videos that can be made together, made together.

Place in the path: step 4, between a model's verbs and its one worker thread. Whoever waits longest
says what kind of batch comes next; others of that kind join until it is full. A batch waits for
company only if there was some lately: a caller who is alone never waits. A job whose caller went
away leaves the queue; a batch in which nobody waits any longer is stopped at its next step. What a
job is, the worker knows.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
J = TypeVar("J")
R = TypeVar("R")


class Stopped(Exception):
    """Nobody waits for this batch any longer. Raised by `Batch.checkpoint`, ended in `Batcher`."""


@dataclass(eq=False)
class Entry(Generic[K, J, R]):
    """One job in the queue."""

    kind: K
    job: J
    caller: Hashable
    result: asyncio.Future[R]
    gone: threading.Event = field(default_factory=threading.Event)


class Batch(Generic[K, J, R]):
    """Jobs of one kind, as the worker sees them."""

    def __init__(self, entries: Sequence[Entry[K, J, R]]) -> None:
        self._entries = entries
        self.kind = entries[0].kind
        self.jobs = [entry.job for entry in entries]

    def checkpoint(self) -> None:
        """Called by the worker between steps. Raises Stopped."""
        if all(entry.gone.is_set() for entry in self._entries):
            raise Stopped

    def waits(self, index: int) -> bool:
        """Whether somebody still waits for the job at `index`."""
        return not self._entries[index].gone.is_set()


class Batcher(Generic[K, J, R]):
    """A queue in front of `work`, which runs in a thread of its own, one batch at a time.

    Args:
        work: blocking; results in the order of `batch.jobs`.
        most: jobs in a batch.
        wait_s: how long a batch that is not full waits for more, where callers share batches.
    """

    def __init__(
        self, work: Callable[[Batch[K, J, R]], Sequence[R]], most: int, wait_s: float
    ) -> None:
        self._work = work
        self._most = most
        self._wait_s = wait_s
        self._queue: deque[Entry[K, J, R]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "batch")
        self._company = False
        """Whether the last batch had several callers, or another came while it was made."""

    async def submit(self, kind: K, job: J, caller: Hashable) -> R:
        """The result for `job`. Cancelling whoever awaits it takes the job back.

        Args:
            caller: whose job it is: a request's jobs are no company for each other.
        """
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        entry: Entry[K, J, R] = Entry(kind, job, caller, result)
        self._queue.append(entry)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.ensure_future(self._run())
        try:
            return await entry.result
        finally:
            entry.gone.set()

    async def _run(self) -> None:
        """Batch after batch, until the queue is empty."""
        while self._queue:
            if self._company and self._count(self._queue[0].kind) < self._most:
                await asyncio.sleep(self._wait_s)
            entries = self._take()
            if entries:
                await self._finish(entries)
                self._company = _callers(entries) > 1 or bool(self._queue)

    def _count(self, kind: K) -> int:
        return sum(entry.kind == kind for entry in self._queue)

    def _take(self) -> list[Entry[K, J, R]]:
        """The oldest picture that somebody waits for, and others of its kind."""
        waiting = [entry for entry in self._queue if not entry.gone.is_set()]
        chosen = [entry for entry in waiting if entry.kind == waiting[0].kind][: self._most]
        self._queue = deque(entry for entry in waiting if entry not in chosen)
        return chosen

    async def _finish(self, entries: list[Entry[K, J, R]]) -> None:
        try:
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._thread, self._work, Batch(entries))
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait are told
            for entry in entries:
                if not entry.result.done():
                    entry.result.set_exception(error)
            return
        for entry, result in zip(entries, results, strict=True):
            if not entry.result.done():
                entry.result.set_result(result)


def _callers(entries: Sequence[Entry[K, J, R]]) -> int:
    return len({entry.caller for entry in entries})

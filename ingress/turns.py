"""Turns: calls beyond what a model does at once wait here, and tenants take turns.

Place in the path: step 4, before the call of the deployment. Serve queues calls in the order in
which they came, so one tenant's burst would be everybody's wait. Here a call passes at once while
the model has room, which costs two additions; otherwise it waits in `ingress.fair_queue`, bounded
by the deployment's `max_queued_requests`. It calls no models.

Counted are the calls of this process. Each gateway offers a model all that it can take, so that
none of it idles when traffic is uneven; what several offer together waits in Serve's queue.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from auth.principal import Principal
from core.model import ModelCard
from core.work import WorkUnits
from ingress.call import Call
from ingress.fair_queue import Entry, FairQueue
from ingress.pace import Pace
from ingress.readiness import Intake, Readiness

UNBOUNDED = sys.maxsize
MS_PER_S = 1000


class Outlook(NamedTuple):
    """What a call would meet: its position in the queue, 0 for none, and its wait, if known."""

    position: int
    wait_s: float | None


NO_WAIT = Outlook(0, 0.0)


class Watch(Protocol):
    """Who is told about waits. See `ingress.telemetry`."""

    def waiting(self, model: str, count: int) -> None: ...
    def waited(self, model: str, wait_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Room:
    """What a model takes: calls at once, and calls that wait."""

    at_once: int = UNBOUNDED
    waiting: int = UNBOUNDED


class Turn:
    """One call's place at its model. Leaving the `with` block gives it up, waiting or not."""

    __slots__ = ("_began", "_entry", "_line", "_news", "expected", "is_given", "outlook", "units")

    def __init__(self, line: "Line", expected: WorkUnits) -> None:
        self._line = line
        self._entry: Entry[Turn] | None = None
        self._news: asyncio.Future[None] | None = None
        self._began = 0.0
        """When it began to wait, and later when it began to run."""
        self.expected = expected
        self.is_given = False
        self.outlook = NO_WAIT
        self.units: WorkUnits | None = None
        """Work done; None until it is known."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Give the place up, before the block ends if need be."""
        if self.is_given:
            self.is_given = False
            self._line.leave(self)
        elif self._entry is not None:
            self._line.withdraw(self._entry)

    async def come(self) -> bool:
        """Wait. False when the queue is full, and others have more right to it."""
        if self._news is not None:
            # Whoever loses patience may come again: the news must outlive one waiting.
            await asyncio.shield(self._news)
        return self.is_given

    def give(self) -> None:
        """The model has room for it now."""
        self.is_given = True
        self.begin()
        self.tell()

    def begin(self) -> None:
        """From here on it is counted how long it runs: not while its model wakes up."""
        self._began = time.perf_counter()

    def queue(self, entry: "Entry[Turn]", outlook: Outlook) -> None:
        """It waits, as `entry`."""
        self._entry, self.outlook = entry, outlook
        self._news = asyncio.get_running_loop().create_future()
        self.begin()

    def tell(self) -> None:
        """Wake who waits for it."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    @property
    def entry(self) -> "Entry[Turn] | None":
        """How it waited, if it did."""
        return self._entry

    @property
    def seconds(self) -> float:
        """How long it has run, or waited."""
        return time.perf_counter() - self._began


class Line:
    """The calls of one model: those that run, and those that wait."""

    def __init__(self, model: str, room: Room, watch: Watch) -> None:
        self._model = model
        self._watch = watch
        self._running = 0
        self._queue: FairQueue[Turn] = FairQueue()
        self._contended = False
        """Whether anybody has waited since there was room for everybody."""
        self._pace = Pace()
        self.room = room

    def start(self, expected: WorkUnits) -> Turn | None:
        """A turn at once, if there is room. Then nobody waits: `advance` would have let them."""
        if self._running >= self.room.at_once:
            return None
        self._running += 1
        turn = Turn(self, expected)
        turn.is_given = True
        turn.begin()
        return turn

    def wait(self, tenant: str, weight: int, expected: WorkUnits) -> Turn:
        """A turn that waits, or has been refused."""
        turn = Turn(self, expected)
        if self._make_room(tenant, weight):
            outlook = self.outlook(tenant, weight)
            turn.queue(self._queue.push(turn, tenant, weight, expected.amount), outlook)
            self._contended = True
            self._watch.waiting(self._model, len(self._queue))
        return turn

    def leave(self, turn: Turn) -> None:
        """A call that ran has ended: the next one can come."""
        self._running -= 1
        if turn.units is not None:
            self._pace.saw(turn.expected.amount, turn.seconds)
            if turn.entry is not None:
                self._queue.correct(turn.entry, turn.units.amount)
        if self._contended:
            self.advance()

    def withdraw(self, entry: Entry[Turn]) -> None:
        """A call that waited will not come."""
        self._queue.remove(entry)
        self._watch.waiting(self._model, len(self._queue))
        self.advance()

    def advance(self) -> None:
        """Give turns while there is room."""
        while self._queue and self._running < self.room.at_once:
            self._running += 1
            turn = self._queue.pop().item
            self._watch.waited(self._model, int(turn.seconds * MS_PER_S))
            self._watch.waiting(self._model, len(self._queue))
            turn.give()
        if not self._queue and self._running < self.room.at_once:
            self._contended = False
            self._queue.forget()

    def outlook(self, tenant: str, weight: int) -> Outlook:
        """What the next call of `tenant` would meet."""
        if self._running < self.room.at_once:
            return NO_WAIT
        place = self._queue.place(tenant, weight)
        return Outlook(place.position, self._pace.wait_s(place.ahead, self.room.at_once))

    def _make_room(self, tenant: str, weight: int) -> bool:
        """Whether one more may wait, if need be in place of somebody else."""
        if len(self._queue) < self.room.waiting:
            return True
        loser = self._queue.crowded_out(tenant, weight)
        if loser is None:
            return False
        self._queue.remove(loser)
        loser.item.tell()
        return True


class Turns:
    """The lines of all models that this process calls.

    Args:
        weigh: the weight of a principal's tenant against others.
    """

    def __init__(
        self, readiness: Readiness, weigh: Callable[[Principal], int], watch: Watch
    ) -> None:
        self._readiness = readiness
        self._weigh = weigh
        self._watch = watch
        self._lines: dict[str, Line] = {}
        readiness.subscribe(self._look)

    def take(self, call: Call) -> Turn:
        """A turn for `call`, to be used in a `with` block; see whether it `is_given`."""
        line = self._lines.get(call.model.card.application_name)
        if line is None:
            line = self._line(call.model.card)
        turn = line.start(call.expected)
        return turn if turn is not None else self._wait(line, call)

    def _wait(self, line: Line, call: Call) -> Turn:
        who = call.principal
        tenant, weight = ("", 1) if who is None else (who.tenant_id, self._weigh(who))
        return line.wait(tenant, weight, call.expected)

    def outlook(self, card: ModelCard, principal: Principal) -> Outlook:
        """What a call of `principal` would meet at this moment."""
        line = self._lines.get(card.application_name)
        if line is None:
            return NO_WAIT
        return line.outlook(principal.tenant_id, self._weigh(principal))

    def _line(self, card: ModelCard) -> Line:
        name = card.application_name
        line = self._lines[name] = Line(card.id, self._room(name), self._watch)
        return line

    def _look(self) -> None:
        """Replicas may have come or gone."""
        for name, line in self._lines.items():
            line.room = self._room(name)
            line.advance()

    def _room(self, application: str) -> Room:
        state = self._readiness.of(application)
        return Room() if state is None or state.intake is None else room_of(state.intake)


def room_of(intake: Intake) -> Room:
    """What a deployment takes: its replicas' `max_ongoing_requests`, which fills its engines.

    While it can grow, a replica's worth more: the autoscaler counts calls that Serve has, and a
    sleeping model is woken by them.
    """
    replicas = intake.replicas + (intake.replicas < intake.most_replicas)
    waiting = intake.queue if intake.queue >= 0 else UNBOUNDED
    return Room(max(1, replicas) * intake.per_replica, waiting)

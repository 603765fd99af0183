"""A queue that is fair between tenants: whose waiting request is next.

Place in the path: inside step 4, under `ingress.turns`, which knows models and their capacity. It
orders; it knows no clock, no event loop and no HTTP.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", SIGCOMM 1996), as it is used
in front of a server that does several things at once (SFQ(D): Jin, Chase, Kaur: "Interposed
Proportional Sharing for a Storage Service Utility", SIGMETRICS 2004). Each tenant's next request
has a start tag; the smallest goes first and moves its tenant's tag on by its work over the tenant's
weight. So tenants that wait get work in proportion to their weights, and one that comes with a
single request is behind at most one request of each other tenant, however many those have waiting.

Work is an estimate when a request starts. When it ends the tag is corrected by what it really was,
as in Sheng et al.: "Fairness in Serving Large Language Models", OSDI 2024.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
SPARE_FLOWS = 1_000
"""Tenants that do not wait and whose last turns are still counted, before all that is forgiven."""


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """One waiting request. `size` is its work, in any unit that all entries share."""

    item: T
    size: int
    flow: "Flow[T]"


@dataclass(slots=True, eq=False)
class Flow(Generic[T]):
    """One tenant, for as long as it waits, or has had more than its turn."""

    tenant: str
    weight: int
    tag: float
    """Start tag of the first entry; while none waits, where the next would start."""
    entries: OrderedDict[Entry[T], None] = field(default_factory=OrderedDict)
    load: int = 0
    """Work of its entries."""


class Place(NamedTuple):
    """Where a request would stand: its position, from 1, and the work before it."""

    position: int
    ahead: int


class FairQueue(Generic[T]):
    """Waiting entries of all tenants. Its length is how many wait."""

    def __init__(self) -> None:
        self._now = 0.0
        """Virtual time: the start tag of what was taken last."""
        self._flows: dict[str, Flow[T]] = {}
        self._waiting: dict[str, Flow[T]] = {}
        """The flows that have entries."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, item: T, tenant: str, weight: int, size: int) -> Entry[T]:
        """Let `item` wait, behind its tenant's others."""
        flow = self._flow(tenant, weight)
        flow.weight = weight
        entry = Entry(item, max(1, size), flow)
        flow.entries[entry] = None
        flow.load += entry.size
        self._waiting[tenant] = flow
        self._length += 1
        return entry

    def pop(self) -> Entry[T]:
        """Take the next one. The queue must not be empty."""
        flow = min(self._waiting.values(), key=_tag)
        entry = next(iter(flow.entries))
        self._now = max(self._now, flow.tag)
        flow.tag += entry.size / flow.weight
        self._drop(entry)
        return entry

    def remove(self, entry: Entry[T]) -> None:
        """Let `entry` go unserved: it costs its tenant nothing."""
        if entry in entry.flow.entries:
            self._drop(entry)

    def correct(self, entry: Entry[T], size: int) -> None:
        """Count an entry that was taken for the work that it really was."""
        entry.flow.tag += (max(1, size) - entry.size) / entry.flow.weight

    def place(self, tenant: str, weight: int) -> Place:
        """Where the next entry of `tenant` would stand."""
        own = self._waiting.get(tenant)
        start = self._start(tenant) + (own.load / weight if own is not None else 0.0)
        count = ahead = 0
        for flow in self._waiting.values():
            if flow is own:
                count, ahead = count + len(flow.entries), ahead + flow.load
                continue
            tag = flow.tag
            for entry in flow.entries:
                if tag > start:
                    break
                count, ahead = count + 1, ahead + entry.size
                tag += entry.size / flow.weight
        return Place(count + 1, ahead)

    def crowded_out(self, tenant: str, weight: int) -> Entry[T] | None:
        """Who has to leave a full queue so that one of `tenant` can come: None is that one itself.

        It is the newest entry of the tenant with the most of them for its weight (longest queue
        drop: Suter et al., "Design considerations for supporting TCP with per-flow queueing",
        INFOCOM 1998), so nobody is kept out by others who fill the queue.
        """
        own = self._waiting.get(tenant)
        most = (1 + (len(own.entries) if own is not None else 0)) / weight
        found = None
        for flow in self._waiting.values():
            if flow is not own and len(flow.entries) / flow.weight > most:
                most, found = len(flow.entries) / flow.weight, flow
        return next(reversed(found.entries)) if found is not None else None

    def forget(self) -> None:
        """What was taken so far no longer counts: there was room for everybody. Nobody may wait."""
        self._flows.clear()
        self._now = 0.0

    def _flow(self, tenant: str, weight: int) -> Flow[T]:
        """The tenant's flow. One that is not behind any more begins anew, at the present."""
        flow = self._flows.get(tenant)
        if flow is None or (not flow.entries and flow.tag <= self._now):
            if len(self._flows) > len(self._waiting) + SPARE_FLOWS:
                self._flows = dict(self._waiting)
            flow = self._flows[tenant] = Flow(tenant, weight, self._now)
        return flow

    def _start(self, tenant: str) -> float:
        flow = self._flows.get(tenant)
        if flow is None:
            return self._now
        return flow.tag if flow.entries else max(flow.tag, self._now)

    def _drop(self, entry: Entry[T]) -> None:
        flow = entry.flow
        del flow.entries[entry]
        flow.load -= entry.size
        self._length -= 1
        if not flow.entries:
            del self._waiting[flow.tenant]


def _tag(flow: Flow[T]) -> float:
    return flow.tag

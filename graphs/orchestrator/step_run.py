"""One step of a run: whether it runs, for which items, how often, and what becomes of it.

Place in the path: around the step's calls. However a step ends, that is written in the journal
before this returns. It knows no other step but by the values that it takes from them.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from auth.jobs import Job
from auth.promises import Promises
from auth.workflow_steps import ONE, StepRow, StepStatus
from core.conditions import Incomparable
from core.errors import BodyTooLarge, CarillonError, InvalidRequest, StoreUnavailable
from core.plain import without_nul
from core.references import Missing, Room, TooLarge, filled, references_in
from core.workflow import MOST_ITEMS, Instead
from graphs.orchestrator.journal import Journal
from graphs.orchestrator.outputs import Made, Outputs
from graphs.orchestrator.places import Places
from graphs.orchestrator.step_calls import StepCalls, TakenOver
from graphs.orchestrator.values import NOTHING, Item, Values
from ingress.workflow_plan import PlannedStep

LONGEST_MESSAGE = 1_000
SMALL = 2**20
"""Characters of values that every call may hold; for more, it needs a place."""
WORTH_A_RETRY = 500
"""Status from which another try may end otherwise."""
NO_ITEMS = Made([])
TAKEN_OVER = "HIT"
"""As of an answer from the cache; but there is no call of this run in the ledger."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the steps of one run have in common."""

    job: Job
    journal: Journal
    calls: StepCalls
    outputs: Outputs
    values: Values
    promises: Promises
    places: Places
    gate: asyncio.Semaphore
    """Calls of the run that may be under way."""


class StepRun:
    """One step."""

    def __init__(self, step: PlannedStep, around: Surroundings) -> None:
        self._planned = step
        self._step = step.links.step
        self._around = around
        self._journal = around.journal
        self._values = around.values
        self._requests: dict[int, str] = {}
        """The latest call of each item."""

    async def run(self) -> None:
        """To its end. Raises StoreUnavailable: nothing can be said of it."""
        if (reason := self._unfed()) is not None:
            return await self._skip(reason)
        try:
            if not await self._is_wanted():
                return await self._skip("its condition does not hold")
        except (Incomparable, TooLarge) as error:
            return await self._fail(ONE, 0, InvalidRequest(f"'if': {error}", "if"))
        if self._step.is_mapped:
            return await self._mapped()
        return await self._one(ONE, None)

    def _unfed(self) -> str | None:
        """Why it cannot run: a step that it takes from has nothing to give."""
        for name in sorted(self._planned.links.data):
            if not self._journal.ended[name].is_good:
                return f"'{name}' was {self._journal.ended[name].status.value}"
        return None

    async def _is_wanted(self) -> bool:
        condition = self._planned.links.condition
        if condition is None:
            return True
        room = Room()
        known = {e.text: await self._values.if_there(e, room) for e in condition.references}
        return condition.holds(lambda reference: known[reference.text])

    async def _skip(self, reason: str) -> None:
        row = StepRow(self._step.id, StepStatus.SKIPPED)
        await self._journal.write(replace(row, error_code="skipped", error_message=reason))

    async def _mapped(self) -> None:
        """A call for each item of a list."""
        await self._journal.write(StepRow(self._step.id, StepStatus.RUNNING))
        try:
            items = await self._items()
        except (Missing, TooLarge, InvalidRequest) as error:
            return await self._fail(ONE, 0, InvalidRequest(f"'map': {error}", "map"))
        works = [self._item(Item(index, value)) for index, value in enumerate(items)]
        await together(works)
        if self._step.on_failure == "fail" and (bad := self._first_failure(len(items))):
            row = StepRow(self._step.id, StepStatus.FAILED, error_code=bad.error_code)
            message = f"item {bad.item}: {bad.error_message}"
            return await self._journal.write(replace(row, error_message=message))
        row = StepRow(self._step.id, StepStatus.COMPLETED)
        return await self._journal.write(row, NOTHING if items else NO_ITEMS)

    def _first_failure(self, count: int) -> StepRow | None:
        rows = (self._journal.item(self._step.id, index) for index in range(count))
        return next((row for row in rows if row and row.status is StepStatus.FAILED), None)

    async def _items(self) -> list[Any]:
        over = self._step.over
        known = await self._values.all(reference for _, reference in references_in(over))
        items = filled(over, lambda reference: known[reference.text])
        if not isinstance(items, list):
            raise InvalidRequest("this is not a list")
        # Of a list that an earlier step made, nobody knew the length before.
        most = self._step.max_items if self._planned.links.data else MOST_ITEMS
        if len(items) > most:
            raise InvalidRequest(f"{len(items)} items; the limit is {most} ('max_items')")
        return items

    async def _item(self, item: Item) -> None:
        """One item, unless it ended before; after a failure that fails the step, none begins."""
        if self._journal.item(self._step.id, item.index) is None:
            await self._one(item.index, item)

    def _is_lost(self, item: Item | None) -> bool:
        fails = self._step.on_failure == "fail"
        return item is not None and fails and self._journal.has_failed(self._step.id)

    async def _one(self, index: int, item: Item | None) -> None:
        """One call, tried as often as the step says."""
        retry = self._step.retry
        for tries in range(1, retry.attempts + 1):
            try:
                async with self._around.gate:
                    if self._is_lost(item):
                        return None
                    return await self._try(index, tries, item)
            except StoreUnavailable:
                raise
            except CarillonError as error:
                if error.status_code < WORTH_A_RETRY or tries == retry.attempts:
                    return await self._fail(index, tries, error)
            await asyncio.sleep(retry.pause_s(tries))
        return None

    async def _try(self, index: int, tries: int, item: Item | None) -> None:
        references = [reference for _, reference in self._planned.links.references]
        large = await self._values.are_large(references, item, SMALL)
        async with self._around.places.one(self._around.job.tenant_id, needed=large):
            await self._call(index, tries, item)

    async def _call(self, index: int, tries: int, item: Item | None) -> None:
        document = await self._document(item)
        row = StepRow(self._step.id, StepStatus.RUNNING, index, tries)

        async def begun(request_id: str) -> None:
            self._requests[index] = request_id
            await self._journal.write(replace(row, request_id=request_id))

        job = self._around.job
        once = f"{job.execution}:{self._step.id}:{index}:{tries}"
        answered = await self._around.calls.make(job, self._planned, document, index, once, begun)
        done = replace(row, status=StepStatus.COMPLETED, asked=answered.asked)
        if isinstance(answered, TakenOver):
            taken = replace(done, tries=0, cache=TAKEN_OVER)
            return await self._journal.write(taken, answered.made)
        made = await self._around.outputs.kept(answered.principal, answered.answer)
        charged = self._requests[index]
        if answered.was_charged_before:
            charged = self._journal.lost.get((self._step.id, index), charged)
        done = replace(done, cache=answered.cache, request_id=charged)
        return await self._journal.write(done, made)

    async def _document(self, item: Item | None) -> dict[str, Any]:
        """The request, with values for its references. Raises InvalidRequest, BodyTooLarge."""
        references = [reference for _, reference in self._planned.links.references]
        try:
            known = await self._values.all(references, item)
            document: dict[str, Any] = filled(self._step.input, lambda each: known[each.text])
        except Missing as error:
            raise InvalidRequest(f"'input': {error}", "input") from error
        except TooLarge as error:
            raise BodyTooLarge(f"'input': {error}", "input") from error
        return document

    async def _fail(self, index: int, tries: int, error: CarillonError) -> None:
        row = StepRow(
            self._step.id,
            StepStatus.FAILED,
            index,
            tries,
            self._requests.get(index),
            error_code=error.code,
            error_message=without_nul(error.message[:LONGEST_MESSAGE]),
        )
        if isinstance(self._step.on_failure, Instead):
            instead = Made(self._step.on_failure.output)
            return await self._journal.write(replace(row, status=StepStatus.COMPLETED), instead)
        return await self._journal.write(row)


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them; the first that raises ends the others before it is raised here."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await ended_early(tasks)


async def ended_early(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and wait until it has gone."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

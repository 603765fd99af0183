"""Admission of runs of workflows: what a run holds of its tenant's budgets, and that it is counted.

Place in the path: before it, when a run is begun or resumed. Whatever of its plan has not been done
is promised (`auth.promises`); each call takes its share when it is admitted. The run itself is one
request. It decides nothing about rates of its calls: those are `ingress.headroom`'s.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from auth.admission import Admission, Ask, CachedReply, Refused, Settlement, Stale
from auth.jobs import Job
from auth.limits import Limits
from auth.prices import PriceBook
from auth.principal import Principal
from auth.promises import PromisedStep, Promises
from auth.quota import refusal
from auth.workflow_steps import ONE, StepRow, StepStatus
from core.errors import CarillonError, StoreUnavailable, Unavailable
from core.work import NO_WORK, WorkUnits
from ingress.trace import principal_object, traced
from ingress.workflow_plan import Plan, PlannedStep

ENDPOINT = "/v1/workflows/runs"
NAME = "workflow"
"""What the ledger has for a model."""
COUNTED = CachedReply(b"{}", "application/json", NO_WORK)
"""Remembered, so that the same run is not counted twice."""


@dataclass(frozen=True, slots=True)
class StepLeft:
    """What a step is still to do."""

    step: PlannedStep
    calls: int
    units: WorkUnits
    """Of all of them, at most as far as one can tell."""


def steps_left(plan: Plan, rows: Iterable[StepRow] = ()) -> list[StepLeft]:
    """What is left of a plan: all of it but the steps, and the items of steps, that completed."""
    completed = [row for row in rows if row.status is StepStatus.COMPLETED]
    done = {row.step for row in completed if row.item == ONE}
    items = Counter(row.step for row in completed if row.item != ONE)
    left = [(step, step.calls - items[step.id]) for step in plan.steps if step.id not in done]
    return [StepLeft(step, calls, _share(step, calls)) for step, calls in left if calls > 0]


def _share(step: PlannedStep, calls: int) -> WorkUnits:
    units = (step.units or NO_WORK).nonzero().items()
    return WorkUnits(**{name: -(-count * calls // step.calls) for name, count in units})


class RunAdmission:
    """That of all runs."""

    def __init__(
        self, admission: Admission, promises: Promises, limits: Limits, prices: PriceBook
    ) -> None:
        self._admission = admission
        self._promises = promises
        self._limits = limits
        self._prices = prices

    async def admit(
        self, principal: Principal, job: Job, left: Sequence[StepLeft], lasts_s: float
    ) -> None:
        """Hold room for all that is left, and count the request. After a refusal nothing is held.

        Raises LimitReached for the first window without room; StoreUnavailable.
        """
        await self._hold(principal, job.execution, left, lasts_s)
        try:
            await self._count(principal, job)
        except CarillonError:
            with suppress(StoreUnavailable):  # it lapses
                await self.end(job)
            raise

    async def end(self, job: Job) -> None:
        """Give back what is still held."""
        await self._promises.end(job.execution)

    async def _hold(
        self, principal: Principal, name: str, left: Sequence[StepLeft], lasts_s: float
    ) -> None:
        scopes = self._limits.scopes(principal)
        refused = await self._promises.promise(name, scopes, list(map(self._step, left)), lasts_s)
        if refused is not None:
            facts = {"principal": principal_object(principal), "calls": sum(e.calls for e in left)}
            raise traced(refusal(refused), "admit", **facts)

    async def _count(self, principal: Principal, job: Job) -> None:
        """One request, in its windows and in the ledger: a run may make no call at all."""
        ask = self._ask(principal, job)
        verdict = await self._admission.admit(ask)
        if isinstance(verdict, Refused):
            raise traced(refusal(verdict), "admit", principal=principal_object(principal))
        if isinstance(verdict, Stale):
            raise Unavailable("the account is being changed: try again", retry_after_s=1.0)
        await self._admission.settle(Settlement(ask.request_id, cache=COUNTED))

    def _ask(self, principal: Principal, job: Job) -> Ask:
        return Ask(
            request_id=uuid.uuid4().hex,
            principal=principal,
            scopes=self._limits.scopes(principal),
            units=NO_WORK,
            details={
                "endpoint": ENDPOINT,
                "operation": "run",
                "model": NAME,
                "trace_id": job.id,
                "prices": self._prices.version,
                "currency": self._prices.currency,
            },
            once=f"{job.execution}:run",
        )

    def _step(self, left: StepLeft) -> PromisedStep:
        prices = self._prices.of(left.step.model.card.id)
        return PromisedStep(left.step.id, left.calls, left.units, prices)

"""What a run of a workflow holds of its tenant's budgets, from its beginning to its end.

Place in the path: before it, when a run is begun or resumed. Whatever of its plan has not been done
is promised (`auth.promises`); each call takes its share when it is admitted. It decides nothing
about rates: those are `ingress.headroom`'s.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auth.limits import Limits
from auth.prices import PriceBook
from auth.principal import Principal
from auth.promises import PromisedStep, Promises
from auth.quota import refusal
from auth.workflow_steps import ONE, StepRow, StepStatus
from core.work import NO_WORK, WorkUnits
from ingress.trace import principal_object, traced
from ingress.workflow_plan import Plan, PlannedStep


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


class RunPromises:
    """Those of all runs."""

    def __init__(self, promises: Promises, limits: Limits, prices: PriceBook) -> None:
        self._promises = promises
        self._limits = limits
        self._prices = prices

    async def make(
        self, principal: Principal, name: str, left: Sequence[StepLeft], lasts_s: float
    ) -> None:
        """Hold room for all that is left. Raises LimitReached where a budget has none."""
        scopes = self._limits.scopes(principal)
        refused = await self._promises.promise(name, scopes, list(map(self._step, left)), lasts_s)
        if refused is not None:
            facts = {"principal": principal_object(principal), "calls": sum(e.calls for e in left)}
            raise traced(refusal(refused), "admit", **facts)

    async def end(self, name: str) -> None:
        """Give back what is still held."""
        await self._promises.end(name)

    def _step(self, left: StepLeft) -> PromisedStep:
        prices = self._prices.of(left.step.model.card.id)
        return PromisedStep(left.step.id, left.calls, left.units, prices)

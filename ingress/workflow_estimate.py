"""What a workflow will take: by step, by model, in money.

Place in the path: before it, from a plan. It is an upper bound as far as one can be told: a text
that an earlier step will write is taken to be as long as that step may write. Each call is
admitted, for what it then really asks for, when its time comes.
"""

from collections.abc import Callable, Iterable
from typing import Any

from auth.plans import NANO
from auth.prices import PriceBook, money_of
from core.work import NO_WORK, WorkUnits
from ingress.headroom import Work
from ingress.workflow_admission import StepLeft
from ingress.workflow_plan import Plan, PlannedStep

Usual = Callable[[str, WorkUnits], WorkUnits]
"""What calls of a model are expected to take that take at most so much."""


def works_of(left: Iterable[StepLeft], usual: Usual) -> list[Work]:
    """What headroom is asked for."""
    return [_work(each.step.model.card.id, each.calls, each.units, usual) for each in left]


def _work(model_id: str, calls: int, units: WorkUnits, usual: Usual) -> Work:
    most = {name: -(-count // max(1, calls)) for name, count in units.nonzero().items()}
    return Work(model_id, calls, units, usual(model_id, WorkUnits(**most)))


def estimate_object(plan: Plan, prices: PriceBook) -> dict[str, Any]:
    """For callers: what each step may take, and all of them."""
    steps = [_step_object(step, prices) for step in plan.steps]
    return {
        "calls": plan.calls,
        "money": sum(step["money"] or 0 for step in steps) / NANO,
        "currency": prices.currency,
        "prices": prices.version,
        "is_complete": all(step.units is not None for step in plan.steps),
        "steps": {
            step.id: told | {"money": None if told["money"] is None else told["money"] / NANO}
            for step, told in zip(plan.steps, steps, strict=True)
        },
    }


def _step_object(step: PlannedStep, prices: PriceBook) -> dict[str, Any]:
    model = step.model.card.id
    known = step.units is not None
    return {
        "model": model,
        "operation": step.operation_name,
        "calls": step.calls,
        "units": step.units.nonzero() if step.units is not None else None,
        "money": money_of(step.units or NO_WORK, prices.of(model)) if known else None,
    }

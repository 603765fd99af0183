"""Plans of workflows: every step with its model, checked as far as that is possible before it runs.

Place in the path: before it, when a workflow is posted, and again when its run begins elsewhere.
Requests are validated by their operations' own types, with the values that are known; of what
earlier steps will say, nothing is held against a request. It calls nothing and charges nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.principal import Principal
from core.errors import (
    BodyTooLarge,
    InvalidRequest,
    ModelForbidden,
    ModelNotFound,
    UnknownParameter,
)
from core.model import Operation
from core.references import LARGEST, references_in
from core.work import NO_WORK, WorkUnits
from core.workflow import MOST_CALLS, MOST_ITEMS, Workflow
from core.workflow_order import Links, linked, place_of
from ingress.catalog import Catalog, ServedModel
from ingress.workflow_early import at_place, units_of
from ingress.workflow_probe import FIXED, UNKNOWN_CHARACTERS, Probe, filled_at, input_at

CHARACTERS_PER_TOKEN = 4
NO_RECORDINGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step, and what it will call."""

    links: Links
    model: ServedModel
    operation_name: str
    operation: Operation
    calls: int
    """At most, without retries."""
    units: WorkUnits | None
    """Of all of them, at most as far as one can tell; None where one cannot tell yet."""

    @property
    def id(self) -> str:
        return self.links.step.id


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole workflow, in an order in which it can run."""

    workflow: Workflow
    steps: tuple[PlannedStep, ...]

    @property
    def calls(self) -> int:
        return sum(step.calls for step in self.steps)


def planned(
    workflow: Workflow, catalog: Catalog, recordings: Mapping[str, str] = NO_RECORDINGS
) -> Plan:
    """A workflow's plan.

    Args:
        recordings: see `ingress.workflow_recordings`.

    Raises InvalidRequest, UnknownParameter, ModelNotFound: each names the place at fault.
    """
    places = {step.id: index for index, step in enumerate(workflow.steps)}
    done: dict[str, PlannedStep] = {}
    for links in linked(workflow):
        index = places[links.step.id]
        done[links.step.id] = _planned(workflow, catalog, links, index, done, recordings)
    plan = Plan(workflow, tuple(done.values()))
    if plan.calls > MOST_CALLS:
        raise InvalidRequest(
            f"the steps make up to {plan.calls} calls; the limit is {MOST_CALLS}", "steps"
        )
    return plan


def require_models(plan: Plan, principal: Principal) -> None:
    """Raises ModelForbidden, with the place, for a model that a principal may not use."""
    places = {step.id: index for index, step in enumerate(plan.workflow.steps)}
    for step in plan.steps:
        try:
            principal.require_model(step.model.card.id)
        except ModelForbidden as error:
            raise at_place(error, place_of("steps", places[step.id], "model")) from error


def _planned(
    workflow: Workflow,
    catalog: Catalog,
    links: Links,
    index: int,
    done: Mapping[str, PlannedStep],
    recordings: Mapping[str, str],
) -> PlannedStep:
    step = links.step
    model, name, operation = _operation(catalog, links, index)
    for taken, why in (("model", "the step itself names its model"), ("stream", "steps are whole")):
        if step.input.get(taken):
            place = place_of("steps", index, "input", taken)
            raise InvalidRequest(f"'{place}': {why}", place)
    if operation.tenant_field in step.input:
        place = place_of("steps", index, "input", operation.tenant_field or "")
        raise UnknownParameter(f"Unrecognized request argument supplied: {place}", place)
    items = _items(workflow, links, index)
    calls = step.calls if items is None else len(items)
    lengths = {name: _length(earlier) for name, earlier in done.items()}
    probes = [
        Probe(workflow, links, index, number, item, items is not None, lengths, recordings)
        for number, item in enumerate([None] if items is None else items)
    ]
    if sum(probe.size for probe in probes) > LARGEST:
        place = place_of("steps", index, "input")
        raise BodyTooLarge(f"'{place}' is over the limit of {LARGEST} bytes in all items", place)
    each = [units_of(probe, model, operation) for probe in probes]
    # Items that are not known yet are all like the one that was tried.
    units = _sum(each if items is not None else each * calls)
    return PlannedStep(links, model, name, operation, calls, units)


def _operation(catalog: Catalog, links: Links, index: int) -> tuple[ServedModel, str, Operation]:
    step = links.step
    try:
        model = catalog.named(step.model)
    except ModelNotFound as error:
        raise at_place(error, place_of("steps", index, "model")) from error
    name = step.operation or next(iter(model.spec.operations))
    try:
        return model, name, model.operation(name)
    except InvalidRequest as error:
        raise at_place(error, place_of("steps", index, "operation")) from error


def _items(workflow: Workflow, links: Links, index: int) -> list[Any] | None:
    """The items of a `map`, where they are known from the start."""
    over, place = links.step.over, place_of("steps", index, "map")
    items: list[Any] | None = None
    if links.over is not None and links.over.root in FIXED:
        found = input_at(workflow, links.over, place)
        if not isinstance(found, list):
            raise InvalidRequest(f"'{place}': '${{{links.over.text}}}' is not a list", place)
        items = found
    elif isinstance(over, list) and not links.data and not _has_media(over):
        items = filled_at(over, lambda reference: input_at(workflow, reference, place), place)
    longest = max(len(over) if isinstance(over, list) else 0, len(items or ()))
    if longest > MOST_ITEMS:
        raise InvalidRequest(f"'{place}' has more than {MOST_ITEMS} items", place)
    return items


def _has_media(over: list[Any]) -> bool:
    return any(reference.root == "media" for _, reference in references_in(over))


def _sum(parts: list[WorkUnits | None]) -> WorkUnits | None:
    known = [part for part in parts if part is not None]
    return sum(known, NO_WORK) if len(known) == len(parts) else None


def _length(step: PlannedStep) -> int:
    """Characters that a step may write."""
    if not step.units or not step.units.output_tokens:
        return UNKNOWN_CHARACTERS
    tokens = step.units.output_tokens // max(1, step.calls)
    return min(CHARACTERS_PER_TOKEN * tokens, 100 * UNKNOWN_CHARACTERS)

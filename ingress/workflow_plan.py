"""Plans of workflows: every step with its model, checked as far as that is possible before it runs.

Place in the path: before it, when a workflow is posted, and again when its run begins elsewhere.
Requests are validated by their operations' own types, with the values that are known; of what
earlier steps will say, nothing is held against a request. It calls nothing and charges nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from auth.principal import Principal
from core.chat import DEFAULT_OUTPUT_TOKENS
from core.errors import (
    CarillonError,
    InvalidRequest,
    ModelForbidden,
    ModelNotFound,
    UnknownParameter,
)
from core.model import ModelCard, Operation
from core.references import Missing, Path, Reference, filled, walked
from core.work import NO_WORK, WorkUnits
from core.workflow import MOST_CALLS, MOST_ITEMS, Workflow
from core.workflow_order import Links, linked, place_of
from ingress.catalog import Catalog, ServedModel
from ingress.exchange import fault_of

UNKNOWN_CHARACTERS = 1_000
"""Of a text that is not there yet, where nothing says how long it may be."""
CHARACTERS_PER_TOKEN = 4
FIXED = ("inputs",)
"""Roots of references whose values are known from the start."""
OF_ITEMS = ("item", "index")


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


def planned(workflow: Workflow, catalog: Catalog) -> Plan:
    """A workflow's plan.

    Raises InvalidRequest, UnknownParameter, ModelNotFound: each names the place at fault.
    """
    places = {step.id: index for index, step in enumerate(workflow.steps)}
    done: dict[str, PlannedStep] = {}
    for links in linked(workflow):
        index = places[links.step.id]
        done[links.step.id] = _planned(workflow, catalog, links, index, done)
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


def at_place(error: CarillonError, place: str) -> CarillonError:
    """The same error, told of a place in a workflow."""
    return type(error)(f"'{place}': {error.message}", place, error.retry_after_s)


def _planned(
    workflow: Workflow,
    catalog: Catalog,
    links: Links,
    index: int,
    done: Mapping[str, PlannedStep],
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
    probes = [
        _Probe(workflow, links, index, number, item, items is not None, done)
        for number, item in enumerate([None] if items is None else items)
    ]
    each = [_units(probe, model, operation) for probe in probes]
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
        found = _input(workflow, links.over, place)
        if not isinstance(found, list):
            raise InvalidRequest(f"'{place}': '${{{links.over.text}}}' is not a list", place)
        items = found
    elif isinstance(over, list) and not links.data:
        items = filled(over, lambda reference: _input(workflow, reference, place))
    longest = max(len(over) if isinstance(over, list) else 0, len(items or ()))
    if longest > MOST_ITEMS:
        raise InvalidRequest(f"'{place}' has more than {MOST_ITEMS} items", place)
    return items


def _input(workflow: Workflow, reference: Reference, place: str) -> Any:
    try:
        return walked(workflow.inputs, reference.path, reference)
    except Missing as error:
        raise InvalidRequest(f"'{place}': {error}", place) from error


@dataclass(frozen=True, slots=True)
class _Probe:
    """One request of a step, with what is known of it."""

    workflow: Workflow
    links: Links
    index: int
    number: int
    item: Any
    item_known: bool
    done: Mapping[str, PlannedStep]

    @property
    def unknown(self) -> frozenset[Path]:
        """Places in the input whose values are made up here."""
        return frozenset(place for place, each in self.links.references if not self._knows(each))

    def document(self) -> dict[str, Any]:
        """The input with values: true ones where they are known, else texts of a likely length."""
        found: dict[str, Any] = filled(self.links.step.input, self._value)
        return found

    def _knows(self, reference: Reference) -> bool:
        return reference.root in FIXED or (reference.root in OF_ITEMS and self.item_known)

    def _value(self, reference: Reference) -> Any:
        if reference.root in FIXED:
            return _input(self.workflow, reference, place_of("steps", self.index, "input"))
        if not self._knows(reference):
            return "x" * self._length(reference)
        if reference.root == "index":
            return self.number
        try:
            return walked(self.item, reference.path, reference)
        except Missing as error:
            place = place_of("steps", self.index, "map", self.number)
            raise InvalidRequest(f"'{place}': {error}", place) from error

    def _length(self, reference: Reference) -> int:
        source = self.done.get(reference.step or "")
        if source is None or not source.units or not source.units.output_tokens:
            return UNKNOWN_CHARACTERS
        tokens = source.units.output_tokens // max(1, source.calls)
        return min(CHARACTERS_PER_TOKEN * tokens, 100 * UNKNOWN_CHARACTERS)


def _units(probe: _Probe, model: ServedModel, operation: Operation) -> WorkUnits | None:
    """What a request takes at most; None where too little of it is known.

    Raises InvalidRequest for what is wrong whatever the unknown values will be.
    """
    request = _request(probe, model, operation)
    if request is None:
        return _window(model.card)
    try:
        return operation.estimate(request, model.card)
    except CarillonError as error:
        if probe.unknown:
            return _window(model.card)
        raise at_place(error, place_of("steps", probe.index, "input")) from error


def _window(card: ModelCard) -> WorkUnits | None:
    """All that a model's window holds, where it has one: a request that nobody can see yet."""
    if card.context_window is None:
        return None
    output = min(card.context_window, card.max_output_tokens or DEFAULT_OUTPUT_TOKENS)
    return WorkUnits(input_tokens=card.context_window, output_tokens=output)


def _request(probe: _Probe, model: ServedModel, operation: Operation) -> BaseModel | None:
    document = probe.document()
    if "model" in operation.request.model_fields:
        document["model"] = model.card.id
    if operation.tenant_field is not None:
        document[operation.tenant_field] = "some tenant's"
    try:
        return operation.request.model_validate(document)
    except ValidationError as error:
        unknown = probe.unknown
        for fault in error.errors(include_url=False, include_context=False):
            if _is_sure(fault, document, unknown):
                raise fault_of(fault, "steps", probe.index, "input") from error
    return None


def _is_sure(fault: ErrorDetails, document: Any, unknown: frozenset[Path]) -> bool:
    """Whether a fault stays one whatever the unknown values turn out to be."""
    if not unknown:
        return True
    about_name = fault["type"] in ("missing", "extra_forbidden")
    place, tagged = _place(document, fault["loc"][:-1] if about_name else fault["loc"])
    if any(place[: len(path)] == path for path in unknown):
        return False
    inside = any(path[: len(place)] == place for path in unknown)
    return not (tagged and inside) if about_name else not inside


def _place(document: Any, location: tuple[str | int, ...]) -> tuple[Path, bool]:
    """Where in a document pydantic found a fault, and whether it names types on the way there."""
    place: list[str | int] = []
    tagged = False
    for part in location:
        fits = isinstance(document, dict) and part in document
        if fits or (isinstance(document, list) and isinstance(part, int) and part < len(document)):
            place.append(part)
            document = document[part]
        else:
            tagged = True
    return tuple(place), tagged


def _sum(parts: list[WorkUnits | None]) -> WorkUnits | None:
    known = [part for part in parts if part is not None]
    return sum(known, NO_WORK) if len(known) == len(parts) else None

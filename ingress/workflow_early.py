"""Early judgement of a step's request: what is wrong with it whatever earlier steps will say.

Place in the path: under the plan of a workflow. Requests are validated by their operations' own
types; a fault that may come from a value that was made up is none. It calls nothing.
"""

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.chat import DEFAULT_OUTPUT_TOKENS
from core.errors import CarillonError
from core.model import ModelCard, Operation
from core.references import Path
from core.work import WorkUnits
from core.workflow_order import place_of
from ingress.catalog import ServedModel
from ingress.exchange import fault_of
from ingress.workflow_probe import Probe


def at_place(error: CarillonError, place: str) -> CarillonError:
    """The same error, told of a place in a workflow."""
    return type(error)(f"'{place}': {error.message}", place, error.retry_after_s)


def units_of(probe: Probe, model: ServedModel, operation: Operation) -> WorkUnits | None:
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


def _request(probe: Probe, model: ServedModel, operation: Operation) -> BaseModel | None:
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

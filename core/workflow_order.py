"""The order of a workflow's steps: who waits for whom, and what is wrong with that.

Place in the path: when a workflow is posted, and when it runs. It reads references and knows no
models. Errors name the place in the document, as `steps.2.input.messages`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.conditions import BadCondition, Condition, condition_of
from core.errors import InvalidRequest
from core.references import BadReference, Path, Reference, parts_of, references_in
from core.workflow import MOST_CALLS, Workflow, WorkflowStep

MOST_REFERENCES = 5_000


@dataclass(frozen=True, slots=True)
class Links:
    """What one step has to do with the others."""

    step: WorkflowStep
    references: tuple[tuple[Path, Reference], ...]
    """In its `input`, with places inside of it."""
    over: Reference | None
    """The list of its `map`, where that is a reference."""
    condition: Condition | None
    data: frozenset[str]
    """Steps whose output it takes: without one of them it cannot run."""
    waits: frozenset[str]
    """Steps that must have ended, in whatever way; `data` are among them."""


def place_of(*parts: str | int) -> str:
    """A place in a document, as errors tell it."""
    return ".".join(str(part) for part in parts)[:200]


def linked(workflow: Workflow) -> list[Links]:
    """Every step with its links, in an order in which they can run.

    Raises InvalidRequest: a name twice or unknown, a bad reference or condition, a cycle.
    """
    names = _names(workflow)
    calls = sum(step.calls for step in workflow.steps)
    if calls > MOST_CALLS:
        raise InvalidRequest(
            f"the steps make up to {calls} calls; the limit is {MOST_CALLS}", "steps"
        )
    links = [_links(index, step) for index, step in enumerate(workflow.steps)]
    for index, each in enumerate(links):
        _check_names(workflow, names, index, each)
    _check_outputs(workflow, names)
    return _ordered(links)


def references_at(value: object, *place: str | int) -> Iterator[tuple[Path, Reference]]:
    """References in a part of a document. Raises InvalidRequest that names the place."""
    try:
        yield from references_in(value)
    except BadReference as error:
        where = place_of(*place, *error.place)
        raise InvalidRequest(f"'{where}': {error}", where) from error


def _names(workflow: Workflow) -> Mapping[str, int]:
    names: dict[str, int] = {}
    for index, step in enumerate(workflow.steps):
        if step.id in names:
            where = place_of("steps", index, "id")
            raise InvalidRequest(f"'{where}': there is a step '{step.id}' already", where)
        names[step.id] = index
    return names


def _links(index: int, step: WorkflowStep) -> Links:
    references = tuple(references_at(step.input, "steps", index, "input"))
    if len(references) > MOST_REFERENCES:
        where = place_of("steps", index, "input")
        raise InvalidRequest(f"'{where}' has more than {MOST_REFERENCES} references", where)
    over = _over(index, step)
    condition = _condition(index, step)
    asked = [*(reference for _, reference in references), *over]
    data = frozenset(
        reference.step for reference in asked if reference.step and reference.needs_output
    )
    told = [*asked, *(condition.references if condition else ())]
    waits = data | {reference.step for reference in told if reference.step} | {*step.after}
    return Links(
        step, references, over[0] if isinstance(step.over, str) else None, condition, data, waits
    )


def _over(index: int, step: WorkflowStep) -> list[Reference]:
    where = place_of("steps", index, "map")
    found = [reference for _, reference in references_at(step.over, "steps", index, "map")]
    if isinstance(step.over, str) and (len(found) != 1 or len(parts_of(step.over)) != 1):
        raise InvalidRequest(f"'{where}' must be a list, or one reference to a list", where)
    if any(reference.root in ("item", "index") for reference in found):
        raise InvalidRequest(f"'{where}': there are no items before 'map' has made them", where)
    return found


def _condition(index: int, step: WorkflowStep) -> Condition | None:
    if step.condition is None:
        return None
    where = place_of("steps", index, "if")
    try:
        condition = condition_of(step.condition)
    except (BadCondition, BadReference) as error:
        raise InvalidRequest(f"'{where}': {error}", where) from error
    if any(reference.root in ("item", "index", "media") for reference in condition.references):
        message = f"'{where}' can ask for inputs and steps: it decides once, before 'map'"
        raise InvalidRequest(message, where)
    return condition


def _check_names(workflow: Workflow, names: Mapping[str, int], index: int, links: Links) -> None:
    step = links.step
    for number, name in enumerate(step.after):
        _require_step(names, name, place_of("steps", index, "after", number))
    for place, reference in links.references:
        where = place_of("steps", index, "input", *place)
        _require(workflow, names, reference, where)
        if reference.root in ("item", "index") and not step.is_mapped:
            raise InvalidRequest(f"'{where}': '${{{reference.text}}}' needs a 'map'", where)
    for reference in links.condition.references if links.condition else ():
        _require(workflow, names, reference, place_of("steps", index, "if"))
    for place, reference in references_at(step.over, "steps", index, "map"):
        _require(workflow, names, reference, place_of("steps", index, "map", *place))


def _check_outputs(workflow: Workflow, names: Mapping[str, int]) -> None:
    for place, reference in references_at(workflow.outputs, "outputs"):
        where = place_of("outputs", *place)
        if reference.root in ("item", "index"):
            raise InvalidRequest(f"'{where}': '${{{reference.text}}}' is inside a 'map'", where)
        _require(workflow, names, reference, where)


def _require(
    workflow: Workflow, names: Mapping[str, int], reference: Reference, where: str
) -> None:
    if reference.step is not None:
        _require_step(names, reference.step, where)
    elif reference.root == "inputs" and reference.path[0] not in workflow.inputs:
        message = f"'{where}': the run has no input '{reference.path[0]}'"
        raise InvalidRequest(message[:500], where)


def _require_step(names: Mapping[str, int], name: str, where: str) -> None:
    if name not in names:
        raise InvalidRequest(f"'{where}': there is no step '{name[:64]}'", where)


def _ordered(links: Sequence[Links]) -> list[Links]:
    """As they were written, as far as nothing waits for a later one (Kahn's algorithm)."""
    waiting = {each.step.id: set(each.waits) for each in links}
    known = {each.step.id: each for each in links}
    order: list[Links] = []
    while waiting:
        ready = [name for name, others in waiting.items() if not others]
        if not ready:
            cycle = _cycle(waiting)
            raise InvalidRequest(f"'steps' wait for each other: {' -> '.join(cycle)}", "steps")
        for name in ready:
            del waiting[name]
            order.append(known[name])
        for others in waiting.values():
            others.difference_update(ready)
    return order


def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    """One of the cycles among steps of which each waits for another."""
    name = next(iter(waiting))
    seen: dict[str, int] = {}
    walk: list[str] = []
    while name not in seen:
        seen[name] = len(walk)
        walk.append(name)
        name = min(waiting[name])
    return [*walk[seen[name] :], name]

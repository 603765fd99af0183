"""Probes: a step's request with what is known of it before its run begins.

Place in the path: under the plan of a workflow. Inputs of the run are true values; texts that steps
are still to write are made up, as long as they may become, and recordings have stand-ins that are
as long. It judges nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import BodyTooLarge, InvalidRequest
from core.references import (
    Lookup,
    Missing,
    Path,
    Reference,
    TooLarge,
    filled,
    filled_size,
    walked,
)
from core.workflow import Workflow
from core.workflow_order import Links, place_of
from ingress.workflow_recordings import is_whole

UNKNOWN_CHARACTERS = 1_000
"""Of a text that is not there yet, where nothing says how long it may be."""
FIXED = ("inputs",)
"""Roots of references whose values are known from the start."""
OF_ITEMS = ("item", "index")


def filled_at(value: Any, lookup: Lookup, place: str) -> Any:
    """A document with values. Raises BodyTooLarge that names the place."""
    try:
        return filled(value, lookup)
    except TooLarge as error:
        raise BodyTooLarge(f"'{place}': {error}", place) from error


def input_at(workflow: Workflow, reference: Reference, place: str) -> Any:
    """An input of the run. Raises InvalidRequest that names the place."""
    try:
        return walked(workflow.inputs, reference.path, reference)
    except Missing as error:
        raise InvalidRequest(f"'{place}': {error}", place) from error


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of a step, with what is known of it."""

    workflow: Workflow
    links: Links
    index: int
    number: int
    item: Any
    item_known: bool
    lengths: Mapping[str, int]
    """Characters that earlier steps may write."""
    recordings: Mapping[str, str]
    """What stands for recordings of the tenant's (`ingress.workflow_recordings`)."""

    @property
    def unknown(self) -> frozenset[Path]:
        """Places in the input whose values are made up here."""
        return frozenset(place for place, each in self.links.references if not self._knows(each))

    def document(self) -> dict[str, Any]:
        """The input with values: true ones where they are known, else texts of a likely length."""
        place = place_of("steps", self.index, "input")
        found: dict[str, Any] = filled_at(self.links.step.input, self._value, place)
        return found

    @property
    def size(self) -> int:
        """Characters that the values have which are known."""
        return filled_size(
            self.links.step.input, lambda each: self._value(each) if self._knows(each) else ""
        )

    def _knows(self, reference: Reference) -> bool:
        return reference.root in FIXED or (reference.root in OF_ITEMS and self.item_known)

    def _value(self, reference: Reference) -> Any:
        if reference.root in FIXED:
            return input_at(self.workflow, reference, place_of("steps", self.index, "input"))
        if is_whole(reference) and (found := self.recordings.get(str(reference.path[0]))):
            return found
        if not self._knows(reference):
            return _made_up(self.lengths.get(reference.step or "", UNKNOWN_CHARACTERS))
        if reference.root == "index":
            return self.number
        try:
            return walked(self.item, reference.path, reference)
        except Missing as error:
            place = place_of("steps", self.index, "map", self.number)
            raise InvalidRequest(f"'{place}': {error}", place) from error


def _made_up(length: int) -> str:
    """A text of a length. It is no base64, or it would be a short file of whatever kind."""
    return "x" * (length - 1) + " "

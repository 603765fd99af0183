"""Values: what the references of a run mean, once the steps that they name have ended.

Place in the path: between steps. It reads what is known of one run, and of its tenant's media;
there is nothing of another run or tenant that a reference could name.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from auth.workflow_steps import StepStatus
from core.errors import NotFound
from core.references import Missing, Path, Reference, Room, as_text, walked
from graphs.orchestrator.outputs import Made, Outputs
from ingress.media.store import MediaStore
from ingress.workflow_media import (
    FACTS,
    base64_length,
    is_media,
    media_object,
    media_value,
    named_media,
)

NOTHING = Made()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended."""

    status: StepStatus
    made: Made | tuple[Made, ...] = NOTHING
    """One for each item, of a step over a list."""
    error: tuple[str, str] | None = None
    """Code and message."""

    @property
    def is_good(self) -> bool:
        return self.status is StepStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class Item:
    """Which item of a list a call is for."""

    index: int
    value: Any


class Values:
    """Those of one run."""

    def __init__(
        self,
        tenant_id: str,
        inputs: Mapping[str, Any],
        ended: Mapping[str, Ended],
        outputs: Outputs,
        media: MediaStore,
    ) -> None:
        self._tenant_id = tenant_id
        self._inputs = dict(inputs)
        self._ended = ended
        self._outputs = outputs
        self._media = media

    async def all(
        self, references: Iterable[Reference], item: Item | None = None
    ) -> dict[str, Any]:
        """Values by the text of their reference. Media are given as what they hold.

        Raises Missing, TooLarge: before what does not fit is read.
        """
        found: dict[str, Any] = {}
        room = Room()
        for reference in references:
            if reference.text not in found:
                found[reference.text] = await self._value(reference, item, room)
        return found

    async def are_large(
        self, references: Iterable[Reference], item: Item | None, small: int
    ) -> bool:
        """Whether values may take more than `small` characters. No file is read for that; where
        one has to be, to know, they may.
        """
        size = 0
        for reference in {each.text: each for each in references}.values():
            with suppress(Missing):  # it is told of when the value is asked for
                found = await self._size(reference, item)
                size += small + 1 if found is None else found
            if size > small:
                return True
        return False

    async def _size(self, reference: Reference, item: Item | None) -> int | None:
        """About how many characters a value has; None when a file has to be read to know."""
        if reference.root == "media":
            name, *facts = reference.path
            return await self._encoded_size(str(name), tuple(facts), reference)
        if reference.root == "steps" and self._is_put_away(self._of(reference).made):
            return None
        value, rest = await self._walked(reference, item)
        if not is_media(value):
            return len(as_text(value))
        return await self._encoded_size(value["id"], tuple(rest), reference)

    async def _encoded_size(self, name: str, rest: Path, reference: Reference) -> int:
        if rest and rest[0] in FACTS:
            return 0
        # What an object says of its size may be somebody's invention.
        media = await named_media(self._media, self._tenant_id, name, reference)
        return base64_length(media.bytes)

    def _is_put_away(self, made: Made | tuple[Made, ...]) -> bool:
        return any(each.blob for each in (made if isinstance(made, tuple) else (made,)))

    async def told(self, reference: Reference, room: Room) -> Any:
        """A value as users are told it: media by their objects; null of steps that did not run.

        Raises Missing, TooLarge: `room` does not hold it.
        """
        if reference.root == "media" and len(reference.path) == 1:
            name = str(reference.path[0])
            return media_object(await named_media(self._media, self._tenant_id, name, reference))
        if reference.root == "media":
            return await self._library(reference, room)
        if reference.needs_output and not self._of(reference).is_good:
            return None
        value, rest = await self._walked(reference, None)
        return await self._opened(value, rest, reference, room) if rest else _held(value, room)

    async def if_there(self, reference: Reference, room: Room) -> Any:
        """A value as conditions ask for it: null where there is none. Raises TooLarge."""
        try:
            return await self.told(reference, room)
        except Missing:
            return None

    async def _value(self, reference: Reference, item: Item | None, room: Room) -> Any:
        if reference.root == "media":
            return await self._library(reference, room)
        value, rest = await self._walked(reference, item)
        return await self._opened(value, rest, reference, room)

    async def _library(self, reference: Reference, room: Room) -> Any:
        name, *rest = reference.path
        return await media_value(self._media, self._tenant_id, str(name), rest, reference, room)

    async def _walked(self, reference: Reference, item: Item | None) -> tuple[Any, Path]:
        """A value, and what of the path is left where media are on the way."""
        value, path = await self._root(reference, item)
        for position, part in enumerate(path):
            if is_media(value):
                return value, path[position:]
            value = walked(value, (part,), reference)
        return value, ()

    async def _opened(self, value: Any, rest: Path, reference: Reference, room: Room) -> Any:
        if not is_media(value):
            return _held(value, room)
        name = value["id"]
        return await media_value(self._media, self._tenant_id, name, rest, reference, room)

    async def _root(self, reference: Reference, item: Item | None) -> tuple[Any, Path]:
        path = reference.path
        if reference.root == "inputs":
            return self._inputs, path
        if reference.root == "steps":
            return await self._step(reference)
        if item is None:
            raise Missing(f"'${{{reference.text}}}' is not inside a 'map'")
        return (item.index if reference.root == "index" else item.value), path

    async def _step(self, reference: Reference) -> tuple[Any, Path]:
        ended, (_, fact, *rest) = self._of(reference), reference.path
        if fact == "status":
            return ended.status.value, tuple(rest)
        if fact == "error":
            told = ended.error and {"code": ended.error[0], "message": ended.error[1]}
            return told, tuple(rest)
        if not ended.is_good:
            raise Missing(f"'${{{reference.text}}}': the step was {ended.status.value}")
        return await self._output(ended.made, reference, tuple(rest))

    async def _output(
        self, made: Made | tuple[Made, ...], reference: Reference, rest: Path
    ) -> tuple[Any, Path]:
        if isinstance(made, Made):
            return await self._read(made, reference), rest
        if rest and isinstance(rest[0], int):
            one: Made = walked(list(made), rest[:1], reference)
            return await self._read(one, reference), rest[1:]
        room = Room()  # all items of a list are in memory at once
        return [await self._read(each, reference, room) for each in made], rest

    async def _read(self, made: Made, reference: Reference, room: Room | None = None) -> Any:
        try:
            return await self._outputs.read(self._tenant_id, made, room)
        except NotFound as error:
            raise Missing(f"'${{{reference.text}}}': the output has expired") from error

    def _of(self, reference: Reference) -> Ended:
        return self._ended[reference.step or ""]


def _held(value: Any, room: Room) -> Any:
    room.take(len(as_text(value)))
    return value

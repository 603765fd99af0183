"""What a client may send: the events of OpenAI's Realtime API that are supported here.

Place in the path: between a message's JSON and the connection that does what it says. Their shapes
are checked here; whether they make sense now, the connection knows.
"""

from typing import Any

from pydantic import Field

from core.errors import InvalidRequest
from ingress.exchange import validate
from ingress.realtime.items import ItemDocument
from ingress.realtime.session import Part, ResponseParams


class ClientEvent(Part):
    """What all of them have."""

    type: str
    event_id: str | None = Field(None, max_length=512)


class SessionUpdate(ClientEvent):
    session: dict[str, Any]


class BufferAppend(ClientEvent):
    audio: str


class BufferCommit(ClientEvent):
    pass


class BufferClear(ClientEvent):
    pass


class ItemCreate(ClientEvent):
    item: ItemDocument
    previous_item_id: str | None = Field(None, max_length=64)


class ItemDelete(ClientEvent):
    item_id: str


class ItemRetrieve(ClientEvent):
    item_id: str


class ItemTruncate(ClientEvent):
    item_id: str
    content_index: int = Field(ge=0, le=0)
    audio_end_ms: int = Field(ge=0)


class ResponseCreate(ClientEvent):
    response: ResponseParams | None = None


class ResponseCancel(ClientEvent):
    response_id: str | None = None


EVENTS: dict[str, type[ClientEvent]] = {
    "session.update": SessionUpdate,
    "input_audio_buffer.append": BufferAppend,
    "input_audio_buffer.commit": BufferCommit,
    "input_audio_buffer.clear": BufferClear,
    "conversation.item.create": ItemCreate,
    "conversation.item.delete": ItemDelete,
    "conversation.item.retrieve": ItemRetrieve,
    "conversation.item.truncate": ItemTruncate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}


def parsed(document: Any) -> ClientEvent:
    """The event that `document` is. Raises InvalidRequest or UnknownParameter."""
    if not isinstance(document, dict):
        raise InvalidRequest("an event is a JSON object with a 'type'", "type")
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in EVENTS:
        known = ", ".join(EVENTS)
        raise InvalidRequest(f"'{str(kind)[:100]}' is not one of: {known}", "type")
    return validate(EVENTS[kind], document)

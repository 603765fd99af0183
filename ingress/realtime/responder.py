"""Whose turn it is to speak: one response at a time.

Place in the path: between what asks for a response (the client, or a turn that ended) and the
response. One that was told to stop ends before the next begins.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from core.errors import InvalidRequest
from ingress.exchange import validate
from ingress.realtime.calls import Calls
from ingress.realtime.items import Conversation, Item, ItemDocument
from ingress.realtime.outbox import Outbox, new_id
from ingress.realtime.response import Cancelled, Response
from ingress.realtime.session import ResponseParams, Session

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Responder:
    """One connection's.

    Args:
        spawn: makes a task that ends with the connection.
    """

    def __init__(
        self, calls: Calls, outbox: Outbox, conversation: Conversation, spawn: Spawn
    ) -> None:
        self._calls = calls
        self._outbox = outbox
        self._conversation = conversation
        self._conversation_id = new_id("conv")
        self._spawn = spawn
        self._response: Response | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_working(self) -> bool:
        """Whether a response has not ended yet."""
        return self._task is not None and not self._task.done()

    @property
    def is_busy(self) -> bool:
        """Whether one runs that nobody has told to stop."""
        return self.is_working and self._response is not None and self._response.cancelled is None

    def begin(self, session: Session, params: ResponseParams) -> None:
        """Answer what is said so far. Raises InvalidRequest while another is busy."""
        if self.is_busy:
            raise InvalidRequest("a response is being made: wait for its end, or cancel it")
        items = self._items(params)
        remembered = None if params.conversation == "none" else self._conversation
        response = Response(
            self._calls, self._outbox, session, params, items, remembered, self._conversation_id
        )
        before = self._task if self.is_working else None
        self._response, self._task = response, self._spawn(response.run(before))

    def cancel(self, response_id: str | None) -> None:
        """Stop it, for the client. Raises InvalidRequest when there is none of that id."""
        is_meant = self._response is not None and response_id in (None, self._response.id)
        if not (self.is_busy and is_meant):
            raise InvalidRequest("there is no such response to cancel", "response_id")
        self.stop("client_cancelled")

    def stop(self, why: Cancelled) -> None:
        """Stop it, if there is one."""
        if self.is_busy and self._response is not None and self._task is not None:
            self._response.cancelled = why
            self._task.cancel()

    def _items(self, params: ResponseParams) -> list[Item]:
        if params.input is None:
            return list(self._conversation)
        return [
            self._referred(document, f"response.input.{number}")
            for number, document in enumerate(params.input)
        ]

    def _referred(self, document: dict[str, Any], where: str) -> Item:
        if document.get("type") == "item_reference":
            return self._conversation.find(str(document.get("id")), f"{where}.id")
        return Item.of(validate(ItemDocument, document, where), where)

"""One connection: it reads the client's events, one after the other, and does what they say.

Place in the path: between the handshake and the end. Reading never waits for a response, or for the
client to read: what takes time are tasks of their own. When the connection ends, whoever ends it,
all of them are cancelled, and the request path settles what they did.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import orjson
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from core.errors import (
    CarillonError,
    InvalidRequest,
    LimitReached,
    MalformedBody,
    Unauthenticated,
)
from ingress.realtime import client_events as client
from ingress.realtime.calls import Calls, error_object
from ingress.realtime.ear import Ear
from ingress.realtime.hearing import Hearing
from ingress.realtime.items import Content, Conversation, Item
from ingress.realtime.outbox import Outbox, SlowReaderError, new_id
from ingress.realtime.pace import Pace
from ingress.realtime.responder import Responder
from ingress.realtime.session import ResponseParams, Session
from ingress.realtime.settings import RealtimeSettings

FAREWELL_S = 5.0
"""How long the last events may take to leave."""
GOING_AWAY, POLICY, TOO_BIG, INTERNAL, UNAUTHORIZED = 1001, 1008, 1009, 1011, 3000
"""Close codes: RFC 6455, and the registry's 3000."""


logger = logging.getLogger("ray.serve")


class EndedError(Exception):
    """The connection has to end: the close code, and the error that the client is told."""

    def __init__(self, code: int, error: CarillonError | None = None) -> None:
        super().__init__(code, error)
        self.code = code
        self.error = error


class Connection:
    """One."""

    def __init__(
        self, socket: WebSocket, calls: Calls, session: Session, limits: RealtimeSettings
    ) -> None:
        self._socket = socket
        self._calls = calls
        self._session = session
        self._limits = limits
        self._outbox = Outbox(socket.send_text)
        self._hearing = Hearing(calls, self._outbox)
        self._conversation = Conversation(limits.items, limits.characters)
        self._ear = Ear(session.audio.input.turn_detection, limits.buffer_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._responder = Responder(calls, self._outbox, self._conversation, self._task)
        self._expires_at = int(time.time() + limits.session_s)
        loop = asyncio.get_running_loop()
        self._clock: Callable[[], float] = loop.time
        self._pace = Pace(limits.messages_per_s, loop.time)
        self._until = loop.time() + limits.session_s
        self._ended: asyncio.Future[EndedError] = loop.create_future()

    async def run(self) -> None:
        """Serve to the end."""
        self._task(self._outbox.run())
        reading = asyncio.create_task(self._read())
        try:
            self._outbox.put("session.created", session=self._session_document())
            await asyncio.wait((reading, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                await self._farewell(self._ended.result())
            else:
                reading.result()
        finally:
            tasks = [reading, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while (message := await self._next())["type"] != "websocket.disconnect":
                if not self._pace.take():
                    raise EndedError(POLICY, LimitReached("too many messages at once"))
                self._message(message)
        except SlowReaderError:
            self._end(EndedError(POLICY))
        except EndedError as end:
            self._end(end)

    async def _next(self) -> Message:
        """The next message. Raises EndedError when it has been long enough without one."""
        while True:
            quiet = self._clock() + self._limits.idle_s
            try:
                async with asyncio.timeout_at(min(quiet, self._until)):
                    return await self._socket.receive()
            except TimeoutError:
                if self._clock() >= self._until:
                    told = InvalidRequest("a session has an end: connect again")
                    raise EndedError(GOING_AWAY, told) from None
                if not self._responder.is_working:
                    told = InvalidRequest(f"nothing was sent for {self._limits.idle_s:g} seconds")
                    raise EndedError(GOING_AWAY, told) from None

    def _message(self, message: Message) -> None:
        text = message.get("text") or message.get("bytes") or ""
        if len(text) > self._limits.message_bytes:
            limit = self._limits.message_bytes
            raise EndedError(TOO_BIG, InvalidRequest(f"a message has {limit} bytes at most"))
        event_id = None
        try:
            document = _json(text)
            event_id = document.get("event_id") if isinstance(document, dict) else None
            self._do(client.parsed(document))
        except CarillonError as error:
            event_id = event_id[:512] if isinstance(event_id, str) else None
            self._outbox.put("error", error=error_object(error, event_id))

    def _do(self, event: client.ClientEvent) -> None:  # noqa: C901 - a table of events
        match event:
            case client.SessionUpdate():
                self._update(event.session)
            case client.BufferAppend():
                self._listen(event.audio)
            case client.BufferCommit():
                self._require_room(self._ear.held_bytes)
                self._commit(new_id("item"), self._ear.take())
            case client.BufferClear():
                self._ear.clear()
                self._outbox.put("input_audio_buffer.cleared")
            case client.ItemCreate():
                item = Item.of(event.item, "item")
                self._require_room(item.sound_bytes)
                self._add(item, event.previous_item_id)
            case client.ItemDelete():
                item = self._conversation.find(event.item_id)
                self._conversation.remove(item)
                item.stop_hearing()
                self._outbox.put("conversation.item.deleted", item_id=event.item_id)
            case client.ItemRetrieve():
                item = self._conversation.find(event.item_id)
                self._outbox.put("conversation.item.retrieved", item=item.document())
            case client.ItemTruncate():
                self._truncate(event)
            case client.ResponseCreate():
                self._responder.begin(self._session, event.response or ResponseParams())
            case client.ResponseCancel():
                self._responder.cancel(event.response_id)

    def _update(self, change: dict[str, Any]) -> None:
        session = self._session.updated(change)
        asked = session.audio.input.transcription
        if asked is not None:
            self._calls.require("transcribe", asked.model)
        if session.audio.input.turn_detection != self._session.audio.input.turn_detection:
            self._ear.detect(session.audio.input.turn_detection)
        self._session = session
        self._outbox.put("session.updated", session=self._session_document())

    def _session_document(self) -> dict[str, Any]:
        facts = {"id": self._calls.session_id, "object": "realtime.session"}
        return facts | {"expires_at": self._expires_at} | self._session.model_dump()

    def _listen(self, audio: str) -> None:
        turns = self._session.audio.input.turn_detection
        for change in self._ear.hear(audio):
            where = {"item_id": self._ear.item_id}
            if change.speaking:
                started = {"audio_start_ms": change.at_ms}
                self._outbox.put("input_audio_buffer.speech_started", **started, **where)
                if turns is not None and turns.interrupt_response:
                    self._responder.stop("turn_detected")
                continue
            stopped = {"audio_end_ms": change.at_ms}
            self._outbox.put("input_audio_buffer.speech_stopped", **stopped, **where)
            sound = self._ear.take_turn(change.at_ms)
            self._require_room(len(sound))
            self._commit(self._ear.item_id, sound)
            if turns is not None and turns.create_response and not self._responder.is_busy:
                self._responder.begin(self._session, ResponseParams())
        self._ear.forget_silence()

    def _commit(self, item_id: str, sound: bytes) -> None:
        item = Item(item_id, "user", [Content("input_audio", sound=sound)])
        before = self._conversation.last_id
        self._outbox.put("input_audio_buffer.committed", item_id=item_id, previous_item_id=before)
        self._add(item)

    def _require_room(self, size: int) -> None:
        if self._conversation.sound_bytes + size > self._ear.most_bytes:
            raise InvalidRequest(
                f"over {self._limits.buffer_s:g} seconds of sound wait to be answered: "
                "make a response, or delete items"
            )

    def _add(self, item: Item, after: str | None = None) -> None:
        before = self._conversation.add(item, after)
        facts = {"previous_item_id": before, "item": item.document()}
        self._outbox.put("conversation.item.added", **facts)
        self._outbox.put("conversation.item.done", **facts)
        for dropped in self._conversation.surplus():
            dropped.stop_hearing()
            self._outbox.put("conversation.item.deleted", item_id=dropped.id)
        asked = self._session.audio.input.transcription
        if asked is not None and item.sound_bytes:
            item.hearing = self._task(self._hearing.hear(item, asked))

    def _truncate(self, event: client.ItemTruncate) -> None:
        item = self._conversation.find(event.item_id)
        if item.content[0].kind != "output_audio":
            raise InvalidRequest("only spoken answers can be cut short", "item_id")
        item.truncate(event.audio_end_ms)
        said = {"content_index": 0, "audio_end_ms": event.audio_end_ms}
        self._outbox.put("conversation.item.truncated", item_id=item.id, **said)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Unauthenticated):
            self._end(EndedError(UNAUTHORIZED, error))
        elif isinstance(error, (SlowReaderError, WebSocketDisconnect)):
            self._end(EndedError(POLICY))
        else:
            logger.error("a task of a WebSocket failed", exc_info=error)
            self._end(EndedError(INTERNAL, CarillonError("internal error")))

    def _end(self, end: EndedError) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    async def _farewell(self, end: EndedError) -> None:
        """The last event, after all that wait, and the close frame; a client may be gone."""
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect, SlowReaderError):
            async with asyncio.timeout(FAREWELL_S):
                if end.error is not None:
                    self._outbox.put("error", error=error_object(end.error))
                    await self._outbox.empty()
                await self._socket.close(end.code, end.error.code if end.error else "")


def _json(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"a message is a JSON object: {error}") from error

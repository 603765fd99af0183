"""One voice call: it hears, answers and speaks, each as soon as there is something to do.

Place in the path: inside the voice graph's replica. Recordings are written down one after the
other; then the chat model writes while the sentences that it has ended are spoken. Its steps count
on a context of their own: a replica sets the call's units to those of the chunk that it passes on,
and what runs at the same time must not be lost by that.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from core.chat import ChatRequest
from core.errors import CarillonError, ContextOverflow
from core.model import CallContext
from core.speech import SpeechRequest, VoicesRequest
from core.sse import EventReader
from core.transcription import TranscriptionRequest
from core.voice import VoiceRequest
from core.work import WorkUnits
from graphs.step import Step
from graphs.voice.events import Event, Finished, Heard, Said, Sound, Spoken
from graphs.voice.sentences import SentenceCutter
from graphs.voice.sound import SoundStream, pieces

WAITING_EVENTS = 16
"""Events made and not yet read: whoever reads slowly slows the models down."""
WAKE_S = 1.5

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Steps:
    """The models of one call."""

    transcription: Step
    chat: Step
    speech: Step


class Talk:
    """One call's work."""

    def __init__(
        self, steps: Steps, request: VoiceRequest, call: CallContext, instructions: str
    ) -> None:
        self._steps = steps
        self._request = request
        self._instructions = instructions
        self._own = replace(call)
        self._events: asyncio.Queue[Event | Exception | None] = asyncio.Queue(WAITING_EVENTS)
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()

    @property
    def units(self) -> WorkUnits:
        """What all steps took so far."""
        return self._own.done

    def account(self, call: CallContext) -> None:
        """Write into `call` what was done."""
        call.done, call.device_s = self._own.done, self._own.device_s

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens, as it happens. Closing it stops the steps. Raises what a step raised."""
        working = asyncio.create_task(self._work())
        try:
            while (event := await self._events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            working.cancel()
            await asyncio.wait((working,))

    async def _work(self) -> None:
        try:
            await self._answer()
        except ExceptionGroup as group:
            await self._events.put(group.exceptions[0])
        except Exception as error:  # noqa: BLE001 - raised again where events are read
            await self._events.put(error)
        await self._events.put(None)

    async def _answer(self) -> None:
        waking = asyncio.create_task(self._wake_speech())
        try:
            messages = await self._messages()
        finally:
            waking.cancel()
        if not messages[-1]["content"]:
            await self._events.put(Finished("", "no_speech"))
            return
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(messages))
            if self._request.speak:
                group.create_task(self._speak())
        await self._events.put(writing.result())

    async def _wake_speech(self) -> None:
        """Wake the speech model too, where hearing takes so long that its model must be waking."""
        await asyncio.sleep(WAKE_S)
        if self._request.speak:
            with suppress(CarillonError):  # it will be told when there is something to say
                free = CallContext(self._own.request_id, durable=True)
                await self._steps.speech.answer("voices", VoicesRequest(), free)

    async def _messages(self) -> list[Message]:
        """The conversation for the chat model; recordings in it are heard."""
        system = self._request.instructions
        system = self._instructions if system is None else system
        messages = [{"role": "system", "content": system}] if system else []
        turns = self._request.turns
        for number, turn in enumerate(turns):
            text = turn.content
            if turn.audio is not None:
                text = await self._hear(turn.audio)
                await self._events.put(Heard(number, text))
            if text or number == len(turns) - 1:
                messages.append({"role": turn.role, "content": text or ""})
        return messages

    async def _hear(self, recording: bytes) -> str:
        request = TranscriptionRequest(file=recording, language=self._request.language)
        reply = await self._steps.transcription.answer("transcribe", request, self._own)
        return str(orjson.loads(reply.body)["text"]).strip()

    async def _write(self, messages: list[Message]) -> Finished:
        """The chat model's answer; its sentences go to be spoken."""
        cutter, text, reason = SentenceCutter(), "", "stop"
        room = self._own.reserved.characters or None
        async with aclosing(self._deltas(messages)) as deltas:
            async for delta, ended in deltas:
                reason = ended or reason
                said = delta if room is None else delta[: room - len(text)]
                if said:
                    text += said
                    await self._events.put(Said(said))
                    self._to_be_spoken(cutter.feed(said))
                if said != delta:
                    reason = "length"
                    break
        self._to_be_spoken(cutter.rest())
        self._sentences.put_nowait(None)
        return Finished(text, reason)

    def _to_be_spoken(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self._sentences.put_nowait(sentence)

    async def _deltas(self, messages: list[Message]) -> AsyncGenerator[tuple[str, str | None]]:
        """Texts, and the reason for the end; again with fewer turns if that is allowed."""
        while True:
            request = self._chat_request(messages)
            try:
                async with aclosing(self._chat(request)) as deltas:
                    async for delta in deltas:
                        yield delta
            except ContextOverflow:
                # Raised before the first token, so nothing is told twice.
                messages = _without_oldest(messages)
                if self._request.truncation == "disabled" or not messages:
                    raise
            else:
                return

    async def _chat(self, request: ChatRequest) -> AsyncGenerator[tuple[str, str | None]]:
        reader = EventReader()
        async with aclosing(self._steps.chat.stream("chat", request, self._own)) as chunks:
            async for chunk in chunks:
                for event in reader.feed(chunk.data):
                    if "error" in event:
                        raise CarillonError(f"the model '{self._steps.chat.model}' failed")
                    for choice in event["choices"]:
                        yield choice["delta"].get("content") or "", choice.get("finish_reason")

    def _chat_request(self, messages: list[Message]) -> ChatRequest:
        asked = {
            "max_completion_tokens": self._request.max_tokens,
            "temperature": self._request.temperature,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return ChatRequest.model_validate({"messages": messages, "stream": True} | given)

    async def _speak(self) -> None:
        sound, index = SoundStream(self._request.format), 0
        while (sentence := await self._sentences.get()) is not None:
            await self._events.put(Spoken(index, sentence))
            request = self._speech_request(sentence)
            async with aclosing(self._steps.speech.stream("speak", request, self._own)) as chunks:
                async for chunk in chunks:
                    await self._emit(index, await sound.feed(chunk.data))
            index += 1
        await self._emit(max(0, index - 1), await sound.finish())

    def _speech_request(self, sentence: str) -> SpeechRequest:
        asked = self._request
        return SpeechRequest(
            input=sentence,
            voice=asked.voice,
            speed=asked.speed,
            language=asked.speech_language,
            response_format="pcm",
        )

    async def _emit(self, index: int, data: bytes) -> None:
        for piece in pieces(data):
            await self._events.put(Sound(index, piece))


def _without_oldest(messages: list[Message]) -> list[Message]:
    """The newer half of the conversation; the system message stays. Empty when none is left."""
    system = messages[:1] if messages[0]["role"] == "system" else []
    turns = messages[len(system) :]
    kept = turns[(len(turns) + 1) // 2 :]
    while len(kept) > 1 and kept[0]["role"] == "assistant":
        kept = kept[1:]
    return [*system, *kept] if kept else []

"""Vision: pictures to text. Captions, questions, chats with pictures, and printed text read.

Place in the path: step 4. The model answers captions, questions and chats (`vision_engine`); an
OCR library reads text (`reading`). This file turns requests into rows of the engine and counts
what was done. It fetches nothing: pictures arrive as bytes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import Field

from core.chat import ChatRequest
from core.errors import InvalidRequest
from core.model import CallContext, Chunk, ModelSpec, Operation, Reply
from core.vision import DescriptionRequest, estimate_description, estimate_vision_chat
from core.work import WorkUnits
from deployments.pictures import as_rgb, open_picture
from deployments.reading import Block, Reader, ReadingSettings, text_of
from deployments.vision_chat import (
    Events,
    check_supported,
    completion,
    conversation,
    count_pictures,
    sampling_of,
    stops_of,
)
from deployments.vision_engine import VisionEngine, VisionEngineSettings
from deployments.vision_rows import Finish, Piece, Row, Sampling

DECODING_THREADS = 2
"""Pictures decoded at the same time: each may take 100 MB until it is made smaller."""

SCALABLE = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})
"""Modes whose pixels can be averaged as they are: palettes and bits cannot."""


class VisionSettings(VisionEngineSettings):
    """`engine` settings of a vision model."""

    name: str
    """Name that answers carry."""
    caption_prompt: str = "Describe the picture."
    """What the task "caption" asks the model."""
    max_tokens: int = Field(256, ge=1)
    """Output when neither the request nor the reservation limits it."""
    longest_side: int = Field(2048, ge=64)
    """Pixels; larger pictures are made smaller before the model's own processor sees them."""
    max_pictures: int = Field(8, ge=1)
    """Most pictures of one chat."""
    reading: ReadingSettings = ReadingSettings()
    """How the task "ocr" reads."""


class Vision:
    """One vision-language model and one reader of text."""

    def __init__(self, settings: VisionSettings) -> None:
        self.settings = settings
        self.engine = VisionEngine(settings)
        self.reader = Reader(settings.reading)
        self.decoders = ThreadPoolExecutor(DECODING_THREADS, "decode")

    async def start(self) -> None:
        """Begin to take requests."""
        await self.engine.start()

    async def stop(self) -> None:
        await self.engine.stop()

    async def check_health(self) -> None:
        """Raises when the engine has ended, so that Serve replaces this replica."""
        self.engine.check_health()

    async def describe(self, request: DescriptionRequest, call: CallContext) -> Reply:
        """A caption, an answer, or the text of a picture."""
        if request.task == "ocr":
            body, units = await self._read(request, call)
            return Reply(orjson.dumps(body), units)
        text, _, units = await self._whole(await self._description_row(request, call), call)
        return Reply(orjson.dumps(self._description(request, call, text, units)), units)

    async def describe_stream(
        self, request: DescriptionRequest, call: CallContext
    ) -> AsyncIterator[Chunk]:
        """The same as events: `image.description.delta`, then `image.description.done`."""
        if request.task == "ocr":
            body, units = await self._read(request, call)
            yield Chunk(_delta(body["text"]), units)
            yield Chunk(_done(body), units)
            return
        row = await self._description_row(request, call)
        said, units = "", WorkUnits()
        async with aclosing(self._pieces(row, call)) as pieces:
            async for piece in pieces:
                said, units = said + piece.text, call.done
                if piece.text:
                    yield Chunk(_delta(piece.text), units)
        yield Chunk(_done(self._description(request, call, said.strip(), units)), units)

    async def chat(self, request: ChatRequest, call: CallContext) -> Reply:
        """A whole chat completion."""
        row = await self._chat_row(request, call)
        text, finish, units = await self._whole(row, call)
        return Reply(completion(call, self.settings.name, text, finish, units), units)

    async def chat_stream(self, request: ChatRequest, call: CallContext) -> AsyncIterator[Chunk]:
        """A chat completion as server-sent events."""
        row = await self._chat_row(request, call)
        wants_usage = bool(request.stream_options and request.stream_options.include_usage)
        events = Events(call, self.settings.name, wants_usage=wants_usage)
        started = False
        async with aclosing(self._pieces(row, call)) as pieces:
            async for piece in pieces:
                if not started:
                    # Not sooner: a prompt that does not fit is still an error with a status.
                    started = True
                    yield Chunk(events.start(), call.done)
                if piece.text:
                    yield Chunk(events.delta(piece.text), call.done)
                for event in events.end(piece.finish, call.done) if piece.finish else ():
                    yield Chunk(event, call.done)

    async def _whole(self, row: Row, call: CallContext) -> tuple[str, Finish, WorkUnits]:
        said: list[str] = []
        finish: Finish = "stop"
        async with aclosing(self._pieces(row, call)) as pieces:
            async for piece in pieces:
                said.append(piece.text)
                finish = piece.finish or finish
        return "".join(said).strip(), finish, call.done

    async def _pieces(self, row: Row, call: CallContext) -> AsyncGenerator[Piece, None]:
        """What the row says; `call.done` keeps count."""
        async with aclosing(self.engine.generate(row)) as pieces:
            async for piece in pieces:
                call.done = WorkUnits(
                    input_tokens=piece.prompt_tokens, output_tokens=piece.output_tokens
                )
                yield piece

    async def _description_row(self, request: DescriptionRequest, call: CallContext) -> Row:
        question = request.question or self.settings.caption_prompt
        self.engine.check_text(question, "question")
        picture = await self._off_loop(self._decode, request.image, "image")
        content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        return Row(
            [{"role": "user", "content": content}],
            self._limit(request.max_tokens, call),
            Sampling(),
            pictures=1,
            param="question" if request.question else "image",
            call=call,
        )

    async def _chat_row(self, request: ChatRequest, call: CallContext) -> Row:
        check_supported(request)
        messages = await self._off_loop(
            conversation, request, self._counted_decode(), self.engine.check_text
        )
        return Row(
            messages,
            self._limit(request.output_limit, call),
            sampling_of(request, self.engine.temperature),
            stops_of(request),
            count_pictures(messages),
            call=call,
        )

    def _limit(self, asked: int | None, call: CallContext) -> int:
        return asked or call.reserved.output_tokens or self.settings.max_tokens

    def _counted_decode(self) -> Any:
        """`_decode`, as often as one chat may."""
        seen = 0

        def decode(data: bytes, param: str) -> Any:
            nonlocal seen
            seen += 1
            if seen > self.settings.max_pictures:
                raise InvalidRequest(
                    f"at most {self.settings.max_pictures} pictures in one chat", param
                )
            return self._decode(data, param)

        return decode

    def _decode(self, data: bytes, param: str) -> Any:
        """The picture in RGB, no longer than `longest_side`."""
        picture = open_picture(data, param)
        if picture.mode not in SCALABLE:
            picture = as_rgb(picture)
        picture.thumbnail((self.settings.longest_side, self.settings.longest_side))
        return as_rgb(picture)

    async def _read(
        self, request: DescriptionRequest, call: CallContext
    ) -> tuple[dict[str, Any], WorkUnits]:
        blocks, pixels = await self.reader.read(request.image, "image", call)
        call.done = units = WorkUnits(pixel_steps=pixels)
        body = self._description(request, call, text_of(blocks), units)
        return body | {"blocks": [_block(block) for block in blocks]}, units

    async def _off_loop(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.decoders, work, *arguments)

    def _description(
        self, request: DescriptionRequest, call: CallContext, text: str, units: WorkUnits
    ) -> dict[str, Any]:
        return {
            "id": f"imgdesc-{call.request_id}",
            "object": "image.description",
            "model": self.settings.name,
            "task": request.task,
            "text": text,
            "usage": {
                "input_tokens": units.input_tokens,
                "output_tokens": units.output_tokens,
                "total_tokens": units.tokens,
                "pixels": units.pixel_steps,
            },
        }


def _block(block: Block) -> dict[str, Any]:
    return {"text": block.text, "box": block.box, "confidence": block.confidence}


def _delta(text: str) -> bytes:
    return _sse("image.description.delta", {"delta": text})


def _done(body: dict[str, Any]) -> bytes:
    return _sse("image.description.done", body)


def _sse(kind: str, fields: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind} | fields) + b"\n\n"


SPEC = ModelSpec(
    family="vision",
    model=Vision,
    settings=VisionSettings,
    operations={
        "describe": Operation(
            method="describe",
            stream_method="describe_stream",
            request=DescriptionRequest,
            estimate=estimate_description,
        ),
        "chat": Operation(
            method="chat",
            stream_method="chat_stream",
            request=ChatRequest,
            estimate=estimate_vision_chat,
        ),
    },
    options={"max_ongoing_requests": 32, "max_queued_requests": 128},
)

"""Stand-ins for the models that a graph calls: an encoder of words, a chat with one answer, a
ranking by words.

They are `graphs.step.Step`s: they count into the call, and raise what a test says.
"""

import hashlib
import math
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from pydantic import BaseModel

from core.chat import ChatRequest
from core.embedding import EmbeddingRequest
from core.model import CallContext, Chunk, Reply
from core.rerank import RerankRequest, rerank_body
from core.work import WorkUnits
from graphs.step import Step

DIMENSIONS = 64


def encoded(text: str) -> list[float]:
    """A vector of the words of a text: texts that share words are alike."""
    vector = [0.0] * DIMENSIONS
    for word, count in Counter(text.lower().split()).items():
        place = int.from_bytes(hashlib.sha256(word.strip(".,?!#").encode()).digest()[:4], "big")
        vector[place % DIMENSIONS] += count
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector] if any(vector) else [1.0, *vector[1:]]


class FakeEncoder(Step):
    """Embeds by words; one word is one token."""

    def __init__(self) -> None:
        super().__init__("encoder")
        self.requests: list[EmbeddingRequest] = []
        self.error: Exception | None = None

    async def answer(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> Reply:
        assert operation == "embed"
        assert isinstance(request, EmbeddingRequest)
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        texts = [str(text) for text in request.texts_or_tokens()]
        data = [{"index": i, "embedding": encoded(text)} for i, text in enumerate(texts)]
        units = WorkUnits(input_tokens=sum(len(text.split()) for text in texts))
        call.done += units
        return Reply(orjson.dumps({"data": data}), units)

    @property
    def texts(self) -> list[str]:
        """Everything that was embedded."""
        return [str(text) for request in self.requests for text in request.texts_or_tokens()]


class FakeChat(Step):
    """Says `words`, whole or a word a chunk; keeps what it was asked."""

    def __init__(self, words: str = "Four euros [1].") -> None:
        super().__init__("chat")
        self.words = words
        self.requests: list[ChatRequest] = []

    async def answer(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> Reply:
        units = self._took(operation, request)
        call.done += units
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.words},
            "finish_reason": "stop",
        }
        body = {"id": "chatcmpl-x", "object": "chat.completion", "model": "chat", "created": 1}
        return Reply(orjson.dumps(body | {"choices": [choice], "usage": {}}), units)

    async def stream(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        units = self._took(operation, request)
        call.done += WorkUnits(input_tokens=units.input_tokens)
        whole = b""
        for number, word in enumerate(self.words.split(" ")):
            call.done += WorkUnits(output_tokens=1)
            delta = {"content": word if number == 0 else f" {word}"}
            whole += _event({"index": 0, "delta": delta, "finish_reason": None})
        whole += _event({"index": 0, "delta": {}, "finish_reason": "stop"}) + b"data: [DONE]\n\n"
        # In pieces that end anywhere: events may be cut by whatever carries them.
        for start in range(0, len(whole), 70):
            yield Chunk(whole[start : start + 70], units)

    def _took(self, operation: str, request: BaseModel | dict[str, Any]) -> WorkUnits:
        assert operation == "chat"
        assert isinstance(request, ChatRequest)
        self.requests.append(request)
        read = sum(len(str(message.content).split()) for message in request.messages)
        return WorkUnits(input_tokens=read, output_tokens=len(self.words.split()))


class FakeReranker(Step):
    """A document's score is how often it has the word `word`; one word is one token."""

    def __init__(self, word: str) -> None:
        super().__init__("reranker")
        self.word = word
        self.requests: list[RerankRequest] = []

    async def answer(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> Reply:
        assert operation == "rerank"
        assert isinstance(request, RerankRequest)
        self.requests.append(request)
        scores = [float(text.split().count(self.word)) for text in request.texts]
        units = WorkUnits(input_tokens=sum(len(text.split()) for text in request.texts))
        call.done += units
        body = rerank_body(request, scores, self.model, call.request_id, units)
        return Reply(orjson.dumps(body), units)


def _event(choice: dict[str, Any]) -> bytes:
    event = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "model": "chat"}
    return b"data: " + orjson.dumps(event | {"choices": [choice]}) + b"\n\n"

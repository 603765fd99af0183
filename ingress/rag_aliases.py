"""RAG under the paths of the multi-tenant platform that Carillon succeeds, as thin aliases.

Place in the path: step 1 for older clients. Fields come in the query, in a JSON body, or in both;
they are renamed, the canonical handler answers, and its answer is renamed back.

    POST /api/v1/services/rag/search?query=&top_k=    POST /v1/rag/search
    POST /api/v1/services/rag/generate                POST /v1/rag/generate
    POST /api/v1/services/rag/chat                    POST /v1/rag/chat
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from core.chat import Message
from core.filters import Filter
from core.rag import (
    DEFAULT_COLLECTION,
    MAX_RESULTS,
    GenerateRequest,
    Name,
    Query,
    RagChatRequest,
    SearchRequest,
)
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.rag import RagEndpoints
from ingress.responses import StreamResponse, json_response


class RagQuery(BaseModel):
    """POST /api/v1/services/rag/search and /generate."""

    model_config = ConfigDict(extra="forbid")

    query: Query
    top_k: int = Field(5, ge=1, le=MAX_RESULTS)
    collection: Name = DEFAULT_COLLECTION
    model: str | None = None
    filter: Filter | None = None


class RagMessages(BaseModel):
    """POST /api/v1/services/rag/chat: `messages`, or one `message`."""

    model_config = ConfigDict(extra="forbid")

    message: Query | None = None
    messages: list[Message] = Field(default_factory=list)
    top_k: int = Field(5, ge=1, le=MAX_RESULTS)
    collection: Name = DEFAULT_COLLECTION
    model: str | None = None
    stream: bool = False

    def as_chat(self) -> dict[str, Any]:
        """The same request in our own words."""
        fields = self.model_dump(exclude={"message"}, exclude_none=True)
        if self.message is not None:
            fields["messages"] += [{"role": "user", "content": self.message}]
        return fields


class RagAliases:
    """Handlers that translate and pass on."""

    def __init__(self, rag: RagEndpoints) -> None:
        self._rag = rag

    def endpoints(self) -> list[Endpoint]:
        base = "/api/v1/services/rag"
        return [
            Endpoint("POST", f"{base}/search", self.search, "Alias of /v1/rag/search", RagQuery),
            Endpoint(
                "POST", f"{base}/generate", self.generate, "Alias of /v1/rag/generate", RagQuery
            ),
            Endpoint("POST", f"{base}/chat", self.chat, "Alias of /v1/rag/chat", RagMessages),
        ]

    async def search(self, exchange: Exchange) -> Response:
        request = validate(RagQuery, await self._asked(exchange))
        document = request.model_dump(exclude_none=True)
        answer = await self._rag.ask(exchange, "search", SearchRequest, document)
        found = orjson.loads(answer.body)
        results = [_result(each) for each in found["results"]]
        return json_response(
            {"query": request.query, "results": results, "total_results": len(results)}
        )

    async def generate(self, exchange: Exchange) -> Response:
        request = validate(RagQuery, await self._asked(exchange))
        document = request.model_dump(exclude_none=True)
        answer = await self._rag.ask(exchange, "answer", GenerateRequest, document)
        whole = orjson.loads(answer.body)
        return json_response(
            {
                "query": request.query,
                "response": whole["answer"],
                "sources": whole["citations"],
                "model": whole["model"],
                "usage": whole["usage"],
            }
        )

    async def chat(self, exchange: Exchange) -> Response:
        """`response`, `sources`, `model`, `usage`; a stream is the canonical one."""
        request = validate(RagMessages, await self._asked(exchange))
        answer = await self._rag.ask(exchange, "chat", RagChatRequest, request.as_chat())
        if isinstance(answer, StreamResponse):
            return answer
        whole = orjson.loads(answer.body)
        return json_response(
            {
                "response": whole["choices"][0]["message"]["content"],
                "sources": whole["citations"],
                "model": whole["model"],
                "usage": whole["usage"],
            }
        )

    async def _asked(self, exchange: Exchange) -> dict[str, Any]:
        """The fields of the query and of the body, which come before those of the query."""
        return dict(exchange.http.query_params) | await self._rag.asked(exchange)


def _result(found: dict[str, Any]) -> dict[str, Any]:
    facts = {name: found[name] for name in ("title", "heading", "page", "start", "end")}
    return {
        "document_id": found["document"],
        "content": found["text"],
        "score": found["score"],
        "metadata": facts | found["metadata"],
    }

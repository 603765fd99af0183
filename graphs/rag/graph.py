"""RAG: documents in, and answers out that cite them. A graph of an embedding and a chat model.

Place in the path: step 4, in a replica of its own; its steps are models, called by handle. Whose
documents a call is about, its `tenant` field says, which the gateway fills in. What it can do:

    read_document      a file as its text, and what embedding it would take
    add_document       text, cut into passages, embedded and kept
    delete_documents   one document, or a collection
    search             the passages that answer a query
    answer             one question, answered from passages
    chat               a conversation, its last message answered from passages

It knows neither HTTP nor limits. Formats, passages, the store, the prompt: each is a file here.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from auth.database import Database
from core.chat import ChatRequest, Message, StreamOptions
from core.model import CallContext, Chunk, ModelSpec, Operation, Reply
from core.rag import (
    AddRequest,
    ChatAboutDocuments,
    DeleteRequest,
    FindPassages,
    GenerateAnswer,
    Looked,
    RagLimits,
    ReadRequest,
    Retrieval,
)
from core.rag_work import (
    DEFAULT_OUTPUT_TOKENS,
    estimate_add,
    estimate_answer,
    estimate_delete,
    estimate_rag_chat,
    estimate_read,
    estimate_search,
)
from graphs.model import ModelArgs, build
from graphs.rag import answers, prompt
from graphs.rag.embedding import Embedder
from graphs.rag.intake import Intake
from graphs.rag.library import Library
from graphs.rag.reader import FileReader
from graphs.rag.retrieval import Retriever, Source
from graphs.rag.settings import RagSettings
from graphs.rag.store_settings import StoreChoice
from graphs.rag.token_count import TokenCounter
from graphs.rag.vector_store import Scope, VectorStore
from graphs.step import Step
from models.sources import locate

__all__ = ["SPEC", "ModelArgs", "Rag", "RagSettings", "build"]

OWN_FIELDS = {*Retrieval.model_fields, *Looked.model_fields, "messages", "model", "stream"}
"""Of a chat about documents: what is not the chat model's business."""


class Rag:
    """One graph over one vector store.

    Args:
        store: in place of the one that the settings name.
        step: makes a step of a model's id.
    """

    def __init__(
        self,
        settings: RagSettings,
        store: VectorStore | None = None,
        step: Callable[[str], Step] = Step,
    ) -> None:
        self.settings = settings
        self.store = _opened(settings.store) if store is None else store
        self.database = Database(settings.database_url.resolve())
        self.chat_model = step(settings.chat)
        embedder = Embedder(step(settings.embeddings))
        library = Library(
            self.database, self.store, model=settings.name, embedding=settings.embeddings
        )
        source = settings.tokenizer
        counter = TokenCounter(None if source is None else locate(source))
        reranker = None if settings.reranker is None else step(settings.reranker)
        self.library = library
        self.intake = Intake(settings.limits, counter, FileReader(), embedder, library)
        self.retriever = Retriever(self.store, library, embedder, reranker, settings.limits)

    async def start(self) -> None:
        """Open the vector store."""
        await self.store.start()

    async def stop(self) -> None:
        """Close every connection."""
        await self.store.aclose()
        await self.database.aclose()

    async def read_document(self, request: ReadRequest, call: CallContext) -> Reply:
        """A file, or text, as `Intake.read` tells of it."""
        del call
        return Reply(orjson.dumps(await self.intake.read(request)))

    async def add_document(self, request: AddRequest, call: CallContext) -> Reply:
        """The document, once all of it can be found. Before that nothing of it is there."""
        body = await self.intake.add(request, call) | {"usage": _embedded(call)}
        return Reply(orjson.dumps(body), call.done)

    async def delete_documents(self, request: DeleteRequest, call: CallContext) -> Reply:
        """Forget a document, or a whole collection. Raises NotFound."""
        scope = Scope(request.tenant, request.collection)
        if request.id is None:
            await self.library.delete_collection(scope)
            body = {"id": request.collection, "object": "rag.collection.deleted"}
        else:
            await self.library.delete(scope, request.id)
            body = {"id": request.id, "object": "rag.document.deleted"}
            body["collection"] = request.collection
        return Reply(orjson.dumps(body | {"deleted": True}), call.done)

    async def search(self, request: FindPassages, call: CallContext) -> Reply:
        """`results`: passages with their document, place, score and metadata, best first."""
        sources = await self.retriever.find(request.query, request, request, call)
        body = {
            "object": "list",
            "model": self.settings.name,
            "collection": request.collection,
            "query": request.query,
            "results": [source.result() for source in sources],
            "usage": _embedded(call),
        }
        return Reply(orjson.dumps(body), call.done)

    async def answer(self, request: GenerateAnswer, call: CallContext) -> Reply:
        """`answer` to a question, and its `citations`."""
        sources, asked = await self._asked(request, call)
        reply = await self.chat_model.answer("chat", asked, call)
        whole = answers.completion(reply.body, sources, self.settings.name, call)
        body = {
            "id": whole["id"],
            "object": "rag.answer",
            "model": whole["model"],
            "query": request.query,
            "answer": answers.said(whole),
            "finish_reason": whole["choices"][0]["finish_reason"],
            "citations": whole["citations"],
            "usage": whole["usage"],
        }
        return Reply(orjson.dumps(body), call.done)

    async def answer_stream(
        self, request: GenerateAnswer, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same as OpenAI's chat chunks; the last that has a choice has the `citations`."""
        sources, asked = await self._asked(request, call)
        async for chunk in self._streamed(asked, sources, call, wants_usage=False):
            yield chunk

    async def chat(self, request: ChatAboutDocuments, call: CallContext) -> Reply:
        """OpenAI's chat completion, with `citations`."""
        sources, asked = await self._conversation(request, call)
        reply = await self.chat_model.answer("chat", asked, call)
        body = answers.completion(reply.body, sources, self.settings.name, call)
        return Reply(orjson.dumps(body), call.done)

    async def chat_stream(
        self, request: ChatAboutDocuments, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """OpenAI's chat chunks; the last that has a choice has the `citations`."""
        sources, asked = await self._conversation(request, call)
        wants_usage = bool(request.stream_options and request.stream_options.include_usage)
        async for chunk in self._streamed(asked, sources, call, wants_usage=wants_usage):
            yield chunk

    async def _streamed(
        self,
        asked: ChatRequest,
        sources: Sequence[Source],
        call: CallContext,
        *,
        wants_usage: bool,
    ) -> AsyncGenerator[Chunk, None]:
        asked = asked.model_copy(update={"stream": True, "stream_options": StreamOptions()})
        async with aclosing(self.chat_model.stream("chat", asked, call)) as chunks:
            events = answers.stream(
                chunks, sources, self.settings.name, call, wants_usage=wants_usage
            )
            async for chunk in events:
                yield chunk

    async def _asked(
        self, request: GenerateAnswer, call: CallContext
    ) -> tuple[Sequence[Source], ChatRequest]:
        fields = request.model_dump(include={"temperature", "seed"}, exclude_none=True)
        limit = request.max_tokens
        return await self._prompted([], request.query, request, request, fields, limit, call)

    async def _conversation(
        self, request: ChatAboutDocuments, call: CallContext
    ) -> tuple[Sequence[Source], ChatRequest]:
        limits = {"max_tokens", "max_completion_tokens", "stream_options"}
        fields = request.model_dump(exclude=OWN_FIELDS | limits, exclude_unset=True)
        before = request.messages[:-1]
        question, limit = request.question, request.output_limit
        return await self._prompted(before, question, request, request, fields, limit, call)

    async def _prompted(
        self,
        before: Sequence[Message],
        question: str,
        wanted: Retrieval,
        whose: Looked,
        fields: dict[str, Any],
        limit: int | None,
        call: CallContext,
    ) -> tuple[Sequence[Source], ChatRequest]:
        """The sources that are in the prompt, and the request for the chat model."""
        found = await self.retriever.find(question, wanted, whose, call)
        written = prompt.fitting(found, self.settings.limits.context_bytes)
        messages = prompt.conversation(before, question, written)
        most = limit or call.reserved.output_tokens or DEFAULT_OUTPUT_TOKENS
        asked = ChatRequest(messages=messages, max_completion_tokens=most, **fields)
        return found[: len(written)], asked


def _opened(choice: StoreChoice) -> VectorStore:
    from graphs.rag.stores import open_store  # noqa: PLC0415  # clients of vector databases

    return open_store(choice)


def _embedded(call: CallContext) -> dict[str, int]:
    return {"prompt_tokens": call.done.input_tokens, "total_tokens": call.done.tokens}


def _has_replaced(body: bytes) -> bool:
    return bool(orjson.loads(body)["replaced"])


def _has_deleted(body: bytes) -> bool:
    return bool(orjson.loads(body)["deleted"])


SPEC = ModelSpec(
    family="rag",
    model=Rag,
    settings=RagSettings,
    operations={
        "read_document": Operation(
            method="read_document", request=ReadRequest, estimate=estimate_read, cacheable=False
        ),
        "add_document": Operation(
            method="add_document",
            request=AddRequest,
            estimate=estimate_add,
            cacheable=False,
            tenant_field="tenant",
            outdates=_has_replaced,
        ),
        "delete_documents": Operation(
            method="delete_documents",
            request=DeleteRequest,
            estimate=estimate_delete,
            cacheable=False,
            tenant_field="tenant",
            outdates=_has_deleted,
        ),
        "search": Operation(
            method="search", request=FindPassages, estimate=estimate_search, tenant_field="tenant"
        ),
        "answer": Operation(
            method="answer",
            stream_method="answer_stream",
            request=GenerateAnswer,
            estimate=estimate_answer,
            tenant_field="tenant",
        ),
        "chat": Operation(
            method="chat",
            stream_method="chat_stream",
            request=ChatAboutDocuments,
            estimate=estimate_rag_chat,
            tenant_field="tenant",
        ),
    },
    limits=RagLimits,
    options={"max_ongoing_requests": 32, "max_queued_requests": 128},
)

"""RAG over HTTP: documents and collections, searches, answers and chat with citations.

Place in the path: step 1. What a caller asks becomes a call of a RAG graph, with the caller's
tenant and the collection's version, by which no cached answer outlives a change. Lists are read
from PostgreSQL, so that they wake nothing. What a file holds is the graph's to find out.

    POST   /v1/rag/documents                  add, or replace, a document: JSON, or a form's `file`
    GET    /v1/rag/documents                  a collection's documents (?collection=)
    GET    /v1/rag/documents/{document_id}    one of them, with its text
    DELETE /v1/rag/documents/{document_id}    forget it
    GET    /v1/rag/collections                collections, with what they hold
    GET    /v1/rag/collections/{collection}   one of them
    DELETE /v1/rag/collections/{collection}   forget it and its documents
    POST   /v1/rag/search                     the passages that answer a query
    POST   /v1/rag/generate                   an answer to one question, with citations
    POST   /v1/rag/chat                       a conversation about documents, as OpenAI's chat
"""

import uuid
from dataclasses import replace
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from auth.documents import DocumentBook
from auth.principal import Principal, Scope
from core.errors import BodyTooLarge, InvalidRequest, NotFound
from core.rag import (
    DEFAULT_COLLECTION,
    MAX_FILE_BYTES,
    DocumentRequest,
    GenerateRequest,
    RagChatRequest,
    SearchRequest,
)
from ingress.catalog import Catalog, ServedModel
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.files import listing
from ingress.forms import FORM_TYPE, read_form
from ingress.media.store import MediaStore
from ingress.paging import AscendingPage, ordered_page_of
from ingress.path import RequestPath
from ingress.queries import CollectionQuery, DocumentListQuery
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response, json_response

FORM_ROOM = 2**20
"""Bytes of a form, or of JSON, around its file."""
MAX_BODY_BYTES = MAX_FILE_BYTES * 4 // 3 + FORM_ROOM
COUNTED_FROM = 4_096
"""Bytes of text from which its tokens are counted before they are reserved: the bound that follows
from the bytes is several times as many."""


class RagEndpoints:
    """Handlers over the request path, and over the rows of documents."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        documents: DocumentBook,
        media: MediaStore,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._documents = documents
        self._media = media

    def endpoints(self) -> list[Endpoint]:
        document, collection = "/v1/rag/documents/{document_id}", "/v1/rag/collections/{collection}"
        return [
            Endpoint("POST", "/v1/rag/search", self.search, "Find passages", SearchRequest),
            Endpoint(
                "POST", "/v1/rag/generate", self.generate, "Answer a question", GenerateRequest
            ),
            Endpoint("POST", "/v1/rag/chat", self.chat, "Chat about documents", RagChatRequest),
            Endpoint(
                "POST",
                "/v1/rag/documents",
                self.add,
                "Add or replace a document: JSON, or a form with a `file`",
                DocumentRequest,
                files=("file",),
                status=201,
                max_body_bytes=MAX_BODY_BYTES,
            ),
            Endpoint(
                "GET",
                "/v1/rag/documents",
                self.list,
                "Documents of a collection",
                query=DocumentListQuery,
            ),
            Endpoint(
                "GET", document, self.show, "One document, with its text", query=CollectionQuery
            ),
            Endpoint("DELETE", document, self.delete, "Forget a document", query=CollectionQuery),
            Endpoint(
                "GET",
                "/v1/rag/collections",
                self.collections,
                "This tenant's collections",
                query=AscendingPage,
            ),
            Endpoint("GET", collection, self.collection, "One collection"),
            Endpoint("DELETE", collection, self.delete_collection, "Forget a collection"),
        ]

    async def add(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = validate(DocumentRequest, await _sent(exchange))
        model = await self._model(principal, request.collection, request.model, "add_document")
        await self._require_room(principal, request)
        ready = await self._read(exchange, principal, request, model)
        call = exchange.call(
            self._catalog, "add_document", ready, model, tenant=principal.tenant_id
        )
        answer = await self._path.answer(call, exchange.key, principal)
        return Response(answer.body, 201, media_type=answer.media_type)

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        after, limit = ordered_page_of(exchange)
        page = await self._documents.page(principal.tenant_id, _collection(exchange), after, limit)
        return json_response(
            listing([each.document() for each in page.items], has_more=page.has_more)
        )

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["document_id"]
        found = await self._documents.find(principal.tenant_id, _collection(exchange), name)
        return json_response(found.document())

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["document_id"]
        collection = _collection(exchange)
        await self._documents.find(principal.tenant_id, collection, name)
        return await self._forget(exchange, principal, collection, {"id": name})

    async def collections(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        after, limit = ordered_page_of(exchange)
        page = await self._documents.collections(principal.tenant_id, after, limit)
        return json_response(
            listing([each.document() for each in page.items], has_more=page.has_more)
        )

    async def collection(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["collection"]
        found = await self._documents.collection(principal.tenant_id, name)
        return json_response(found.document())

    async def delete_collection(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["collection"]
        return await self._forget(exchange, principal, name, {})

    async def search(self, exchange: Exchange) -> Response:
        return await self.ask(exchange, "search", SearchRequest, await self.asked(exchange))

    async def generate(self, exchange: Exchange) -> Response:
        return await self.ask(exchange, "answer", GenerateRequest, await self.asked(exchange))

    async def chat(self, exchange: Exchange) -> Response:
        return await self.ask(exchange, "chat", RagChatRequest, await self.asked(exchange))

    async def asked(self, exchange: Exchange) -> dict[str, Any]:
        """The request as a document, once its caller is known to be somebody."""
        await self._path.identify(exchange.key, Scope.INFERENCE)
        return await exchange.document()

    async def ask(
        self,
        exchange: Exchange,
        operation: str,
        public: type[BaseModel],
        document: dict[str, Any],
    ) -> Response:
        """What a collection's graph answers, whole or streamed.

        Args:
            public: the request's type as callers may send it.

        Raises:
            NotFound: there is no such collection of this tenant.
        """
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request: Any = validate(public, document)
        keeper, version = await self._documents.head(principal.tenant_id, request.collection)
        model = self._catalog.find(request.model or keeper, operation)
        call = exchange.call(
            self._catalog,
            operation,
            document | {"version": version},
            model,
            tenant=principal.tenant_id,
        )
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def _forget(
        self,
        exchange: Exchange,
        principal: Principal,
        collection: str,
        which: dict[str, Any],
    ) -> Response:
        """Have the graph forget it, and the path what was answered from it."""
        model = await self._keeper(principal, collection)
        document = which | {"collection": collection}
        call = exchange.call(
            self._catalog, "delete_documents", document, model, tenant=principal.tenant_id
        )
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def _keeper(self, principal: Principal, collection: str) -> ServedModel:
        """The graph that keeps a collection. Raises NotFound."""
        name, _ = await self._documents.head(principal.tenant_id, collection)
        return self._catalog.named(name)

    async def _model(
        self, principal: Principal, collection: str, named: str | None, operation: str
    ) -> ServedModel:
        """The graph that was named, or that keeps the collection, or the first there is."""
        if named is None:
            try:
                return await self._keeper(principal, collection)
            except NotFound:
                return self._catalog.find(None, operation)
        return self._catalog.find(named, operation)

    async def _require_room(self, principal: Principal, request: DocumentRequest) -> None:
        """Raises StorageFull before anything is read; the graph knows what a file's text takes."""
        limit = self._media.storage.plan(principal.plan).storage_bytes
        size = len((request.text or "").encode())
        await self._documents.require_room(
            principal.tenant_id, limit, request.collection, request.id, size
        )

    async def _read(
        self,
        exchange: Exchange,
        principal: Principal,
        request: DocumentRequest,
        model: ServedModel,
    ) -> dict[str, Any]:
        """The request for the graph: a file as its text, a long text with its tokens counted.

        That is a call of its own: what embedding takes is known before it is reserved.
        """
        fields = request.model_dump(exclude={"content"}, exclude_unset=True)
        if request.content is None and len((request.text or "").encode()) < COUNTED_FROM:
            return fields
        source = {"content": request.content} if request.content else {"text": request.text}
        asked = source | request.model_dump(include={"format", "title"}, exclude_none=True)
        call = exchange.call(self._catalog, "read_document", asked, model)
        call = replace(call, request_id=uuid.uuid4().hex)
        reading = orjson.loads((await self._path.answer(call, exchange.key, principal)).body)
        kept = ("text", "outline", "kind", "pages", "tokens")
        fields |= {name: reading[name] for name in kept}
        fields["title"] = request.title or reading["title"]
        size = len(request.content) if request.content else len((request.text or "").encode())
        return fields | {"bytes": size}


async def _sent(exchange: Exchange) -> dict[str, Any]:
    """The request as a document, from JSON or from a form with a `file`.

    Raises:
        InvalidRequest: no file, several, an empty one, or metadata that is no JSON object.
        UnsupportedMediaType, MalformedBody, BodyTooLarge
    """
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return await exchange.document()
    try:
        form = await read_form(exchange)
    except BodyTooLarge as error:
        raise _too_large("the form is over its limit") from error
    form.only("file")
    document = form.document()
    if "metadata" in document:
        document["metadata"] = _metadata(document["metadata"])
    if form.files:
        document["content"] = form.file("file").data
        if (size := len(document["content"])) > MAX_FILE_BYTES:
            raise _too_large(f"it has {size} bytes")
    return document


def _too_large(what: str) -> BodyTooLarge:
    return BodyTooLarge(f"'file': {what}; a document has at most {MAX_FILE_BYTES} bytes", "file")


def _metadata(written: Any) -> Any:
    try:
        return orjson.loads(written)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise InvalidRequest("'metadata' of a form is a JSON object", "metadata") from error


def _collection(exchange: Exchange) -> str:
    return exchange.http.query_params.get("collection", DEFAULT_COLLECTION)

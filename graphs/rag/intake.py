"""Intake: from a file or a text to a document that can be found.

Place in the path: inside the RAG graph, under `read_document` and `add_document`. Reading and
cutting run beside the event loop. It keeps nothing itself: the library does.
"""

import asyncio
from typing import Any

from auth.document_writes import NewDocument
from core.errors import InvalidRequest
from core.model import CallContext
from core.rag import AddRequest, Format, RagLimits, ReadRequest
from graphs.rag.blocks import blocks_of
from graphs.rag.embedding import Embedder
from graphs.rag.files import read_words
from graphs.rag.library import Library
from graphs.rag.passages import Cut, cut
from graphs.rag.reader import FileReader
from graphs.rag.reading import Reading, Unreadable
from graphs.rag.token_count import TokenCounter
from graphs.rag.vector_store import Passage, Scope


class Intake:
    """How one graph takes documents in."""

    def __init__(
        self,
        limits: RagLimits,
        counter: TokenCounter,
        reader: FileReader,
        embedder: Embedder,
        library: Library,
    ) -> None:
        self._limits = limits
        self._counter = counter
        self._reader = reader
        self._embedder = embedder
        self._library = library

    async def read(self, request: ReadRequest) -> dict[str, Any]:
        """`kind`, `text`, `outline`, `title`, `pages`; `passages`, and the `tokens` of them all.

        Raises InvalidRequest or UnsupportedMediaType, which say what is wrong with the file.
        """
        if request.content is not None:
            read = await self._reader.read(request.content)
            reading = await asyncio.to_thread(Reading.of, read)
        else:
            reading = await _read(request.text or "", request.format)
        cuts = await self._cut(reading, request.title or reading.title)
        return {
            "object": "rag.reading",
            **await asyncio.to_thread(reading.document),
            "passages": len(cuts),
            "tokens": sum(each.tokens for each in cuts),
        }

    async def add(self, request: AddRequest, call: CallContext) -> dict[str, Any]:
        """The document, and whether it `replaced` one; there once this returns, not before.

        Raises:
            InvalidRequest: it has no words, or takes more tokens than were reserved.
            StorageFull: the tenant may not keep so much.
            Conflict: the collection is another graph's, or is being deleted; or the document
                changed meanwhile.
        """
        scope = Scope(request.tenant, request.collection)
        await self._library.require_ours(scope)
        await self._library.require_open(scope)
        reading = await _reading(request)
        size, most = len(reading.text.encode()), call.storage_bytes
        await self._library.require_room(scope, request.id, size, most)
        title = request.title or reading.title
        cuts = await self._cut(reading, title)
        tokens = sum(each.tokens for each in cuts)
        _require_reserved(tokens, call)
        texts = [each.text(reading.text) for each in cuts]
        vectors = await self._embedder.embed(texts, call)
        passages = [
            Passage("-", position, text, each.metadata("-", title, request.metadata))
            for position, (each, text) in enumerate(zip(cuts, texts, strict=True))
        ]
        document = NewDocument(
            title=title,
            kind=reading.kind,
            bytes=request.bytes or len(request.text.encode()),
            pages=reading.pages,
            passages=len(cuts),
            tokens=tokens,
            metadata=request.metadata,
            text=reading.text,
        )
        kept, replaced = await self._library.add(
            scope, request.id, document, passages, vectors, most
        )
        return kept.document() | {"replaced": replaced}

    async def _cut(self, reading: Reading, title: str | None) -> list[Cut]:
        return await asyncio.to_thread(cut, reading, title, self._limits, self._counter)


async def _reading(request: AddRequest) -> Reading:
    """The document as it was read before, or read now."""
    if request.outline is None:
        return await _read(request.text, request.format)
    try:
        blocks = await asyncio.to_thread(blocks_of, request.outline, len(request.text))
    except ValueError as error:
        raise InvalidRequest(f"'outline': {error}", "outline") from error
    kind = request.kind or request.format or "text"
    return Reading(kind, request.text, blocks, pages=request.pages)


async def _read(text: str, format_: Format | None) -> Reading:
    try:
        return await asyncio.to_thread(read_words, text, format_)
    except Unreadable as error:
        raise InvalidRequest(f"'text': {error}", "text") from error


def _require_reserved(tokens: int, call: CallContext) -> None:
    """No more than was admitted is embedded. What no gateway admitted has no limit."""
    reserved = call.reserved.input_tokens
    if call.model and tokens > reserved:
        raise InvalidRequest(
            f"embedding it takes {tokens:,} tokens, and {reserved:,} were reserved: have it counted"
            " by 'read_document', and send its 'tokens'",
            "tokens",
        )

"""RAG requests: documents in, searches, and answers that cite what was found.

Place in the path: parsed once by the gateway (step 1); the RAG graph receives the same types. They
check shape and size; what a file holds, the graph finds out. Public types are what callers send;
those of the graph's operations add whose data it is (`tenant`), which the gateway alone fills in.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from core.chat import ChatRequest
from core.filters import MAX_KEYS, Filter, Metadata
from core.model import Frozen, ModelCard

MAX_FILE_BYTES = 20 * 2**20
MAX_CHARACTERS = 2_000_000
"""Of a document's text, however it came. Longer ones are several documents."""
MAX_BLOCKS = 100_000
"""Paragraphs and headings of a document."""
MAX_OUTLINE = 10_000_000
"""Characters of what says where they are: some forty for each, and the words of headings."""
MAX_TITLE = 300
MAX_QUERY = 8_000
MAX_RESULTS = 100
DEFAULT_COLLECTION = "default"
RESERVED_KEYS = ("document", "title", "heading", "page", "start", "end", "lead")
"""Metadata that every passage has of its own; filters may ask about it."""
OWN_KEYS = MAX_KEYS - len(RESERVED_KEYS)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
"""Of a collection or a document: chosen by the caller, unique in its tenant or collection."""
Format = Literal["text", "markdown", "html"]
"""What text may be written in."""
Kind = Literal["text", "markdown", "html", "pdf", "docx"]
"""What a document came as."""
Mode = Literal["hybrid", "vector", "keyword"]


def _file(value: Any) -> Any:
    """Bytes as they are; base64, from callers without forms, decoded."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be a file: multipart, or base64 in JSON") from error


def _own_metadata(metadata: Metadata) -> Metadata:
    for key in RESERVED_KEYS:
        if key in metadata:
            raise ValueError(f"the key '{key}' is set by Carillon itself: choose another name")
    if len(metadata) > OWN_KEYS:
        raise ValueError(f"at most {OWN_KEYS} keys, got {len(metadata)}")
    return metadata


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


File = Annotated[
    bytes,
    Field(min_length=1, max_length=MAX_FILE_BYTES),
    BeforeValidator(_file),
    # In logs a digest stands for the file.
    PlainSerializer(lambda data: hashlib.sha256(data).hexdigest(), when_used="json"),
]
OwnMetadata = Annotated[Metadata, AfterValidator(_own_metadata)]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE), AfterValidator(_plain)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_plain)]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY), AfterValidator(_plain)]


class RagLimits(Frozen):
    """`limits` of a RAG graph's card, and of its `engine`: what decides how much work there is."""

    passage_tokens: int = Field(250, ge=32, le=8192)
    """Longest passage, in tokens of the embedding model; its title and headings count."""
    overlap_tokens: int = Field(40, ge=0)
    """How much of a passage the next one of the same section repeats."""
    context_bytes: int = Field(8_000, ge=500)
    """Of passages, in UTF-8, that are put before the chat model."""

    @model_validator(mode="after")
    def _overlap_is_small(self) -> Self:
        if self.overlap_tokens > self.passage_tokens // 4:
            raise ValueError("'overlap_tokens' is at most a quarter of 'passage_tokens'")
        return self

    @classmethod
    def of(cls, card: ModelCard) -> "RagLimits":
        return cls.model_validate(dict(card.limits))


class _Public(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = None


class DocumentFields(_Public):
    """What is said of a document, beside the document."""

    collection: Name = DEFAULT_COLLECTION
    id: Name | None = None
    """A document of this id in the collection is replaced; a new id is made when there is none."""
    title: Title | None = None
    """The document's own, where it has one, when not said."""
    metadata: OwnMetadata = Field(default_factory=dict)


class DocumentRequest(DocumentFields):
    """POST /v1/rag/documents: text, or a file. A form has a `file` in place of both."""

    text: Text | None = None
    format: Format | None = None
    """Of `text`; seen from it when not said."""
    content: File | None = None
    """A file in base64: PDF, DOCX, HTML, Markdown or text. Its content says which."""

    @model_validator(mode="after")
    def _one_document(self) -> Self:
        if (self.text is None) == (self.content is None):
            raise ValueError("give exactly one of 'text' and 'content'")
        if self.format is not None and self.text is None:
            raise ValueError("'format' is of 'text': a file's content says what it is")
        return self


class ReadRequest(_Public):
    """A file, or text, as its words: `content`, or `text` in a `format`."""

    content: File | None = None
    text: Text | None = None
    format: Format | None = None
    title: Title | None = None
    """Counted with the passages, which carry it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.text is None) == (self.content is None):
            raise ValueError("give exactly one of 'text' and 'content'")
        return self


class AddRequest(DocumentFields):
    """A document to keep: what the graph takes. `tenant` says whose."""

    tenant: str = Field(min_length=1)
    text: Text
    format: Format | None = None
    kind: Kind | None = None
    """What it came as; its format when not said."""
    bytes: int = Field(0, ge=0)
    """Of the file that it came as."""
    pages: int | None = Field(None, ge=1)
    outline: str | None = Field(None, min_length=1, max_length=MAX_OUTLINE)
    """How `text` is built, as `read_document` wrote it; found in the text when not given."""
    tokens: int | None = Field(None, ge=1)
    """What embedding it takes, as `read_document` counted it: reserved in place of a bound."""


class DeleteRequest(_Public):
    """Documents to forget: one, or with no `id` the whole collection."""

    tenant: str = Field(min_length=1)
    collection: Name = DEFAULT_COLLECTION
    id: Name | None = None


class Retrieval(BaseModel):
    """Which passages are looked for. Part of every request that looks for some."""

    model_config = ConfigDict(extra="forbid")

    collection: Name = DEFAULT_COLLECTION
    top_k: int = Field(5, ge=1, le=MAX_RESULTS)
    mode: Mode = "hybrid"
    """By meaning, by words, or by both."""
    filter: Filter | None = None
    rerank: bool = False
    """Have the graph's rerank model sort what was found."""


class Looked(BaseModel):
    """What the gateway adds to every request that looks for passages."""

    tenant: str = Field(min_length=1)
    version: int | None = None
    """The collection's: part of the cache's key, so that no answer outlives a change."""


class SearchRequest(Retrieval, _Public):
    """POST /v1/rag/search."""

    query: Query


class GenerateRequest(Retrieval, _Public):
    """POST /v1/rag/generate: one question, answered from what is found."""

    query: Query
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool = False


class RagChatRequest(Retrieval, ChatRequest):
    """POST /v1/rag/chat: a conversation whose last message is answered from what is found."""

    @model_validator(mode="after")
    def _last_is_a_question(self) -> Self:
        last = self.messages[-1]
        if last.role != "user" or not isinstance(last.content, str) or not last.content.strip():
            raise ValueError("the last of 'messages' must be a user's, with text")
        if self.n not in (None, 1):
            raise ValueError("'n' must be 1")
        return self

    @property
    def question(self) -> str:
        return str(self.messages[-1].content)


class FindPassages(SearchRequest, Looked):
    """A search, as the graph takes it."""


class GenerateAnswer(GenerateRequest, Looked):
    """A question, as the graph takes it."""


class ChatAboutDocuments(RagChatRequest, Looked):
    """A conversation, as the graph takes it."""

"""Rerank requests, in the dialect that Cohere, Jina and vLLM's server share.

Place in the path: parsed once by the gateway (step 1); rerank models receive the same type. It
checks shape, counts and lengths; how much of a document a model reads, the model says. Like those
servers, it takes fields that it does not know and leaves them alone.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.embedding import BYTES_PER_TOKEN, SPECIAL_TOKENS
from core.model import ModelCard
from core.work import WorkUnits

MAX_DOCUMENTS = 1_000
MAX_DOCUMENT = 200_000
"""Characters: more than the window of any rerank model, which reads the beginning."""
MAX_QUERY = 20_000
"""Characters."""
NO_WINDOW = 2**31


class RerankDocument(BaseModel):
    """A document as an object: its `text` is what is read."""

    model_config = ConfigDict(extra="ignore")

    text: str


class RerankRequest(BaseModel):
    """POST /v1/rerank: which documents answer the query best."""

    model_config = ConfigDict(extra="ignore")

    query: str = Field(min_length=1, max_length=MAX_QUERY)
    documents: list[str | RerankDocument] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    model: str | None = None
    top_n: int | None = Field(None, ge=1)
    """Results to answer, the best ones; all of them when not said."""
    return_documents: bool = False
    """Whether results carry the text that they are about."""
    max_tokens_per_doc: int | None = Field(None, ge=1)
    """Tokens to read of each document; the model's window bounds it in any case."""

    @field_validator("documents", mode="before")
    @classmethod
    def _documents_are_usable(cls, value: Any) -> Any:
        """Before types are tried: a fault names the one document that has it."""
        if not isinstance(value, list):
            return value
        if len(value) > MAX_DOCUMENTS:
            raise ValueError(f"at most {MAX_DOCUMENTS} in one request, got {len(value)}")
        for index, document in enumerate(value):
            fault = _fault(document)
            if fault is not None:
                raise ValueError(f"documents[{index}] {fault}")
        return value

    @property
    def texts(self) -> list[str]:
        """The text of each document, in the order in which they came."""
        return [each if isinstance(each, str) else each.text for each in self.documents]


def _fault(document: Any) -> str | None:
    """What is wrong with one document."""
    text = document.get("text") if isinstance(document, dict) else document
    if isinstance(document, RerankDocument):
        text = document.text
    if not isinstance(text, str):
        return "must be a text, or an object with a 'text'"
    if not text:
        return "must not be empty"
    if len(text) > MAX_DOCUMENT:
        return f"has {len(text)} characters; at most {MAX_DOCUMENT} are taken"
    return None


def estimate_pairs(request: RerankRequest, card: ModelCard) -> WorkUnits:
    """Upper bound of tokens where query and document are read together, once for each document."""
    window = card.context_window or NO_WINDOW
    query = _tokens(request.query)
    sizes = (min(window, query + size + SPECIAL_TOKENS) for size in _sizes(request))
    return WorkUnits(input_tokens=sum(sizes))


def estimate_apart(request: RerankRequest, card: ModelCard) -> WorkUnits:
    """Upper bound of tokens where the query is read once, and each document by itself."""
    window = card.context_window or NO_WINDOW
    sizes = [_tokens(request.query), *_sizes(request)]
    return WorkUnits(input_tokens=sum(min(window, size + SPECIAL_TOKENS) for size in sizes))


def _sizes(request: RerankRequest) -> list[int]:
    """Most tokens that are read of each document, without special ones."""
    most = request.max_tokens_per_doc or NO_WINDOW
    return [min(most, _tokens(text)) for text in request.texts]


def _tokens(text: str) -> int:
    return len(text.encode()) // BYTES_PER_TOKEN


def rerank_body(
    request: RerankRequest, scores: list[float], name: str, request_id: str, units: WorkUnits
) -> dict[str, Any]:
    """The answer: the best documents first, and what reading them took.

    Args:
        scores: one for each document; more is better. Documents that score the same stay in order.
    """
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    texts = request.texts
    results: list[dict[str, Any]] = []
    for index in order[: request.top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": scores[index]}
        if request.return_documents:
            result["document"] = {"text": texts[index]}
        results.append(result)
    return {
        "id": f"rerank-{request_id}",
        "model": name,
        "results": results,
        "usage": {"prompt_tokens": units.input_tokens, "total_tokens": units.tokens},
        "meta": {"billed_units": {"input_tokens": units.input_tokens}},
    }

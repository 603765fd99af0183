"""What RAG takes, before it is done: upper bounds in tokens.

Place in the path: what admission reserves for a call of a RAG graph (step 3), and how the graph
knows what it may take. Each is the sum of the graph's steps. It measures nothing.
"""

from core.chat import BYTES_PER_TOKEN, estimate_chat
from core.embedding import SPECIAL_TOKENS, EmbeddingRequest, estimate_embedding
from core.model import ModelCard
from core.rag import (
    AddRequest,
    DeleteRequest,
    GenerateRequest,
    RagChatRequest,
    RagLimits,
    ReadRequest,
    Retrieval,
    SearchRequest,
)
from core.work import NO_WORK, WorkUnits

DEFAULT_OUTPUT_TOKENS = 512
INSTRUCTION_BYTES = 4_000
"""Room in a prompt for what is neither passages nor the caller's own words."""
NO_WINDOW = 10_000_000
FEWEST_CANDIDATES = 20
CANDIDATES_PER_RESULT = 4


def estimate_read(request: ReadRequest, card: ModelCard) -> WorkUnits:
    """Reading is no model's work."""
    del request, card
    return NO_WORK


def estimate_delete(request: DeleteRequest, card: ModelCard) -> WorkUnits:
    """Forgetting is no model's work."""
    del request, card
    return NO_WORK


def estimate_add(request: AddRequest, card: ModelCard) -> WorkUnits:
    """Tokens to embed: as counted before, or the most that so many bytes can be.

    Passages are at least half full, repeat up to `overlap_tokens` of the one before, and carry
    headings that take up to a fifth of them (`graphs.rag.passages`).
    """
    if request.tokens is not None:
        return WorkUnits(input_tokens=request.tokens)
    limits = RagLimits.of(card)
    size = len(request.text.encode()) // BYTES_PER_TOKEN + 2
    new_in_each = max(1, limits.passage_tokens // 2 - limits.overlap_tokens)
    beside = limits.passage_tokens // 5 + limits.overlap_tokens + 2
    return WorkUnits(input_tokens=size + (1 + size // new_in_each) * beside)


def estimate_search(request: SearchRequest, card: ModelCard) -> WorkUnits:
    """The query's tokens, and what reranking reads."""
    return _retrieval(request.query, request, card)


def estimate_answer(request: GenerateRequest, card: ModelCard) -> WorkUnits:
    """The search, the prompt with as many passages as fit, and the answer's limit."""
    window = card.context_window or NO_WINDOW
    output = request.max_tokens or card.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    prompt = len(request.query.encode()) // BYTES_PER_TOKEN + _room(card)
    return _retrieval(request.query, request, card) + WorkUnits(
        input_tokens=min(prompt, window), output_tokens=min(output, window)
    )


def estimate_rag_chat(request: RagChatRequest, card: ModelCard) -> WorkUnits:
    """As `estimate_answer`, with the whole conversation in the prompt."""
    asked = estimate_chat(request, card)
    prompt = min(asked.input_tokens + _room(card), card.context_window or NO_WINDOW)
    return _retrieval(request.question, request, card) + WorkUnits(
        input_tokens=prompt, output_tokens=asked.output_tokens
    )


def candidates(top_k: int) -> int:
    """How many passages are found for reranking to choose `top_k` from."""
    return max(FEWEST_CANDIDATES, CANDIDATES_PER_RESULT * top_k)


def reranked_tokens(limits: RagLimits) -> int:
    """How much of a passage is reranked, in tokens of the rerank model.

    That counts otherwise than the embedding model, whose tokens cut the passages.
    """
    return limits.passage_tokens * 5 // 4


def _retrieval(query: str, request: Retrieval, card: ModelCard) -> WorkUnits:
    units = NO_WORK
    if request.mode != "keyword":
        # The embedding model's window is not in this card: the whole query is reserved.
        units += estimate_embedding(EmbeddingRequest(input=query), ModelCard(id="-", spec="-"))
    if request.rerank:
        passage = reranked_tokens(RagLimits.of(card))
        pair = len(query.encode()) // BYTES_PER_TOKEN + passage + SPECIAL_TOKENS
        units += WorkUnits(input_tokens=candidates(request.top_k) * pair)
    return units


def _room(card: ModelCard) -> int:
    """Tokens of a prompt beside the caller's own words."""
    return (RagLimits.of(card).context_bytes + INSTRUCTION_BYTES) // BYTES_PER_TOKEN

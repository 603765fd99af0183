"""RAG's rows: how fast documents are added, against the embedding library alone.

How well they are found is `benchmarks.retrieval`; how fast a search of many passages is, the vector
store's rows say.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare import Bare
from benchmarks.cluster import Cluster, model_application
from benchmarks.compare import Measured, Row, Rule, Target, compared, take_turns
from benchmarks.family_rows import Work, work
from benchmarks.gateway_rows import Effort
from benchmarks.load import fire
from benchmarks.shots import questions
from benchmarks.wake_rows import wake_up
from core.rag import RagLimits
from graphs.rag.markup import read_markdown
from graphs.rag.passages import cut
from graphs.rag.token_count import TokenCounter
from models.sources import locate

GRAPH = "rag"
ENCODER = "all-minilm-l6-v2"
PATH = "/v1/rag/documents"
COLLECTION = "benchmark"
SENTENCES = 900
"""Of a document: about 80 passages, some seconds of embedding."""
PARAGRAPH = 6
INGEST = Target(Rule.RATIO_AT_LEAST, 0.8)
TIMEOUT_S = 60.0


def rag(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """The rows of the graph."""
    limits = RagLimits.model_validate(model_application(GRAPH)["args"]["engine"]["limits"])
    counter = TokenCounter(locate(model_application(ENCODER)["args"]["engine"]["source"]))
    unique = _documents()

    def passages(text: str) -> list[str]:
        cuts = cut(read_markdown(text), None, limits, counter)
        return [each.text(text) for each in cuts]

    def ours() -> Measured:
        text = next(unique)
        taken_ms = fire(cluster.port, [iter([_added(cluster.key, text).shot])]).p50_ms
        return Measured(1000 * len(passages(text)) / taken_ms)

    def theirs() -> Measured:
        texts = passages(next(unique))
        return Measured(1000 * len(texts) / bare.answer_p50_ms([{"input": texts}]))

    wake_up(cluster, GRAPH)
    try:
        with Bare(ENCODER, scratch) as bare:
            turns = take_turns(effort.repeats, ours, theirs, thrown_away=1)
    finally:
        _forget(cluster)
    yield compared(
        "RAG, documents added",
        "passages/s",
        turns,
        INGEST,
        peer_name="sentence-transformers in a process of its own, on the same kind of passages",
        note="one document of about 80 passages a request, read, cut, embedded and kept",
    )


def _added(key: str, text: str) -> Work:
    request: dict[str, Any] = {"collection": COLLECTION, "text": text, "format": "markdown"}
    return work(key, PATH, request, b'"rag.document"')


def _documents() -> Iterator[str]:
    """Documents without a repeated sentence, in paragraphs under headings."""
    unique = questions()
    for number in itertools.count():
        sentences = [f"{sentence}." for sentence in itertools.islice(unique, SENTENCES)]
        starts = range(0, SENTENCES, PARAGRAPH)
        paragraphs = [" ".join(sentences[start : start + PARAGRAPH]) for start in starts]
        parts = [f"## Part {index}\n\n{text}" for index, text in enumerate(paragraphs)]
        yield f"# Document {number}\n\n" + "\n\n".join(parts)


def _forget(cluster: Cluster) -> None:
    url = f"http://127.0.0.1:{cluster.port}/v1/rag/collections/{COLLECTION}"
    headers = {"authorization": f"Bearer {cluster.key}"}
    httpx.delete(url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

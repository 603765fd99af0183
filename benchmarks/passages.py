"""Searches of 100,000 passages, from a driver process that owns a PostgreSQL as `up` starts it.

    python -m benchmarks.passages

Each line that it reads is a way of searching and a number of questions; it asks them one after
another and writes the median in milliseconds, or for `recall` the mean share of the ten nearest
that the index finds, in thousandths. Vectors are given: no model embeds anything here.

Passages are made up, and shaped as real ones are: vectors in topics, words as often as Zipf's law
says once the commonest are left out. Each question is near a passage and has words of it.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import asyncpg
import numpy as np
from numpy.typing import NDArray

from auth.migrate import migrate
from benchmarks.driver import Driver, answer
from cli.embedded import PostgreSQL
from cli.short_paths import ShortPaths
from core.filters import Equals
from core.settings import SecretReference, set_environment
from graphs.rag.fusion import hybrid
from graphs.rag.postgresql import PostgresqlPassages
from graphs.rag.store_settings import PostgresqlStore
from graphs.rag.vector_store import Found, Passage, Scope

PASSAGES = 100_000
LENGTH = 384
TOPICS = 2_000
VOCABULARY = 20_000
LEFT_OUT = 100
WORDS = 80
RARE = 100
"""One passage in so many has the metadata that the filtered search asks for."""
TOP_K = 10
PIECE = 2_000
FILL_WAIT_S = 900.0
"""Filling takes one to two minutes of two cores that have nothing else to do."""
SCOPE = Scope("t-bench", "bench")
SYLLABLES = [a + b for a in "bdfgklmnprtvz" for b in ("a", "e", "i", "o", "u", "ai", "or", "en")]
Vectors = NDArray[np.float32]


class Passages(Driver):
    """The driver process, seen from the benchmark."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(["benchmarks.passages"], {}, scratch / "passages.log", FILL_WAIT_S)

    def figure(self, way: str, questions: int) -> float:
        """Milliseconds of the median question, or thousandths of the recall."""
        return self.p50_ms(f"{way} {questions}")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    vector: list[float]
    text: str


class Library:
    """The passages, and questions about them."""

    def __init__(self) -> None:
        chance = np.random.default_rng(1)
        self.chance = chance
        topics = chance.standard_normal((TOPICS, LENGTH), dtype=np.float32)
        own = chance.standard_normal((PASSAGES, LENGTH), dtype=np.float32)
        self.vectors: Vectors = topics[chance.integers(TOPICS, size=PASSAGES)] + 0.7 * own
        ranks = np.arange(1, VOCABULARY + 1) + LEFT_OUT
        shares = (1 / ranks) / (1 / ranks).sum()
        self.words = chance.choice(VOCABULARY, size=(PASSAGES, WORDS), p=shares)
        spell = random.Random(1)
        self.vocabulary = ["".join(spell.choices(SYLLABLES, k=3)) for _ in range(VOCABULARY)]

    def passages(self) -> Iterator[tuple[Passage, list[float]]]:
        """Every passage with its vector."""
        for n in range(PASSAGES):
            kind = {"kind": "rare" if n % RARE == 0 else "usual", "year": 1990 + n % 36}
            text = " ".join(self.vocabulary[word] for word in self.words[n])
            yield Passage(f"d{n // 20}", n % 20, text, kind), self.vectors[n].tolist()

    def question(self) -> Question:
        """Near one passage, with two of its rarer words and three of any."""
        n = int(self.chance.integers(PASSAGES))
        rarest = sorted(self.words[n])[-WORDS // 4 :]
        asked = [*self.chance.choice(rarest, 2), *self.chance.choice(self.words[n], 3)]
        noise = self.chance.standard_normal(LENGTH, dtype=np.float32)
        vector = self.vectors[n] + 0.5 * noise
        return Question(vector.tolist(), " ".join(self.vocabulary[word] for word in asked))


class Searches:
    """Ways of searching a store."""

    def __init__(self, store: PostgresqlPassages, library: Library) -> None:
        self.store = store
        self.library = library

    async def vector(self, question: Question) -> list[Found]:
        return await self.store.query(SCOPE, question.vector, TOP_K)

    async def filtered(self, question: Question) -> list[Found]:
        rare = Equals(key="kind", value="rare")
        return await self.store.query(SCOPE, question.vector, TOP_K, rare)

    async def words(self, question: Question) -> list[Found]:
        return await self.store.query_text(SCOPE, question.text, TOP_K)

    async def hybrid(self, question: Question) -> list[Found]:
        return await hybrid(self.store, SCOPE, question.vector, question.text, TOP_K)

    async def timed(self, way: str, count: int) -> list[float]:
        """Seconds of each question, after some that do not count."""
        search = {
            "vector": self.vector,
            "filtered": self.filtered,
            "words": self.words,
            "hybrid": self.hybrid,
        }[way]
        taken = []
        for n in range(-count // 4, count):
            question = self.library.question()
            started = time.perf_counter()
            found = await search(question)
            if n >= 0:
                taken.append(time.perf_counter() - started)
            assert len(found) == TOP_K, (way, len(found))
        return taken

    async def recall(self, count: int) -> float:
        """The mean share of the truly nearest that the index finds."""
        lengths = np.linalg.norm(self.library.vectors, axis=1)
        shares = []
        for _ in range(count):
            question = self.library.question()
            near = self.library.vectors @ np.asarray(question.vector, np.float32) / lengths
            truly = {f"d{n // 20}#{n % 20}" for n in np.argpartition(-near, TOP_K)[:TOP_K]}
            found = {each.passage.id for each in await self.vector(question)}
            shares.append(len(found & truly) / TOP_K)
        return float(np.mean(shares))


async def _fill(url: str, store: PostgresqlPassages, library: Library) -> None:
    """Put everything in, then make the two large indexes: one by one would take half an hour."""
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO tenants (id, name, plan) VALUES ('t-bench', 'x', 'free')")
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE indexname IN ('rag_passages_384', 'rag_passages_words')"
    )
    await connection.execute("DROP INDEX rag_passages_384, rag_passages_words")
    pairs = library.passages()
    while piece := list(islice(pairs, PIECE)):
        await store.upsert(SCOPE, [p for p, _ in piece], [vector for _, vector in piece])
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await connection.execute(index["indexdef"])  # as PostgreSQL wrote it
    await connection.execute("VACUUM ANALYZE rag_passages")
    await connection.close()


async def _serve(url: str) -> None:
    set_environment("PASSAGES_URL", url)
    settings = PostgresqlStore(database_url=SecretReference("env:PASSAGES_URL"), timeout_s=60)
    store, library = PostgresqlPassages(settings), Library()
    started = time.perf_counter()
    await _fill(url, store, library)
    print(f"filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    searches = Searches(store, library)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        way, count = line.split()
        if way == "recall":
            answer([await searches.recall(int(count))])
        else:
            answer(await searches.timed(way, int(count)))
    await store.aclose()


def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="carillon-passages-") as directory:
        Path(directory).chmod(0o711)  # PostgreSQL may run as another user
        server = PostgreSQL(Path(directory), ShortPaths(Path(directory)))
        child = server.start()
        try:
            migrate(server.url)
            asyncio.run(_serve(server.url))
        finally:
            child.send_signal(server.stop_signal)
            child.wait()


if __name__ == "__main__":
    _main()

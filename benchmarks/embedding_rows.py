"""Embedding rows: texts batched against one by one, and many at once against the bare library."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Row
from benchmarks.family_rows import OVERHEAD, Work, against_bare, batched, work
from benchmarks.gateway_rows import Effort
from benchmarks.shots import questions

PATH = "/v1/embeddings"
MODEL = "all-minilm-l6-v2"
TEXTS = 64
"""Of one request where its time is measured: some hundreds of milliseconds of work."""


def embeddings(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows of the family."""
    yield batched(
        cluster,
        effort,
        "embeddings",
        "texts/s",
        lambda: _works(cluster.key, 1),
        model=MODEL,
        note="a text of about 20 tokens a request, unique, Cache-Control: no-store",
    )
    yield against_bare(
        cluster,
        effort,
        scratch,
        f"embeddings, {TEXTS} texts through HTTP",
        _works(cluster.key, TEXTS),
        OVERHEAD,
        model=MODEL,
        library="sentence-transformers",
        note="unique texts of about 20 tokens",
    )


def _works(key: str, texts: int) -> Iterator[Work]:
    """Requests of so many texts each."""
    unique = questions()
    while True:
        request = {
            "model": MODEL,
            "input": list(itertools.islice(unique, texts)),
            "encoding_format": "base64",
        }
        yield work(key, PATH, request, b'"index":%d' % (texts - 1))

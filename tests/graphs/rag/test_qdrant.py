"""The Qdrant store: on a directory, and on a server by its protocol."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import StoreUnavailable
from core.settings import SecretReference
from graphs.rag.qdrant import QdrantPassages
from graphs.rag.store_settings import QdrantStore
from graphs.rag.vector_store import Passage, Scope, VectorStore
from tests.graphs.rag.fake_qdrant import API_KEY, FakeQdrant
from tests.graphs.rag.served import served
from tests.graphs.rag.store_contract import LENGTH, NORTH, StoreContract, names, put


@pytest.fixture
def tenants() -> tuple[str, str]:
    return (f"t-{secrets.token_hex(4)}", f"t-{secrets.token_hex(4)}")


@pytest.fixture
async def fake() -> FakeQdrant:
    return FakeQdrant()


@pytest.fixture
async def url(fake: FakeQdrant) -> AsyncIterator[str]:
    async with served(fake.application) as url:
        yield url


@pytest.fixture
async def remote(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QdrantPassages]:
    monkeypatch.setenv("QDRANT_KEY", API_KEY)
    store = QdrantPassages(
        QdrantStore(
            kind="qdrant",
            dimensions=LENGTH,
            url=url,
            api_key=SecretReference("env:QDRANT_KEY"),
        )
    )
    await store.start()
    yield store
    await store.aclose()


@pytest.mark.filterwarnings("ignore:.*insecure connection", "ignore:Payload indexes have no effect")
class TestLocal(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[VectorStore]:
        store = QdrantPassages(
            QdrantStore(kind="qdrant", dimensions=LENGTH, path=str(tmp_path / "qdrant"))
        )
        await store.start()
        yield store
        await store.aclose()


@pytest.mark.filterwarnings("ignore:.*insecure connection", "ignore:Payload indexes have no effect")
class TestServer(StoreContract):
    @pytest.fixture
    async def store(self, remote: QdrantPassages) -> VectorStore:
        return remote


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
async def test_a_directory_is_found_again(tmp_path: Path):
    settings = QdrantStore(kind="qdrant", dimensions=LENGTH, path=str(tmp_path / "qdrant"))
    scope = Scope("t", "docs")
    for expected in (0, 1):
        store = QdrantPassages(settings)
        await store.start()
        assert await store.count(scope) == expected
        await put(store, scope, (Passage("a", 0, "needle"), NORTH))
        assert names(await store.query_text(scope, "needle", 5)) == ["a"]
        await store.aclose()


@pytest.mark.filterwarnings("ignore:.*insecure connection")
class TestServerOnly:
    async def test_every_field_that_is_asked_about_has_an_index(
        self, remote: QdrantPassages, fake: FakeQdrant
    ):
        passage = Passage("a", 0, "x", {"year": 1, "tags": ["x"], "name": "n", "seen": True})
        await put(remote, Scope("t", "docs"), (passage, NORTH))
        assert fake.indexes["scope"].is_tenant
        kinds = {name: schema for name, schema in fake.indexes.items() if name != "scope"}
        assert kinds == {
            "document": "keyword",
            "position": "integer",
            "facets.number_year": "float",
            "facets.text_tags": "keyword",
            "facets.text_name": "keyword",
            "facets.flag_seen": "bool",
        }

    async def test_a_second_replica_finds_the_collection_made(
        self, remote: QdrantPassages, fake: FakeQdrant
    ):
        await remote.start()
        assert sum(call.startswith("PUT /collections/carillon-4") for call in fake.calls) == 4

    async def test_a_server_that_is_gone_is_unavailable(self):
        store = QdrantPassages(
            QdrantStore(kind="qdrant", dimensions=LENGTH, url="http://127.0.0.1:1")
        )
        with pytest.raises(StoreUnavailable):
            await store.query(Scope("t", "docs"), NORTH, 5)

    async def test_a_server_that_is_overloaded_is_unavailable(
        self, remote: QdrantPassages, fake: FakeQdrant
    ):
        fake.broken = 503
        with pytest.raises(StoreUnavailable):
            await remote.count(Scope("t", "docs"))

    async def test_a_key_that_is_wrong_is_no_outage(self, url: str):
        store = QdrantPassages(QdrantStore(kind="qdrant", dimensions=LENGTH, url=url))
        with pytest.raises(Exception, match="401"):
            await store.start()
        await store.aclose()

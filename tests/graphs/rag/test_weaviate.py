"""The Weaviate store, by the protocol of its documented API."""

import secrets
from collections.abc import AsyncIterator

import pytest

from core.errors import StoreUnavailable
from core.settings import SecretReference
from graphs.rag.store_settings import WeaviateStore
from graphs.rag.vector_store import Passage, Scope, VectorStore
from graphs.rag.weaviate import WeaviatePassages
from tests.graphs.rag.fake_weaviate import API_KEY, FakeWeaviate
from tests.graphs.rag.served import served
from tests.graphs.rag.store_contract import LENGTH, NORTH, StoreContract, names, parsed, put


@pytest.fixture
def tenants() -> tuple[str, str]:
    return (f"t-{secrets.token_hex(4)}", f"t-{secrets.token_hex(4)}")


@pytest.fixture
def fake() -> FakeWeaviate:
    return FakeWeaviate()


@pytest.fixture
async def settings(
    fake: FakeWeaviate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WeaviateStore]:
    monkeypatch.setenv("WEAVIATE_TEST_KEY", API_KEY)
    async with served(fake.application) as url:
        yield WeaviateStore(
            kind="weaviate",
            dimensions=LENGTH,
            url=url,
            api_key=SecretReference("env:WEAVIATE_TEST_KEY"),
        )


@pytest.fixture
async def store(settings: WeaviateStore) -> AsyncIterator[VectorStore]:
    store = WeaviatePassages(settings)
    await store.start()
    yield store
    await store.aclose()


class TestWeaviate(StoreContract):
    """The contract."""


async def test_a_key_that_another_replica_stored_can_be_filtered_by(
    store: VectorStore, settings: WeaviateStore
):
    scope = Scope("t", "docs")
    other = WeaviatePassages(settings)
    await other.start()
    await put(other, scope, (Passage("a", 0, "x", {"year": 2020}), NORTH))
    found = await store.query(scope, NORTH, 5, parsed({"type": "eq", "key": "year", "value": 2020}))
    assert names(found) == ["a"]
    await put(store, scope, (Passage("b", 0, "x", {"year": 2021}), NORTH))
    await other.aclose()


async def test_a_refusal_is_logged_and_not_told(
    store: VectorStore, fake: FakeWeaviate, caplog: pytest.LogCaptureFixture
):
    fake.broken = 500
    with pytest.raises(StoreUnavailable) as refused:
        await store.count(Scope("t", "docs"))
    assert "broken" in caplog.text
    assert "broken" not in str(refused.value)


async def test_a_passage_that_speaks_of_tenants_is_found(store: VectorStore):
    scope = Scope("t", "docs")
    await put(store, scope, (Passage("a", 0, 'error: tenant not found: "x"'), NORTH))
    assert names(await store.query(scope, NORTH, 5)) == ["a"]

"""The Pinecone store, by the protocol of its documented API."""

import secrets
from collections.abc import AsyncIterator

import pytest

from core.errors import StoreUnavailable
from core.settings import SecretReference
from graphs.rag.pinecone import PineconePassages
from graphs.rag.store_settings import PineconeStore
from graphs.rag.vector_store import Passage, Scope, VectorStore
from tests.graphs.rag.fake_pinecone import API_KEY, FakePinecone
from tests.graphs.rag.served import served
from tests.graphs.rag.store_contract import LENGTH, NORTH, StoreContract, put


@pytest.fixture
def tenants() -> tuple[str, str]:
    return (f"t-{secrets.token_hex(4)}", f"t-{secrets.token_hex(4)}")


@pytest.fixture
async def fake() -> AsyncIterator[FakePinecone]:
    fake = FakePinecone()
    async with served(fake.application) as url:
        fake.url = url
        yield fake


@pytest.fixture
def settings(fake: FakePinecone, monkeypatch: pytest.MonkeyPatch) -> PineconeStore:
    monkeypatch.setenv("PINECONE_TEST_KEY", API_KEY)
    return PineconeStore(
        kind="pinecone",
        dimensions=LENGTH,
        api_key=SecretReference("env:PINECONE_TEST_KEY"),
        url=fake.url,
    )


@pytest.fixture
async def store(settings: PineconeStore) -> AsyncIterator[VectorStore]:
    store = PineconePassages(settings)
    await store.start()
    yield store
    await store.aclose()


class TestPinecone(StoreContract):
    """The contract."""


async def test_the_index_is_made_once(
    store: VectorStore, settings: PineconeStore, fake: FakePinecone
):
    second = PineconePassages(settings)
    await second.start()
    await second.aclose()
    (index,) = fake.indexes.values()
    assert index["name"] == "carillon-4"
    assert index["schema"]["fields"]["vector"] == {
        "type": "dense_vector",
        "dimension": LENGTH,
        "metric": "cosine",
    }


async def test_each_scope_has_a_namespace(store: VectorStore, fake: FakePinecone):
    for scope in (Scope("a:b", "c"), Scope("a", "b:c"), Scope("a", "ü/")):
        await put(store, scope, (Passage("d", 0, "x"), NORTH))
    assert set(fake.namespaces) == {"a%3Ab:c", "a:b%3Ac", "a:%C3%BC%2F"}


async def test_a_server_that_is_overloaded_is_unavailable(
    store: VectorStore, fake: FakePinecone, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pinecone._internal.http_client._async_retry_sleep", no_sleep)
    fake.broken = 503
    with pytest.raises(StoreUnavailable):
        await store.count(Scope("t", "docs"))


async def no_sleep(_: float) -> None: ...

"""The Weaviate store, by the protocol of its official client."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import grpc
import pytest

from core.errors import StoreUnavailable
from core.settings import SecretReference
from graphs.rag.store_settings import WeaviateStore
from graphs.rag.vector_store import Passage, Scope, VectorStore
from graphs.rag.weaviate import WeaviatePassages
from tests.graphs.rag.fake_weaviate import API_KEY, FakeWeaviate
from tests.graphs.rag.fake_weaviate_grpc import served_grpc
from tests.graphs.rag.served import served
from tests.graphs.rag.store_contract import LENGTH, NORTH, StoreContract, names, parsed, put

SCOPE = Scope("t", "docs")
IMPATIENT_S = 0.3


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
    async with served(fake.application) as url, served_grpc(fake) as grpc_url:
        yield WeaviateStore(
            kind="weaviate",
            dimensions=LENGTH,
            url=url,
            grpc_url=grpc_url,
            api_key=SecretReference("env:WEAVIATE_TEST_KEY"),
        )


@pytest.fixture
async def store(settings: WeaviateStore) -> AsyncIterator[VectorStore]:
    store = WeaviatePassages(settings)
    await store.start()
    yield store
    await store.aclose()


@pytest.fixture
async def impatient(settings: WeaviateStore, store: VectorStore) -> AsyncIterator[VectorStore]:
    """Another replica, that waits a moment only."""
    impatient = WeaviatePassages(settings.model_copy(update={"timeout_s": IMPATIENT_S}))
    await impatient.start()
    yield impatient
    await impatient.aclose()


class TestWeaviate(StoreContract):
    """The contract."""


async def test_the_class_is_made_once(
    store: VectorStore, settings: WeaviateStore, fake: FakeWeaviate
):
    await put(store, SCOPE, (Passage("a", 0, "x"), NORTH))
    second = WeaviatePassages(settings)
    await second.start()
    assert await second.count(SCOPE) == 1
    await second.aclose()
    assert list(fake.classes) == ["Carillon_4"]


async def test_replicas_that_start_together_share_a_class(
    settings: WeaviateStore, fake: FakeWeaviate
):
    stores = [WeaviatePassages(settings) for _ in range(3)]
    await asyncio.gather(*(each.start() for each in stores))
    passage = Passage("a", 0, "x", {"year": 2020, "tags": ["t"]})
    await asyncio.gather(*(put(each, SCOPE, (passage, NORTH)) for each in stores))
    assert await stores[0].count(SCOPE) == 1
    await asyncio.gather(*(each.aclose() for each in stores))


async def test_a_key_that_another_replica_stored_can_be_filtered_by(
    store: VectorStore, settings: WeaviateStore
):
    other = WeaviatePassages(settings)
    await other.start()
    await put(other, SCOPE, (Passage("a", 0, "x", {"year": 2020}), NORTH))
    found = await store.query(SCOPE, NORTH, 5, parsed({"type": "eq", "key": "year", "value": 2020}))
    assert names(found) == ["a"]
    await put(store, SCOPE, (Passage("b", 0, "x", {"year": 2021}), NORTH))
    await other.aclose()


@pytest.mark.parametrize("half", ["rest", "grpc"])
async def test_a_refusal_is_logged_and_not_told(
    store: VectorStore, fake: FakeWeaviate, caplog: pytest.LogCaptureFixture, half: str
):
    if half == "rest":
        fake.broken = 500
    else:
        fake.rpc_fails = grpc.StatusCode.INTERNAL
    with pytest.raises(StoreUnavailable, match="refused") as refused:
        await (store.delete_collection(SCOPE) if half == "rest" else store.count(SCOPE))
    assert "broken" in caplog.text
    assert "broken" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_what_weaviate_does_not_store_is_refused_and_no_text_is_logged(
    store: VectorStore, fake: FakeWeaviate, caplog: pytest.LogCaptureFixture
):
    fine, other = Passage("a", 0, "a private remark"), Passage("b", 0, "private too", {"year": 1})
    await put(store, SCOPE, (other, NORTH))
    fake.classes["Carillon_4"].schema["properties"].pop()
    for some in ([fine, other], [other]):
        with pytest.raises(StoreUnavailable, match="refused"):
            await put(store, SCOPE, *((each, NORTH) for each in some))
    assert "no such prop" in caplog.text
    assert "private" not in caplog.text


async def test_a_server_that_is_gone_is_waited_for_no_longer_than_set(
    impatient: VectorStore, fake: FakeWeaviate
):
    fake.rpc_fails = grpc.StatusCode.UNAVAILABLE
    async with asyncio.timeout(IMPATIENT_S * 5):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await impatient.query_text(SCOPE, "anything", 5)
    fake.rpc_fails = None
    assert await impatient.count(SCOPE) == 0


async def test_a_wrong_port_of_either_half_is_noticed_at_the_start(settings: WeaviateStore):
    for field in ("url", "grpc_url"):
        wrong = {field: "http://127.0.0.1:1", "timeout_s": IMPATIENT_S}
        store = WeaviatePassages(settings.model_copy(update=wrong))
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.start()
        await store.aclose()


async def test_a_wrong_key_is_refused_and_not_told(
    settings: WeaviateStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("WEAVIATE_TEST_KEY", "another-key")
    store = WeaviatePassages(settings)
    with pytest.raises(StoreUnavailable, match="refused") as refused:
        await store.start()
    assert "another-key" not in f"{caplog.text} {refused.value!r}"
    await store.aclose()


async def test_a_passage_that_speaks_of_tenants_is_found(store: VectorStore):
    await put(store, SCOPE, (Passage("a", 0, 'error: tenant not found: "x"'), NORTH))
    assert names(await store.query(SCOPE, NORTH, 5)) == ["a"]

"""The default store, on the embedded PostgreSQL."""

import random
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from auth.database import Database
from core.errors import StoreUnavailable
from core.settings import SecretReference
from graphs.rag.postgresql import INDEXED, NEAREST, TUNE, PostgresqlPassages
from graphs.rag.store_settings import PostgresqlStore
from graphs.rag.vector_store import Passage, Scope, VectorStore
from tests.graphs.rag.store_contract import NORTH, UP, StoreContract, names, parsed, put

LENGTH = 384


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> PostgresqlStore:
    monkeypatch.setenv("PASSAGES_URL", database_url)
    return PostgresqlStore(database_url=SecretReference("env:PASSAGES_URL"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(SecretStr(database_url))
    yield database
    await database.aclose()


@pytest.fixture
async def tenants(database: Database) -> tuple[str, str]:
    mark = secrets.token_hex(4)
    pair = (f"t-a{mark}", f"t-b{mark}")
    for tenant in pair:
        await database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')", tenant
        )
    return pair


@pytest.fixture
async def store(settings: PostgresqlStore) -> AsyncIterator[VectorStore]:
    store = PostgresqlPassages(settings)
    await store.start()
    yield store
    await store.aclose()


class TestPostgresql(StoreContract):
    """The contract."""


def random_vectors(count: int, seed: int) -> list[list[float]]:
    chance = random.Random(seed)
    return [[chance.gauss(0, 1) for _ in range(LENGTH)] for _ in range(count)]


async def test_a_small_tenant_finds_all_of_its_own_among_many(
    store: VectorStore, tenants: tuple[str, str]
):
    big, small = (Scope(tenant, "docs") for tenant in tenants)
    crowd = random_vectors(1_500, 1)
    await put(store, big, *((Passage("crowd", n, "common"), v) for n, v in enumerate(crowd)))
    own = random_vectors(5, 2)
    await put(store, small, *((Passage(f"own{n}", 0, "common"), v) for n, v in enumerate(own)))
    # The crowd is nearer to this question than anything of the small tenant.
    assert set(names(await store.query(small, crowd[0], 10))) == {f"own{n}" for n in range(5)}
    assert len(await store.query_text(small, "common", 10)) == 5
    assert names(await store.query(big, crowd[7], 1)) == ["crowd"]


async def test_words_that_stand_together_as_in_the_question_count_for_more(
    store: VectorStore, tenants: tuple[str, str]
):
    scope = Scope(tenants[0], "docs")
    texts = {
        "apart": "The tower of the old church was built by monks; a bell rings there at noon.",
        "close": "The bell tower of the old church was built by monks; it rings there at noon.",
    }
    chance = random_vectors(len(texts), 3)
    passages = [
        (Passage(name, 0, text), v) for (name, text), v in zip(texts.items(), chance, strict=True)
    ]
    await put(store, scope, *passages)
    assert names(await store.query_text(scope, "who built the bell tower?", 5))[0] == "close"
    assert names(await store.query_text(scope, "bell", 5)) == ["apart", "close"]
    assert sorted(names(await store.query_text(scope, "tower, bell & 'x'!", 5))) == sorted(texts)


async def test_a_large_collection_is_searched_by_its_index(
    store: VectorStore, tenants: tuple[str, str], database: Database
):
    scope = Scope(tenants[0], "docs")
    crowd = random_vectors(1_500, 3)
    await put(store, scope, *((Passage("crowd", n, "common"), v) for n, v in enumerate(crowd)))
    await database.execute("ANALYZE rag_passages")
    async with database.of(scope.tenant).transaction() as connection:
        await connection.execute(TUNE, "100")
        await connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
        await connection.execute("SELECT set_config('enable_sort', 'off', true)")
        plan = await connection.fetch(
            f"EXPLAIN {NEAREST[LENGTH]}", scope.collection, crowd[0], None, 5
        )
    assert any("rag_passages_384" in row[0] for row in plan)
    assert [each.passage.position for each in await store.query(scope, crowd[9], 1)] == [9]


@pytest.mark.parametrize("length", [3, 100, *INDEXED])
async def test_vectors_of_any_length(store: VectorStore, tenants: tuple[str, str], length: int):
    scope = Scope(tenants[0], f"of-{length}")
    north = [1.0, *[0.0] * (length - 1)]
    south = [-1.0, *[0.0] * (length - 1)]
    await put(store, scope, (Passage("n", 0, "north"), north), (Passage("s", 0, "south"), south))
    assert names(await store.query(scope, north, 2)) == ["n", "s"]


async def test_the_tables_show_a_tenant_nothing_of_another(
    store: VectorStore, tenants: tuple[str, str], database: Database
):
    mine, others = (Scope(tenant, "docs") for tenant in tenants)
    await put(store, others, (Passage("a", 0, "needle"), NORTH))
    bound = database.of(mine.tenant)
    assert await bound.fetch("SELECT * FROM rag_passages") == []
    assert await bound.fetch("SELECT * FROM rag_passages_by_words('docs', 'needle', NULL, 9)") == []
    await put(store, mine, (Passage("a", 0, "x"), UP))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await bound.execute("UPDATE rag_passages SET tenant_id = $1", others.tenant)


async def test_what_fails_halfway_leaves_nothing(store: VectorStore, tenants: tuple[str, str]):
    scope = Scope(tenants[0], "docs")
    pages = [Passage("a", n, "page") for n in range(250)]
    pages.append(Passage("a", 2**40, "a position that no column holds"))
    with pytest.raises(Exception):  # noqa: B017,PT011  # whichever, of the driver
        await store.upsert(scope, pages, [UP] * len(pages))
    assert await store.count(scope) == 0


async def test_text_from_a_pdf_with_nul_is_kept_without_it(
    store: VectorStore, tenants: tuple[str, str]
):
    scope = Scope(tenants[0], "docs")
    await put(store, scope, (Passage("a", 0, "one\0two three"), UP))
    (found,) = await store.query_text(scope, "three\0", 5)
    assert found.passage.text == "onetwo three"


async def test_words_with_quotes_and_backslashes_are_words(
    store: VectorStore, tenants: tuple[str, str]
):
    scope = Scope(tenants[0], "docs")
    await put(store, scope, (Passage("a", 0, r"see C:\temp\it's.txt and http://x.org/a'b?c=1"), UP))
    assert names(await store.query_text(scope, r"http://x.org/a'b?c=1", 5)) == ["a"]


async def test_words_that_many_passages_have_find_the_one_that_has_several(
    store: VectorStore, tenants: tuple[str, str], database: Database
):
    """Each word alone stands in more passages than are looked at; no passage has all of them."""
    scope = Scope(tenants[0], "docs")
    many = [Passage("many", n, ("amber", "basalt", "cedar")[n % 3]) for n in range(1_500)]
    await store.upsert(scope, many, [UP] * len(many))
    await put(store, scope, (Passage("both", 0, "cedar and amber"), UP))
    await database.execute("VACUUM ANALYZE rag_passages")
    found = await store.query_text(scope, "amber basalt cedar dolomite", 5)
    assert names(found)[0] == "both"


async def test_a_database_that_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PASSAGES_URL", "postgresql://nobody@127.0.0.1:1/none")
    settings = PostgresqlStore(database_url=SecretReference("env:PASSAGES_URL"), timeout_s=1.0)
    store = PostgresqlPassages(settings)
    with pytest.raises(StoreUnavailable):
        await store.query(
            Scope("t", "docs"), NORTH, 5, parsed({"type": "eq", "key": "a", "value": 1})
        )
    await store.aclose()

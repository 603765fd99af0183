"""What every vector store does. A test file of each store has a class of it, with two fixtures.

`store` is started and empty for two tenants, whose ids are `tenants`.
"""

import math
import random
from collections.abc import Sequence

import pytest
from pydantic import TypeAdapter

from core.errors import InvalidRequest
from core.filters import AnyFilter, Filter, Metadata
from graphs.rag.vector_store import Found, Passage, Scope, VectorStore

NORTH, EAST, BETWEEN, UP = [1.0, 0, 0, 0], [0, 1.0, 0, 0], [1.0, 1.0, 0, 0], [0, 0, 1.0, 0]
LENGTH = 4

COMPASS = (
    (Passage("a", 0, "Needles point to the north pole"), NORTH),
    (Passage("b", 0, "The sun rises in the east"), EAST),
    (Passage("c", 0, "A wind from the northeast"), BETWEEN),
)
LIBRARY: tuple[tuple[str, Metadata], ...] = (
    ("tea", {"year": 1999, "language": "en", "draft": False, "tags": ["drink", "leaf"]}),
    ("bread", {"year": 2010.5, "language": "de", "draft": True, "tags": ["food"]}),
    ("wine", {"year": 2020, "language": "fr", "draft": False, "tags": ["drink"]}),
    ("note", {"year": "1999", "language": "en"}),
    ("blank", {}),
)
FILTERS: tuple[tuple[dict, set[str]], ...] = (
    ({"type": "eq", "key": "language", "value": "en"}, {"tea", "note"}),
    ({"type": "eq", "key": "language", "value": "EN"}, set()),
    ({"type": "eq", "key": "year", "value": 1999}, {"tea"}),
    ({"type": "eq", "key": "year", "value": 1999.0}, {"tea"}),
    ({"type": "eq", "key": "year", "value": "1999"}, {"note"}),
    ({"type": "eq", "key": "draft", "value": True}, {"bread"}),
    ({"type": "eq", "key": "draft", "value": 1}, set()),
    ({"type": "eq", "key": "tags", "value": "drink"}, {"tea", "wine"}),
    ({"type": "eq", "key": "nothing", "value": "x"}, set()),
    ({"type": "in", "key": "language", "value": ["de", "fr", "xx"]}, {"bread", "wine"}),
    ({"type": "in", "key": "year", "value": [2020, "1999"]}, {"wine", "note"}),
    ({"type": "gt", "key": "year", "value": 1999}, {"bread", "wine"}),
    ({"type": "gte", "key": "year", "value": 1999}, {"tea", "bread", "wine"}),
    ({"type": "lt", "key": "year", "value": 2010.5}, {"tea"}),
    ({"type": "lte", "key": "year", "value": 2010.5}, {"tea", "bread"}),
    ({"type": "gt", "key": "language", "value": 0}, set()),
    (
        {
            "type": "and",
            "filters": [
                {"type": "eq", "key": "tags", "value": "drink"},
                {"type": "gt", "key": "year", "value": 2000},
            ],
        },
        {"wine"},
    ),
    (
        {
            "type": "or",
            "filters": [
                {"type": "eq", "key": "draft", "value": True},
                {
                    "type": "and",
                    "filters": [
                        {"type": "eq", "key": "language", "value": "en"},
                        {"type": "lt", "key": "year", "value": 2000},
                    ],
                },
            ],
        },
        {"bread", "tea"},
    ),
    ({"type": "eq", "key": "language", "value": 'en" || true || "'}, set()),
    ({"type": "eq", "key": "language", "value": "en\\"}, set()),
    ({"type": "eq", "key": "language", "value": " en"}, set()),
    ({"type": "eq", "key": "language", "value": ""}, set()),
)


def parsed(document: dict) -> AnyFilter:
    found: AnyFilter = TypeAdapter(Filter).validate_python(document)
    return found


def names(found: Sequence[Found]) -> list[str]:
    return [each.passage.document for each in found]


async def put(store: VectorStore, scope: Scope, *pairs: tuple[Passage, list[float]]) -> None:
    await store.upsert(scope, [passage for passage, _ in pairs], [vector for _, vector in pairs])


class StoreContract:
    """Tests of any store."""

    @pytest.fixture
    def scope(self, tenants: tuple[str, str]) -> Scope:
        return Scope(tenants[0], "library")

    async def test_the_nearest_passage_is_found_first(self, store: VectorStore, scope: Scope):
        await put(store, scope, *COMPASS)
        found = await store.query(scope, NORTH, 10)
        assert names(found) == ["a", "c", "b"]
        assert [each.score for each in found] == pytest.approx([1, math.sqrt(0.5), 0], abs=1e-3)

    async def test_no_more_are_found_than_asked_for(self, store: VectorStore, scope: Scope):
        await put(store, scope, *COMPASS)
        assert names(await store.query(scope, NORTH, 1)) == ["a"]
        assert len(await store.query_text(scope, "needles sun wind", 2)) == 2

    async def test_length_of_a_vector_does_not_matter(self, store: VectorStore, scope: Scope):
        await put(store, scope, (COMPASS[0][0], [1e6, 0, 0, 0]), (COMPASS[1][0], [0, 1e-6, 0, 0]))
        assert names(await store.query(scope, [0, 250.0, 0, 0], 1)) == ["b"]

    async def test_a_passage_comes_back_as_it_was(self, store: VectorStore, scope: Scope):
        text = "naïve 'quoted\" \\ text\n\twith 😀, 日本語, $1 %s {x} and \u2028"
        metadata: Metadata = {
            "title": 'Ünï "q" 😀',
            "pages": 12,
            "price": 12.0,
            "tiny": 1e-7,
            "below": -3,
            "seen": True,
            "tags": ["a b", "c"],
            "none": [],
        }
        passage = Passage("dir/a b 'c' \"d\" ü.pdf", 7, text, metadata)
        await put(store, scope, (passage, NORTH))
        (found,) = await store.query(scope, NORTH, 5)
        assert found.passage == passage
        assert {key: type(value) for key, value in found.passage.metadata.items()} == {
            key: type(value) for key, value in metadata.items()
        }

    async def test_a_passage_of_the_same_id_replaces(self, store: VectorStore, scope: Scope):
        await put(store, scope, (Passage("a", 0, "old words", {"v": 1}), NORTH))
        await put(store, scope, (Passage("a", 0, "fresh ideas", {"w": 2}), EAST))
        (found,) = await store.query(scope, EAST, 5)
        assert found.passage == Passage("a", 0, "fresh ideas", {"w": 2})
        assert found.score == pytest.approx(1, abs=1e-3)
        assert await store.query_text(scope, "old words", 5) == []
        assert (
            await store.query(scope, EAST, 5, parsed({"type": "eq", "key": "v", "value": 1})) == []
        )

    async def test_a_rare_word_counts_more_than_common_ones(self, store: VectorStore, scope: Scope):
        common = [
            (Passage(f"d{n}", 0, f"The engine of car number {n} is a common engine"), UP)
            for n in range(20)
        ]
        rare = (Passage("rare", 0, "A carburettor mixes air with fuel in small machines"), UP)
        await put(store, scope, *common, rare)
        found = await store.query_text(scope, "Which engine has a carburettor?", 3)
        assert names(found)[0] == "rare"
        assert len(found) == 3
        assert found[0].score > found[1].score

    async def test_singular_finds_plural(self, store: VectorStore, scope: Scope):
        await put(store, scope, *COMPASS)
        assert names(await store.query_text(scope, "a NEEDLE", 5)) == ["a"]

    @pytest.mark.parametrize(
        "text",
        ["", " \n", "?!", "zebra", "the of and", "'", "\\", "🤷"],
    )
    async def test_words_that_nothing_has_find_nothing(
        self, store: VectorStore, scope: Scope, text: str
    ):
        await put(store, scope, *COMPASS)
        assert await store.query_text(scope, text, 5) == []

    @pytest.mark.parametrize(
        "text",
        [
            "north & !pole | (",
            "'north'",
            'needle" OR "x" AND NOT -sun',
            "north:* <-> pole:A",
            "text:north^9 ~ [a TO b] {",
            "north\\ '; DROP TABLE rag_passages; --",
        ],
    )
    async def test_nothing_that_is_typed_is_an_operator(
        self, store: VectorStore, scope: Scope, text: str
    ):
        await put(store, scope, *COMPASS)
        assert "a" in names(await store.query_text(scope, text, 5))

    @pytest.mark.parametrize(("filter_", "expected"), FILTERS)
    async def test_filters(
        self, store: VectorStore, scope: Scope, filter_: dict, expected: set[str]
    ):
        await put(
            store,
            scope,
            *((Passage(name, 0, "something to eat", metadata), UP) for name, metadata in LIBRARY),
        )
        near = await store.query(scope, UP, 10, parsed(filter_))
        assert set(names(near)) == expected
        worded = await store.query_text(scope, "eat something", 10, parsed(filter_))
        assert set(names(worded)) == expected

    async def test_keys_that_differ_by_case_are_different_keys(
        self, store: VectorStore, scope: Scope, tenants: tuple[str, str]
    ):
        other = Scope(tenants[1], scope.collection)
        both: Metadata = {"pageCount": 1, "pagecount": 2, "page_count": 3, "PAGE_COUNT": 4}
        await put(store, other, (Passage("x", 0, "another tenant's", {"Pagecount": 2}), UP))
        await put(store, scope, (Passage("a", 0, "x", both), UP))
        for key, value in both.items():
            matching = parsed({"type": "eq", "key": key, "value": value})
            assert names(await store.query(scope, UP, 5, matching)) == ["a"], key
            another = parsed({"type": "gt", "key": key, "value": value})
            assert await store.query(scope, UP, 5, another) == [], key

    async def test_a_filter_that_few_pass_still_fills_the_list(
        self, store: VectorStore, scope: Scope
    ):
        pairs = [
            (Passage(f"d{n}", 0, "grain of sand", {"kind": "gold" if n % 50 == 0 else "sand"}), v)
            for n, v in enumerate(vectors(300))
        ]
        await put(store, scope, *pairs)
        gold = parsed({"type": "eq", "key": "kind", "value": "gold"})
        found = await store.query(scope, NORTH, 6, gold)
        assert {each.passage.metadata["kind"] for each in found} == {"gold"}
        assert len(found) == 6
        best = sorted(pairs[::50], key=lambda pair: -cosine(pair[1], NORTH))
        assert names(found) == [passage.document for passage, _ in best]

    async def test_two_tenants_never_meet(
        self, store: VectorStore, scope: Scope, tenants: tuple[str, str]
    ):
        other = Scope(tenants[1], scope.collection)
        await put(store, scope, *COMPASS)
        await put(store, other, (Passage("a", 0, "Needles of the other tenant"), EAST))
        assert names(await store.query(other, NORTH, 10)) == ["a"]
        (found,) = await store.query_text(other, "needles", 10)
        assert found.passage.text == "Needles of the other tenant"
        (mine, *_) = await store.query_text(scope, "needles", 10)
        assert mine.passage.text == COMPASS[0][0].text
        assert (await store.count(scope), await store.count(other)) == (3, 1)
        await store.delete_document(other, "b")
        await store.delete_collection(other)
        assert (await store.count(scope), await store.count(other)) == (3, 0)

    async def test_two_collections_never_meet(self, store: VectorStore, scope: Scope):
        other = Scope(scope.tenant, 'another "one" / ü')
        await put(store, scope, *COMPASS)
        assert await store.query(other, NORTH, 5) == []
        await put(store, other, (Passage("z", 0, "needle in a haystack"), NORTH))
        assert names(await store.query(other, NORTH, 5)) == ["z"]
        assert names(await store.query_text(scope, "needle", 5)) == ["a"]
        await store.delete_collection(scope)
        assert (await store.count(scope), await store.count(other)) == (0, 1)

    async def test_a_document_is_deleted_alone(self, store: VectorStore, scope: Scope):
        await put(store, scope, *COMPASS, (Passage("a", 1, "and another page"), UP))
        await store.delete_document(scope, "a")
        assert set(names(await store.query(scope, NORTH, 10))) == {"b", "c"}
        assert await store.query_text(scope, "needles another page", 10) == []
        assert await store.count(scope) == 2

    async def test_a_document_can_be_cut(self, store: VectorStore, scope: Scope):
        pages = [(Passage("a", n, f"page number {n}"), UP) for n in range(12)]
        await put(store, scope, *pages, *COMPASS[1:])
        await store.delete_document(scope, "a", first=3)
        left = [each.passage for each in await store.query(scope, UP, 20)]
        assert {each.position for each in left if each.document == "a"} == {0, 1, 2}
        assert await store.count(scope) == 5

    async def test_deleting_what_is_not_there_is_no_error(self, store: VectorStore, scope: Scope):
        await store.delete_document(scope, "nothing")
        await store.delete_collection(scope)
        assert await store.count(scope) == 0
        assert await store.query(scope, NORTH, 5) == []
        assert await store.query_text(scope, "needle", 5) == []

    async def test_many_at_once(self, store: VectorStore, scope: Scope):
        many = vectors(450)
        await put(store, scope, *((Passage("a", n, f"page {n}"), v) for n, v in enumerate(many)))
        assert await store.count(scope) == 450
        (found,) = await store.query(scope, many[321], 1)
        assert found.passage.position == 321

    async def test_none_at_all_is_no_error(self, store: VectorStore, scope: Scope):
        await store.upsert(scope, [], [])
        assert await store.count(scope) == 0

    @pytest.mark.parametrize(
        "bad", [[0.0, 0, 0, 0], [math.nan, 1, 0, 0], [math.inf, 0, 0, 0], [], [1.0, 0, 0]]
    )
    async def test_vectors_that_cannot_be_are_refused_and_nothing_stored(
        self, store: VectorStore, scope: Scope, bad: list[float]
    ):
        with pytest.raises(InvalidRequest):
            await put(store, scope, COMPASS[0], (COMPASS[1][0], bad))
        assert await store.count(scope) == 0

    async def test_vectors_of_another_length_are_refused(self, store: VectorStore, scope: Scope):
        await put(store, scope, *COMPASS)
        with pytest.raises(InvalidRequest, match="another embedding model"):
            await put(store, scope, (Passage("d", 0, "x"), [1.0, 0, 0, 0, 0]))
        with pytest.raises(InvalidRequest, match="another embedding model"):
            await store.query(scope, [1.0, 0, 0, 0, 0], 5)
        assert await store.count(scope) == 3


def vectors(count: int) -> list[list[float]]:
    chance = random.Random(count)
    return [[chance.gauss(0, 1) for _ in range(LENGTH)] for _ in range(count)]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

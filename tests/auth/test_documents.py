"""Documents' rows: what is there, what is pending, what is to be swept, and whose it is."""

import asyncio

import pytest

from auth.accounts import Tenant
from auth.collection_writes import CollectionWrites
from auth.database import Database
from auth.document_writes import Begun, DocumentWrites, NewDocument
from auth.documents import DocumentBook
from core.errors import Conflict, InvalidRequest, NotFound, StorageFull

TEXT = NewDocument("Bells", "text", 11, None, 2, 9, {"year": 2026, "tags": ["a"]}, "Bells ring.")


@pytest.fixture
def rows(database: Database) -> DocumentWrites:
    return DocumentWrites(database)


@pytest.fixture
def collections(database: Database) -> CollectionWrites:
    return CollectionWrites(database)


@pytest.fixture
def book(database: Database) -> DocumentBook:
    return DocumentBook(database)


async def begun(rows: DocumentWrites, tenant: Tenant, name: str | None = "d") -> Begun:
    return await rows.begin(tenant.id, "c", name, "rag", "encoder")


async def test_a_document_is_there_once_it_is_finished(rows, book, tenant):
    begin = await begun(rows, tenant)
    assert (await book.page(tenant.id, "c", None, 10)).items == ()
    with pytest.raises(NotFound):
        await book.find(tenant.id, "c", "d")
    stored, replaced = await rows.finish(tenant.id, begin, TEXT)
    assert (stored.title, stored.metadata, replaced) == ("Bells", TEXT.metadata, False)
    found = await book.find(tenant.id, "c", "d")
    assert (found.text, found.mark) == ("Bells ring.", begin.mark)
    collection = await book.collection(tenant.id, "c")
    assert (collection.documents, collection.passages) == (1, 2)
    assert collection.text_bytes == 11


async def test_every_change_is_another_version(rows, collections, book, tenant):
    versions = []
    for _ in range(2):
        await rows.finish(tenant.id, await begun(rows, tenant), TEXT)
        versions.append((await book.head(tenant.id, "c"))[1])
    await rows.delete(tenant.id, "c", "d")
    versions.append((await book.head(tenant.id, "c"))[1])
    await collections.delete(tenant.id, "c")
    await rows.finish(tenant.id, await begun(rows, tenant), TEXT)
    versions.append((await book.head(tenant.id, "c"))[1])
    assert versions == sorted(set(versions))


async def test_marks_that_are_nobodys_are_left_to_be_swept(rows, tenant):
    first = await begun(rows, tenant)
    await rows.finish(tenant.id, first, TEXT)
    second = await begun(rows, tenant)  # whoever began this one dies
    third = await begun(rows, tenant)
    _, replaced = await rows.finish(tenant.id, third, TEXT)
    assert replaced
    ((name, marks),) = await rows.leftovers(tenant.id, "c", 10)
    assert (name, sorted(marks)) == ("d", sorted([first.mark, second.mark]))
    assert sorted(await rows.every_mark(tenant.id, "c", "d")) == sorted(
        [first.mark, second.mark, third.mark]
    )
    await rows.swept(tenant.id, "c", "d", marks)
    assert await rows.leftovers(tenant.id, "c", 10) == []
    assert await rows.marks(tenant.id, "c", ["d", "e"]) == {"d": third.mark}


async def test_who_was_overtaken_is_told(rows, tenant):
    first, second = await begun(rows, tenant), await begun(rows, tenant)
    await rows.finish(tenant.id, second, TEXT)
    with pytest.raises(Conflict):
        await rows.finish(tenant.id, first, TEXT)
    third = await begun(rows, tenant)
    await rows.delete(tenant.id, "c", "d")
    with pytest.raises(Conflict):
        await rows.finish(tenant.id, third, TEXT)


async def test_in_a_collection_that_is_being_deleted_nothing_is_there_and_nothing_is_added(
    rows, collections, book, tenant
):
    await rows.finish(tenant.id, await begun(rows, tenant), TEXT)
    pending = await begun(rows, tenant, "e")
    await collections.close(tenant.id, "c")
    assert await rows.marks(tenant.id, "c", ["d"]) == {}
    assert (await book.page(tenant.id, "c", None, 10)).items == ()
    with pytest.raises(Conflict):
        await rows.finish(tenant.id, pending, TEXT)
    for refused in (collections.require_open(tenant.id, "c"), begun(rows, tenant)):
        with pytest.raises(Conflict, match="is being deleted"):
            await refused
    await collections.close(tenant.id, "c")  # whoever deleted it died, and it is deleted again
    await collections.delete(tenant.id, "c")
    await collections.require_open(tenant.id, "c")
    await rows.finish(tenant.id, await begun(rows, tenant), TEXT)
    with pytest.raises(NotFound):
        await collections.close(tenant.id, "none")


async def test_what_was_given_up_leaves_nothing_when_it_is_swept(rows, database, tenant):
    begin = await begun(rows, tenant)
    await rows.give_up(tenant.id, begin)
    assert await rows.leftovers(tenant.id, "c", 10) == [("d", [begin.mark])]
    await rows.swept(tenant.id, "c", "d", [begin.mark])
    row = await database.of(tenant.id).row("SELECT count(*) AS rows FROM rag_documents")
    assert row["rows"] == 0


async def test_an_attempt_of_long_ago_is_swept(rows, database, tenant):
    begin = await begun(rows, tenant)
    assert await rows.leftovers(tenant.id, "c", 10) == []
    await database.of(tenant.id).execute(
        "UPDATE rag_documents SET begun_at = now() - interval '2 hours'"
    )
    assert await rows.leftovers(tenant.id, "c", 10) == [("d", [begin.mark])]


async def test_a_collection_is_of_one_graph_and_one_embedding_model(rows, collections, tenant):
    await begun(rows, tenant)
    await collections.require_same(tenant.id, "c", "rag", "encoder")
    await collections.require_same(tenant.id, "none", "another", "encoder")
    for model, embedding in (("another", "encoder"), ("rag", "another")):
        with pytest.raises(Conflict):
            await collections.require_same(tenant.id, "c", model, embedding)
        with pytest.raises(Conflict):
            await rows.begin(tenant.id, "c", "e", model, embedding)


async def test_what_postgresql_cannot_hold_is_refused_and_not_stored(rows, book, tenant):
    begin = await begun(rows, tenant)
    bad = NewDocument(None, "text", 1, None, 1, 1, {}, "a\0b")
    with pytest.raises(InvalidRequest):
        await rows.finish(tenant.id, begin, bad)
    with pytest.raises(NotFound):
        await book.find(tenant.id, "c", "d")


async def test_pages_go_through_all_documents_and_collections(rows, book, tenant):
    for name in "abcde":
        await rows.finish(tenant.id, await begun(rows, tenant, name), TEXT)
        await rows.begin(tenant.id, f"more-{name}", "d", "rag", "encoder")
    seen, after = [], None
    while True:
        page = await book.page(tenant.id, "c", after, 2)
        seen += [document.id for document in page.items]
        if not page.has_more:
            break
        after = seen[-1]
    assert seen == list("abcde")
    names = [each.name for each in (await book.collections(tenant.id, None, 100)).items]
    assert names == ["c", *(f"more-{name}" for name in "abcde")]


async def test_another_tenants_documents_are_not_there(rows, collections, book, tenant, directory):
    other = await directory.create_tenant("other", "pro")
    await rows.finish(tenant.id, await begun(rows, tenant), TEXT)
    for look in (
        book.find(other.id, "c", "d"),
        book.collection(other.id, "c"),
        book.head(other.id, "c"),
        rows.every_mark(other.id, "c", "d"),
        rows.delete(other.id, "c", "d"),
        collections.delete(other.id, "c"),
        collections.close(other.id, "c"),
    ):
        with pytest.raises(NotFound):
            await look
    assert (await book.page(other.id, "c", None, 10)).items == ()
    assert (await book.collections(other.id, None, 10)).items == ()
    assert await rows.marks(other.id, "c", ["d"]) == {}
    assert (await book.find(tenant.id, "c", "d")).text == "Bells ring."


async def test_a_new_id_is_made_where_none_is_given(rows, tenant):
    begin = await begun(rows, tenant, None)
    assert begin.id.startswith("doc-")
    assert begin.id != (await begun(rows, tenant, None)).id


async def test_documents_put_in_at_once_do_not_overrun_the_storage(rows, book, tenant):
    begins = [await rows.begin(tenant.id, f"c{n}", "d", "rag", "encoder") for n in range(6)]
    done = await asyncio.gather(
        *(rows.finish(tenant.id, begin, TEXT, 33) for begin in begins), return_exceptions=True
    )
    assert sum(isinstance(each, StorageFull) for each in done) == 3
    kept = (await book.collections(tenant.id, None, 10)).items
    assert sum(each.text_bytes for each in kept) == 33


async def test_a_document_makes_room_for_its_next_version(rows, book, tenant):
    await rows.finish(tenant.id, await begun(rows, tenant), TEXT, 11)
    _, replaced = await rows.finish(tenant.id, await begun(rows, tenant), TEXT, 11)
    assert replaced
    await book.require_room(tenant.id, 11, "c", "d", 11)
    for name in (None, "e"):
        with pytest.raises(StorageFull, match="delete documents"):
            await book.require_room(tenant.id, 11, "c", name, 1)
    await book.require_room(tenant.id, None, "c", "e", 10**12)

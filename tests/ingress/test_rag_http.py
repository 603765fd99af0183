"""RAG over HTTP: whose documents are asked for, what is reserved, what the cache forgets."""

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from auth.document_writes import Begun, DocumentWrites, NewDocument
from auth.plans import read_plans
from core.model import Reply
from core.rag import MAX_FILE_BYTES
from core.settings import ROOT
from core.work import WorkUnits
from graphs.rag.reader import FileReader
from tests.auth.servers import Valkey
from tests.fakes.dispatch import ScriptedDispatcher
from tests.graphs.rag import papers
from tests.ingress.whole_gateway import Whole, whole_gateway

READING = {
    "object": "rag.reading",
    "kind": "pdf",
    "text": "The tower.",
    "title": "Tower",
    "pages": 1,
    "outline": '{"headings":[],"blocks":[[0,10,-1,0,1]]}',
    "passages": 1,
    "tokens": 7,
}
ADDED = {"id": "d", "object": "rag.document", "replaced": False}
FOUND = {
    "document": "d",
    "title": None,
    "heading": None,
    "page": 2,
    "start": 0,
    "end": 5,
    "text": "bells",
    "score": 0.5,
    "metadata": {"a": 1},
}


class Listening(ScriptedDispatcher):
    """Answers by operation, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {
            "read_document": READING,
            "add_document": ADDED,
            "delete_documents": {"deleted": True},
            "search": {"results": [FOUND]},
            "answer": {"answer": "ding", "citations": [], "model": "rag", "usage": {}},
            "chat": {
                "choices": [{"message": {"content": "ding"}}],
                "citations": [],
                "model": "rag",
                "usage": {},
            },
        }

    async def answer(self, call, context):
        self.requests.append((call.operation_name, call.request))
        self.calls.append(context)
        body = orjson.dumps(self.answers[call.operation_name])
        return Reply(body, WorkUnits(input_tokens=2))


@dataclass
class Tenant:
    whole: Whole
    dispatcher: Listening
    token: str
    id: str

    async def ask(self, method: str, path: str, body: Any = None, **options: Any):
        async with self.whole.world.client(self.token) as client:
            return await client.request(method, path, json=body, **options)

    async def keep(self, name: str = "d", collection: str = "default", model: str = "rag") -> None:
        """A document, as a graph keeps one."""
        rows = DocumentWrites(self.whole.world.database)
        begun = await rows.begin(self.id, collection, name, model, "all-minilm-l6-v2")
        assert isinstance(begun, Begun)
        facts = NewDocument("Bells", "text", 5, None, 1, 3, {"a": 1}, "bells")
        await rows.finish(self.id, begun, facts)


@pytest.fixture
async def tenant(database_url: str, valkey_server: Valkey, tmp_path):
    dispatcher = Listening()
    async with whole_gateway(
        database_url, valkey_server.url, tmp_path, dispatcher=dispatcher
    ) as whole:
        owner = await whole.world.owner()
        shown = await whole.world.get("/v1/tenants/me", owner["access_token"])
        yield Tenant(whole, dispatcher, owner["access_token"], shown.json()["id"])


async def test_a_short_text_is_one_call_and_a_file_is_counted_first(tenant: Tenant):
    answer = await tenant.ask("POST", "/v1/rag/documents", {"text": "bells", "id": "d"})
    assert (answer.status_code, answer.json()) == (201, ADDED)
    ((operation, request),) = tenant.dispatcher.requests
    assert (operation, request.tenant, request.text) == ("add_document", tenant.id, "bells")
    tenant.dispatcher.requests.clear()
    async with tenant.whole.world.client(tenant.token) as client:
        form = {"collection": "c", "metadata": '{"year": 2026}'}
        file = {"file": ("paper.pdf", b"%PDF-1.7", "application/pdf")}
        answer = await client.post("/v1/rag/documents", files=file, data=form)
    assert answer.status_code == 201, answer.text
    (_, read), (_, added) = tenant.dispatcher.requests
    assert read.content == b"%PDF-1.7"
    assert (added.text, added.kind, added.tokens, added.bytes) == ("The tower.", "pdf", 7, 8)
    assert (added.collection, added.metadata, added.title) == ("c", {"year": 2026}, "Tower")
    assert added.outline == READING["outline"]
    assert [call.reserved.input_tokens for call in tenant.dispatcher.calls][1:] == [0, 7]
    ids = [call.request_id for call in tenant.dispatcher.calls]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"text": "a", "content": "YQ=="}, None),
        ({"text": ""}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "a", "tenant": "another"}, "tenant"),
        ({"text": "a", "tokens": 1}, "tokens"),
        ({"text": "a", "id": "a#b"}, "id"),
        ({"text": "a", "collection": "../x"}, "collection"),
        ({"text": "a", "metadata": {"page": 3}}, "metadata"),
        ({"text": "a", "metadata": {"x": {"y": 1}}}, "metadata.x"),
        ({"content": "not base64!"}, "content"),
    ],
)
async def test_a_bad_document_is_refused_and_nothing_is_called(tenant: Tenant, body, param):
    answer = await tenant.ask("POST", "/v1/rag/documents", body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["param"] or "").startswith(param or "")
    assert not tenant.dispatcher.requests


async def test_a_file_that_is_too_large_or_empty_is_refused(tenant: Tenant):
    async with tenant.whole.world.client(tenant.token) as client:
        big = await client.post("/v1/rag/documents", content=b"x" * (29 * 2**20))
        empty = await client.post("/v1/rag/documents", files={"file": ("a.txt", b"")})
        long = await client.post("/v1/rag/documents", json={"text": "x" * 2_000_001})
    assert (big.status_code, empty.status_code, long.status_code) == (413, 400, 400)
    assert not tenant.dispatcher.requests


@pytest.mark.parametrize("size", [100 * 2**20, MAX_FILE_BYTES + 1, 0])
async def test_a_form_whose_file_is_too_large_or_empty_says_so_of_the_file(
    tenant: Tenant, size: int
):
    async with tenant.whole.world.client(tenant.token) as client:
        file = {"file": ("a.txt", b"x" * size, "text/plain")}
        answer = await client.post("/v1/rag/documents", files=file)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (413 if size else 400, "file")
    assert error["message"].startswith("'file': ")
    if size:
        assert str(MAX_FILE_BYTES) in error["message"]
    await nothing_is_kept(tenant)


async def test_an_encrypted_pdf_leaves_nothing_behind(tenant: Tenant, monkeypatch):
    answer_of = tenant.dispatcher.answer

    async def answer(call, context):
        if call.operation_name == "read_document":
            await FileReader().read(call.request.content)  # as the graph does
        return await answer_of(call, context)

    monkeypatch.setattr(tenant.dispatcher, "answer", answer)
    async with tenant.whole.world.client(tenant.token) as client:
        file = {"file": ("a.pdf", papers.encrypted_pdf(["secret"], "password"))}
        refused = await client.post("/v1/rag/documents", files=file)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "file")
    assert error["message"] == "'file': the PDF is encrypted: save it without a password"
    await nothing_is_kept(tenant)


async def nothing_is_kept(tenant: Tenant) -> None:
    assert not tenant.dispatcher.requests
    for path in ("/v1/rag/collections", "/v1/rag/documents", "/v1/media"):
        assert (await tenant.ask("GET", path)).json()["data"] == []


async def test_documents_and_collections_are_listed_shown_and_deleted(tenant: Tenant):
    for name in ("a", "b", "c"):
        await tenant.keep(name)
    page = (await tenant.ask("GET", "/v1/rag/documents?limit=2")).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (["a", "b"], True)
    rest = (await tenant.ask("GET", "/v1/rag/documents?after=b")).json()
    assert [each["id"] for each in rest["data"]] == ["c"]
    one = (await tenant.ask("GET", "/v1/rag/documents/a")).json()
    assert (one["text"], one["title"], one["metadata"]) == ("bells", "Bells", {"a": 1})
    (collection,) = (await tenant.ask("GET", "/v1/rag/collections")).json()["data"]
    assert (collection["id"], collection["documents"], collection["passages"]) == ("default", 3, 3)
    assert (await tenant.ask("GET", "/v1/rag/collections/default")).json() == collection
    for path in ("documents/a", "collections/default"):
        assert (await tenant.ask("DELETE", f"/v1/rag/{path}")).status_code == 200
    (_, one_gone), (_, all_gone) = tenant.dispatcher.requests
    assert (one_gone.tenant, one_gone.id, all_gone.id) == (tenant.id, "a", None)
    for path in ("documents/never", "collections/never", "documents/a?collection=never"):
        for method in ("GET", "DELETE"):
            assert (await tenant.ask(method, f"/v1/rag/{path}")).status_code == 404


async def test_the_same_search_is_answered_anew_after_a_change(tenant: Tenant):
    await tenant.keep()
    query = {"query": "bells"}

    async def verdict() -> str:
        return str((await tenant.ask("POST", "/v1/rag/search", query)).headers["x-cache"])

    assert [await verdict(), await verdict()] == ["MISS", "HIT"]
    await tenant.keep("another")
    assert [await verdict(), await verdict()] == ["MISS", "HIT"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/rag/documents/d", None),
        ("DELETE", "/v1/rag/collections/default", None),
        ("POST", "/v1/models/rag/delete_documents", {"id": "d"}),
        ("POST", "/v1/rag/documents", {"id": "d", "text": "bells"}),
        ("POST", "/v1/models/rag/add_document", {"id": "d", "text": "bells"}),
    ],
)
async def test_whatever_takes_a_document_away_empties_the_tenants_cache(
    tenant: Tenant, method: str, path: str, body: Any
):
    tenant.dispatcher.answers["add_document"] = ADDED | {"replaced": True}
    await tenant.keep()
    question = {"query": "bells"}
    await tenant.ask("POST", "/v1/rag/search", question)
    assert (await tenant.ask(method, path, body)).status_code < 300
    # The graph of this test changes nothing: it is the same version, and still no hit.
    again = await tenant.ask("POST", "/v1/rag/search", question)
    assert again.headers["x-cache"] == "MISS"


async def test_a_question_goes_to_the_graph_that_keeps_the_collection(tenant: Tenant):
    await tenant.keep(collection="c")
    for path, body in {
        "search": {"query": "bells", "collection": "c"},
        "generate": {"query": "bells", "collection": "c"},
        "chat": {"messages": [{"role": "user", "content": "bells"}], "collection": "c"},
    }.items():
        assert (await tenant.ask("POST", f"/v1/rag/{path}", body)).status_code == 200
    requests = [request for _, request in tenant.dispatcher.requests]
    assert {(request.tenant, request.version is not None) for request in requests} == {
        (tenant.id, True)
    }
    for path in ("search", "generate"):
        nowhere = await tenant.ask("POST", f"/v1/rag/{path}", {"query": "x", "collection": "none"})
        assert nowhere.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"query": "x", "tenant": "another"},
        {"query": "x", "version": 1},
        {"query": "x", "top_k": 0},
        {"query": ""},
        {"query": "x", "filter": {"type": "eq", "key": "a b", "value": 1}},
        {"query": "x", "mode": "magic"},
    ],
)
async def test_a_bad_search_is_refused(tenant: Tenant, body):
    await tenant.keep()
    assert (await tenant.ask("POST", "/v1/rag/search", body)).status_code == 400
    assert not tenant.dispatcher.requests


async def test_a_caller_cannot_say_whose_documents_by_the_general_routes(tenant: Tenant):
    await tenant.keep()
    path = "/v1/models/rag/search"
    told = await tenant.ask("POST", path, {"query": "x", "tenant": "another"})
    assert (told.status_code, told.json()["error"]["param"]) == (400, "tenant")
    explained = {"operation": "search", "request": {"query": "x", "tenant": "another"}}
    assert (await tenant.ask("POST", "/v1/explain", explained)).status_code == 400
    chat = {"model": "rag", "messages": [{"role": "user", "content": "x"}], "tenant": "another"}
    assert (await tenant.ask("POST", "/v1/chat/completions", chat)).status_code == 400
    assert not tenant.dispatcher.requests
    mine = await tenant.ask("POST", path, {"query": "x"})
    assert (mine.status_code, mine.headers["x-cache"]) == (200, "BYPASS")
    chat.pop("tenant")
    assert (await tenant.ask("POST", "/v1/chat/completions", chat)).status_code == 200
    assert {request.tenant for _, request in tenant.dispatcher.requests} == {tenant.id}


async def test_a_document_is_held_to_storage_and_reservation_by_every_route(tenant: Tenant):
    path, body = "/v1/models/rag/add_document", {"text": "bells", "id": "d"}
    nothing = await tenant.ask("POST", path, body | {"tokens": 0})
    assert (nothing.status_code, nothing.json()["error"]["param"]) == (400, "tokens")
    for route in (path, "/v1/rag/documents"):
        assert (await tenant.ask("POST", route, body)).status_code < 300
    mine = read_plans(ROOT / "plans.yaml")["pro"].storage_bytes
    assert [call.storage_bytes for call in tenant.dispatcher.calls] == [mine, mine]
    assert all(call.reserved.input_tokens for call in tenant.dispatcher.calls)


async def test_the_older_paths_answer_in_their_own_words(tenant: Tenant):
    await tenant.keep()
    base = "/api/v1/services/rag"
    found = await tenant.ask("POST", f"{base}/search?query=bells&top_k=3")
    assert found.json() == {
        "query": "bells",
        "results": [
            {
                "document_id": "d",
                "content": "bells",
                "score": 0.5,
                "metadata": {
                    "title": None,
                    "heading": None,
                    "page": 2,
                    "start": 0,
                    "end": 5,
                    "a": 1,
                },
            }
        ],
        "total_results": 1,
    }
    assert tenant.dispatcher.requests[-1][1].top_k == 3
    told = await tenant.ask("POST", f"{base}/generate", {"query": "bells"})
    assert (told.json()["response"], told.json()["sources"]) == ("ding", [])
    said = await tenant.ask("POST", f"{base}/chat", {"message": "bells"})
    assert said.json()["response"] == "ding"
    assert (await tenant.ask("POST", f"{base}/search?query=x&nonsense=1")).status_code == 400

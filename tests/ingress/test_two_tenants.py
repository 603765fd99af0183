"""Every route, two tenants: nothing of one can be read, listed, changed or deleted by the other.

The routes are those of the OpenAPI document, so a new one is covered when it appears. What cannot
be covered by itself fails with a message that says what to add here.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from auth.apps import AppBook, new_deployment_id
from auth.database import Database
from auth.document_writes import DocumentWrites, NewDocument
from auth.gallery import GalleryBook, NewItem
from tests.auth.servers import Valkey
from tests.ingress.identity import world as worlds
from tests.ingress.identity.world import CHAT
from tests.ingress.whole_gateway import whole_gateway

CHAT_PATH = "/v1/chat/completions"
OF_NOBODY = {"model": "echo", "operation": "chat", "symbol": "bitcoin"}
"""Parameters of paths that name what belongs to no tenant."""
BODIES: dict[str, Any] = {
    "RerunRequest": {"inputs": {}},
    "RemixRequest": {"prompt": "a red circle on blue"},
    "KeyChange": {"name": "taken over", "limits": None},
    "RotateRequest": {"grace_s": 60},
    "MemberChange": {"role": "viewer", "limits": None},
    "TenantAdministrationChange": {"name": "taken over", "is_active": False},
    "OwnerInvitation": {"email": "thief@example.com"},
    "UserAdministrationChange": {"is_active": False},
}
"""A good request of each type, for routes whose path names a resource."""
LABELS = {("KeyRequest", "user_id"), ("CreateKeyRequest", "user_id"), ("TransactionRow", "user_id")}
"""Fields that end in `_id` and look nothing up."""


@dataclass
class Tenants:
    """A has one of everything; B wants it."""

    world: Any
    a: str
    """The access token of A's owner."""
    b: str
    """A key of B with every right that a tenant has."""
    b_owner: str
    b_viewer: str
    b_email: str
    ids: dict[str, str] = field(default_factory=dict)
    """A's resources, by the parameter of a path."""
    a_key: str = ""

    @property
    def document(self) -> dict[str, Any]:
        return dict(self.world.application.document)

    @property
    def marks(self) -> list[str]:
        """What no answer to B may contain."""
        return [*self.ids.values(), "canary"]

    async def ask(self, method: str, path: str, credential: str | None, body: Any = None):
        async with self.world.client(credential) as client:
            return await client.request(method, path, json=body)

    def filled(self, path: str, *, absent: bool = False) -> str:
        """`path` with A's ids, or with ids of the same form that nobody has."""
        for name in parameters(path):
            value = self.value(name, path)
            absent_value = never(value) if name in self.ids else value
            path = path.replace(f"{{{name}}}", absent_value if absent else value)
        return path

    def value(self, name: str, path: str) -> str:
        if name in OF_NOBODY:
            return OF_NOBODY[name]
        if name not in self.ids:
            pytest.fail(
                f"nobody knows how to fill '{{{name}}}' of {path}: let the fixture `tenants` make"
                f" one of A's and put its id into `ids`, or add it to OF_NOBODY"
            )
        return self.ids[name]

    def routes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def of_resources(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Routes whose path names something that is a tenant's."""
        for method, path, operation in self.routes():
            if [name for name in parameters(path) if name not in OF_NOBODY]:
                yield method, path, operation


def parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def never(value: str) -> str:
    """An id of the same form that nothing has."""
    stem, dot, kind = value.partition(".")
    changed = "".join("0123456789abcdef"[(int(c, 16) + 5) % 16] for c in stem[-8:])
    return stem[:-8] + changed + dot + kind


def request_type(operation: dict[str, Any]) -> str | None:
    body = operation.get("requestBody")
    if body is None:
        return None
    return str(body["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def body_for(method: str, path: str, operation: dict[str, Any]) -> Any:
    kind = request_type(operation)
    if kind is not None and kind not in BODIES:
        pytest.fail(f"add a good body of '{kind}' to BODIES, for {method} {path}")
    return BODIES[kind] if kind else None


def told(response, *values: str) -> tuple[int, str]:
    """What a caller sees, but for the id that it sent."""
    text = response.text
    for value in values:
        text = text.replace(value, "ID")
    return response.status_code, text


@pytest.fixture
async def tenants(database_url: str, valkey_server: Valkey, tmp_path, monkeypatch):
    monkeypatch.setattr("ingress.cluster._nodes", list)
    async with whole_gateway(database_url, valkey_server.url, tmp_path) as whole:
        world = whole.world
        a, b = await world.owner(), await world.owner()
        viewer = await world.invited("viewer", b["access_token"])
        scopes = ["inference", "usage", "keys", "members"]
        key = await world.post("/v1/api-keys", {"scopes": scopes}, b["access_token"])
        found = Tenants(
            world,
            a["access_token"],
            key.json()["key"],
            b["access_token"],
            viewer["access_token"],
            b["email"],
        )
        await furnish(found, whole.ledger)
        yield found


async def furnish(tenants: Tenants, ledger) -> None:
    """One of everything for A."""
    world, token, ids = tenants.world, tenants.a, tenants.ids
    key = await world.post("/v1/api-keys", {"name": "canary"}, token)
    tenants.a_key, ids["key_id"] = key.json()["key"], key.json()["id"]
    ids["tenant_id"] = key.json()["tenant_id"]
    ids["user_id"] = (await world.invited("member", token))["user_id"]
    invitation = {"email": worlds.email("canary"), "role": "viewer"}
    made = await world.post("/v1/tenants/me/invitations", invitation, token)
    ids["invitation_id"] = made.json()["id"]
    async with world.client(token) as client:
        line = b'{"canary": true}\n'
        upload = {"file": ("canary.jsonl", line, "application/jsonl")}
        file = await client.post("/v1/files", files=upload, data={"purpose": "batch"})
        picture = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(100)
        media = await client.post("/v1/media", files={"file": ("canary.png", picture)})
    ids["file_id"] = file.json()["id"]
    ids["hash"], url = media.json()["id"], media.json()["url"]
    ids["name"] = url.partition("?")[0].rpartition("/")[2]
    ids["item_id"] = await hung(world, ids)
    ids["app_id"], ids["deployment_id"] = await built(world, ids)
    asked = {"input_file_id": ids["file_id"], "endpoint": CHAT_PATH, "completion_window": "24h"}
    ids["batch_id"] = (await world.post("/v1/batches", asked, token)).json()["id"]
    says = {"messages": [{"role": "user", "content": "canary"}]}
    run = {"steps": [{"id": "a", "model": "echo", "input": says}]}
    ids["run_id"] = (await world.post("/v1/workflows/runs", run, token)).json()["id"]
    video = await world.post("/v1/videos", {"prompt": "canary"}, token)
    ids["video_id"] = video.json()["id"]
    ids["document_id"] = await document(world.database, ids["tenant_id"], "default")
    ids["collection"] = f"canary-{secrets.token_hex(4)}"
    await document(world.database, ids["tenant_id"], ids["collection"])
    answered = await world.post(CHAT_PATH, CHAT, token)
    ids["request_id"] = answered.headers.get("x-request-id", "")
    await ledger.drain()
    rows = await world.database.fetch(
        "SELECT request_id FROM usage_records WHERE tenant_id = $1", ids["tenant_id"]
    )
    ids["request_id"] = rows[0]["request_id"]


async def hung(world: Any, ids: dict[str, str]) -> str:
    """A picture of A's in its gallery; its id."""
    item_id = f"pic-{secrets.token_hex(12)}"
    blob = ids["hash"]
    stages = [{"stage": "generate", "media": blob}]
    item = NewItem(
        item_id, blob, [blob], "canary", "canary", 7, "image-workflow", "64x64", stages, ["canary"]
    )
    await GalleryBook(world.database).add(ids["tenant_id"], [item])
    return item_id


async def built(world: Any, ids: dict[str, str]) -> tuple[str, str]:
    """An app of A's and its deployment; their ids."""
    book, tenant_id = AppBook(world.database), ids["tenant_id"]
    app = await book.add(
        tenant_id,
        model="app-builder",
        kind="app",
        name="canary",
        framework="react",
        description="canary",
        facts={},
        files={"canary.js": "canary"},
        page="<p>canary</p>",
    )
    deployment_id = new_deployment_id()
    await book.publish(tenant_id, app.id, deployment_id, ids["hash"])
    return app.id, deployment_id


async def document(database: Database, tenant: str, collection: str) -> str:
    """A document of a tenant's, as the RAG graph keeps it; its id."""
    rows = DocumentWrites(database)
    name = f"canary-{secrets.token_hex(4)}"
    begun = await rows.begin(tenant, collection, name, "rag", "all-minilm-l6-v2")
    facts = NewDocument("canary", "text", 6, None, 1, 1, {"canary": True}, "canary")
    await rows.finish(tenant, begun, facts)
    return name


async def test_nothing_of_another_tenants_is_there_by_its_id(tenants: Tenants):
    """Whatever the route does, A's id is answered as one that never was."""
    callers = {"key": tenants.b, "owner": tenants.b_owner, "viewer": tenants.b_viewer, "none": None}
    for method, path, operation in tenants.of_resources():
        body = body_for(method, path, operation)
        for who, credential in callers.items():
            theirs, nobodys = tenants.filled(path), tenants.filled(path, absent=True)
            there = await tenants.ask(method, theirs, credential, body)
            nowhere = await tenants.ask(method, nobodys, credential, body)
            where = f"{who}: {method} {path}: {there.status_code} {there.text}"
            ids = [value for name, value in tenants.ids.items() if name in parameters(path)]
            same = told(nowhere, *map(never, ids))
            assert told(there, *ids) == same, f"{where}\nbut of what never was: {nowhere.text}"
            public = operation.get("security") == []
            expected = (
                {404} if who in ("key", "owner") else {403, 404} if who == "viewer" else {401}
            )
            if path.startswith("/v1/admin/") and who != "none":
                expected = {403}  # for all ids alike: only operators have the right
            assert there.status_code in ({403, 404} if public else expected), where
            assert not [mark for mark in tenants.marks if mark in told(there, *ids)[1]], where


async def test_what_was_tried_changed_nothing_of_a(tenants: Tenants):
    before = await inventory(tenants)
    for method, path, operation in tenants.of_resources():
        if method not in ("GET", "HEAD"):
            body = body_for(method, path, operation)
            for credential in (tenants.b, tenants.b_viewer, None):
                await tenants.ask(method, tenants.filled(path), credential, body)
    assert await inventory(tenants) == before


async def inventory(tenants: Tenants) -> dict[str, Any]:
    """All that A sees of its own. That it sees everything shows that the ids are real."""
    seen: dict[str, Any] = {}
    for method, path, _ in tenants.routes():
        own = path.endswith("}") and not path.startswith(("/v1/admin/", "/media/"))
        listed = path in ("/v1/api-keys", "/v1/tenants/me/invitations", "/v1/tenants/me/members")
        if method == "GET" and (listed or (own and "{symbol}" not in path)):
            answer = await tenants.ask("GET", tenants.filled(path), tenants.a)
            assert answer.status_code == 200, (path, answer.text)
            seen[path] = {k: v for k, v in answer.json().items() if k != "url"}
    return seen


async def test_no_list_shows_anything_of_another_tenant(tenants: Tenants):
    for method, path, operation in tenants.routes():
        if method != "GET" or parameters(path):
            continue
        for credential in (tenants.b, tenants.b_owner):
            answer = await tenants.ask("GET", path, credential)
            leaked = [mark for mark in tenants.marks if mark in answer.text]
            assert not leaked, (path, leaked)
            if answer.headers.get("content-type") != "application/json":
                continue
            if isinstance(answer.json(), dict) and "has_more" in answer.json():
                await after_nothing_comes_more(tenants, path, credential)
        if operation.get("security") != []:
            assert (await tenants.ask("GET", path, None)).status_code == 401, path


async def after_nothing_comes_more(tenants: Tenants, path: str, credential: str) -> None:
    """A's id in `?after=` does not even say that it exists."""
    for value in tenants.ids.values():
        there = await tenants.ask("GET", f"{path}?after={value}", credential)
        nowhere = await tenants.ask("GET", f"{path}?after={never(value)}", credential)
        assert told(there, value) == told(nowhere, never(value)), (path, value)


async def test_an_id_in_a_body_is_answered_as_one_that_never_was(tenants: Tenants):
    window = {"endpoint": CHAT_PATH, "completion_window": "24h"}
    key, file, tenant = tenants.a_key, tenants.ids["file_id"], tenants.ids["tenant_id"]
    login = {"username": tenants.b_email, "password": worlds.PASSWORD}
    wrong = key[:-8] + secrets.token_hex(4)
    cases: list[tuple[str, str, Any, Any]] = [
        ("BatchRequest", "/v1/batches", *both("input_file_id", file, window)),
        ("DeployRequest", "/nexusai/deploy", *both("app_id", tenants.ids["app_id"])),
        ("KeyRequest", "/v1/api-keys", *both("tenant_id", tenant)),
        ("CreateKeyRequest", "/auth/create-key", *both("tenant_id", tenant)),
        ("ClearRequest", "/v1/admin/cache/clear", *both("tenant_id", tenant)),
        ("ClearRequest", "/admin/cache/clear", *both("tenant_id", tenant)),
        ("VerifyRequest", "/v1/api-keys/verify", {"api_key": key}, {"api_key": wrong}),
        ("VerifyRequest", "/auth/verify-key", {"api_key": key}, {"api_key": wrong}),
        ("VideoRequest", "/v1/videos", reference(file), reference(never(file))),
        ("TokenRequest", "/v1/auth/token", *both("tenant_id", tenant, login)),
    ]
    for _, path, theirs, nobodys in cases:
        there = await tenants.ask("POST", path, tenants.b, theirs)
        nowhere = await tenants.ask("POST", path, tenants.b, nobodys)
        assert told(there, file, tenant) == told(nowhere, never(file), never(tenant)), path
        assert there.status_code in (200, 400, 401, 403, 404), there.text
        assert not [mark for mark in tenants.marks if mark in there.text]
    known = {kind for kind, *_ in cases}
    schemas = tenants.document["components"]["schemas"]
    for kind, schema in schemas.items():
        for name in schema.get("properties", {}):
            if name.endswith("_id") and (kind, name) not in LABELS and kind not in known:
                pytest.fail(
                    f"'{kind}.{name}' may name another tenant's: add a case here, or LABELS"
                )


def both(name: str, value: str, rest: dict[str, Any] | None = None) -> tuple[Any, Any]:
    return (rest or {}) | {name: value}, (rest or {}) | {name: never(value)}


def reference(file_id: str) -> dict[str, Any]:
    return {"prompt": "a red circle", "input_reference": {"file_id": file_id}}


async def test_a_cached_answer_of_one_tenant_is_no_hit_for_another(tenants: Tenants):
    question = CHAT | {"seed": 77}
    verdicts = [
        (await tenants.ask("POST", CHAT_PATH, credential, question)).headers["x-cache"]
        for credential in (tenants.a, tenants.a, tenants.b, tenants.b)
    ]
    assert verdicts == ["MISS", "HIT", "MISS", "HIT"]


async def test_a_parameter_that_nobody_can_fill_says_what_to_add(tenants: Tenants):
    with pytest.raises(pytest.fail.Exception, match="let the fixture `tenants` make"):
        tenants.filled("/v1/widgets/{widget_id}")

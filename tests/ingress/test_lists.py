"""Lists over HTTP: pages in the order that was asked for, and clear errors for what is no page."""

import pytest

from tests.ingress.whole_gateway import whole_gateway

BOTH_ORDERS = (
    "/v1/files",
    "/v1/batches",
    "/v1/videos",
    "/v1/media",
    "/v1/apps",
    "/v1/gallery",
    "/v1/workflows/runs",
)
ASCENDING = (
    "/v1/api-keys",
    "/v1/tenants/me/members",
    "/v1/tenants/me/invitations",
    "/v1/rag/documents",
    "/v1/rag/collections",
    "/v1/admin/tenants",
)
LINES = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n'


@pytest.fixture
async def world(database_url, valkey_server, tmp_path):
    async with whole_gateway(database_url, valkey_server.url, tmp_path) as whole:
        yield whole.world


@pytest.fixture
async def client(world):
    async with world.client((await world.owner())["access_token"]) as client:
        yield client


async def ids(client, path, **query):
    """Every id of a list, page by page."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get(path, params=query | after | {"limit": 2})).json()
        found += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            return found
        after = {"after": page["last_id"]}


async def test_files_and_batches_come_in_the_order_that_is_asked_for(client):
    files, batches = [], []
    for number in range(5):
        sent = await client.post(
            "/v1/files",
            files={"file": (f"{number}.jsonl", LINES * (number + 1))},
            data={"purpose": "batch"},
        )
        files.append(sent.json()["id"])
        batch = {
            "input_file_id": files[-1],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        batches.append((await client.post("/v1/batches", json=batch)).json()["id"])
    for path, made in (("/v1/files", files), ("/v1/batches", batches)):
        assert await ids(client, path, order="asc") == made
        assert await ids(client, path, order="desc") == await ids(client, path) == made[::-1]


async def refusal(client, path, **query):
    answer = await client.get(path, params=query)
    assert answer.status_code == 400, (path, query)
    return answer.json()["error"]["param"]


async def test_no_list_ignores_an_order(world):
    async with world.client(world.operator) as client:
        for path in (*BOTH_ORDERS, *ASCENDING):
            assert (await client.get(path, params={"order": "asc"})).status_code == 200, path
            assert await refusal(client, path, order="sideways") == "order"
        for path in BOTH_ORDERS:
            assert (await client.get(path, params={"order": "desc"})).status_code == 200, path
        for path in ASCENDING:
            assert await refusal(client, path, order="desc") == "order"


async def test_a_page_has_1_to_100_items(world):
    async with world.client(world.operator) as client:
        for path in (*BOTH_ORDERS, *ASCENDING):
            for limit in ("0", "101", "-1", "many", ""):
                assert await refusal(client, path, limit=limit) == "limit"


async def test_a_purpose_that_no_file_can_have_is_refused_by_name(client):
    assert await refusal(client, "/v1/files", purpose="\x00") == "purpose"
    assert (await client.get("/v1/files", params={"purpose": "other"})).json()["data"] == []

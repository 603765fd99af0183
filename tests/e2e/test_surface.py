"""Every older path of docs/api.md, and the endpoints that no test of a family calls: one call each.

What is checked is that somebody who follows the page gets an answer with something in it. What
the answers are worth, the tests of the families say.
"""

import asyncio
import base64
import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.settings import ROOT
from tests.docs.sources import table_rows
from tests.e2e.people import patiently
from tests.e2e.test_families import data_url, picture
from tests.e2e.test_identity import PASSWORD, bearer

pytestmark = pytest.mark.timeout(300)
PNG = b"\x89PNG\r\n\x1a\n"
GREEN = picture((30, 160, 60))
FORM = {"image": ("in.png", GREEN, "image/png")}
SAID = "seven red circle stop"
GOOD_NEWS = "Bitcoin soars to a new high"
CODE = "const a = eval(b);\nuse(a);"
RAG = "/api/v1/services/rag"


@dataclass(frozen=True)
class Door:
    """A documented path that needs nothing made beforehand.

    Args:
        name: as docs/api.md has it.
        shows: whether JSON of its answer has what the path is called for.
        sent: what a user sends, as options of httpx.
        path: with its parameters filled in; that of the name when not said.
    """

    name: str
    shows: Callable[[Any], bool]
    sent: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    status: int = 200


def is_png(text: str) -> bool:
    return base64.b64decode(text).startswith(PNG)


DOORS = [
    Door(
        "POST /api/text-to-image",
        lambda told: is_png(told["image"]) and told["style"] == "watercolor",
        {"json": {"prompt": "a red circle", "style": "watercolor", "size": "64x64"}},
    ),
    Door(
        "POST /api/v1/generate/image",
        lambda told: is_png(told["image"]),
        {"json": {"prompt": "a green square", "style": "flat"}},
    ),
    Door(
        "POST /api/image-to-image",
        lambda told: is_png(told["image"]),
        {"files": FORM, "data": {"prompt": "a red circle", "steps": "2", "size": "64x64"}},
    ),
    Door(
        "POST /v1/images/variations",
        lambda told: is_png(told["data"][0]["b64_json"]),
        {"files": FORM, "data": {"steps": "2", "size": "64x64"}},
    ),
    Door("GET /styles", lambda told: "watercolor" in told["styles"]),
    Door("GET /v1/images/styles", lambda told: "watercolor" in named(told["data"], "id")),
    Door(
        "POST /api/image-to-text",
        lambda told: "green" in told["text"].lower(),
        {"json": {"image": data_url(GREEN), "prompt": "What is the background?"}},
    ),
    Door("GET /resolutions", lambda told: told["resolutions"][0]["name"] == "64x64"),
    Door("GET /v1/videos/resolutions", lambda told: "starter-video" in named(told["data"], "id")),
    Door("GET /v1/audio/voices", lambda told: {"alto", "tenor"} <= named(told["data"], "id")),
    Door("GET /v1/audio/models", lambda told: "starter-speech" in named(told["data"], "id")),
    Door(
        "POST /api/v1/crypto/predict",
        lambda told: len(told["predictions"]) == 3,
        {"json": {"symbol": "BTC", "days": 3}},
    ),
    Door(
        "GET /risk/{symbol}",
        lambda told: 0 < told["value_at_risk"]["95"] < 1,
        path="/risk/BTC",
    ),
    Door(
        "POST /v1/forecasts/{symbol}/risk",
        lambda told: 0 < told["value_at_risk"]["99"] < 1,
        {"json": {"window": 60}},
        "/v1/forecasts/ETH/risk",
    ),
    Door(
        "GET /sentiment/{symbol}",
        lambda told: told["label"] == "bullish",
        {"params": {"text": GOOD_NEWS}},
        "/sentiment/BTC",
    ),
    Door(
        "POST /v1/forecasts/{symbol}/sentiment",
        lambda told: [text["label"] for text in told["texts"]] == ["bullish"],
        {"json": {"texts": [GOOD_NEWS]}},
        "/v1/forecasts/BTC/sentiment",
    ),
    Door(
        "GET /v1/forecasts/{symbol}/history",
        lambda told: all(point["close"] > 0 for point in told["points"][:3]),
        {"params": {"days": 3}},
        "/v1/forecasts/BTC/history",
    ),
    Door("GET /supported-coins", lambda told: "BTC" in named(told["data"], "symbol")),
    Door("GET /v1/forecasts/coins", lambda told: "BTC" in named(told["data"], "symbol")),
    Door(
        "POST /analyze",
        lambda told: 0 <= told["fraud_score"] <= 1 and bool(told["reasons"]),
        {"json": {"type": "transaction", "data": {"amount": 900}}},
    ),
    Door(
        "GET /v1/fraud/drift",
        lambda told: "amount" in {each["feature"] for each in told["kinds"][0]["features"]},
        {"params": {"kind": "transaction"}},
    ),
    Door(
        "POST /ai/generate",
        lambda told: told["response"] == "one two",
        {"json": {"prompt": "one two", "model": "echo"}},
    ),
    Door("GET /ai/models", lambda told: "starter-chat" in named(told["data"], "id")),
    Door(
        "POST /ai/sql/assist",
        lambda told: "users" in told["explanation"],
        {"json": {"action": "explain", "query": "SELECT name FROM users LIMIT 3"}},
    ),
    Door(
        "POST /nexusai/generate-component",
        lambda told: "export" in told["component"],
        {"json": {"description": "A table of books with title and author"}},
    ),
    Door(
        "POST /v1/apps/components",
        lambda told: told["main"] in named(told["files"], "path"),
        {"json": {"description": "A form to add a book with title", "framework": "vue"}},
        status=201,
    ),
    Door(
        "POST /nexusai/review-code",
        lambda told: [issue["rule"] for issue in told["issues"]] == ["no-eval"],
        {"json": {"code": CODE, "language": "typescript"}},
    ),
    Door(
        "POST /v1/apps/reviews",
        lambda told: [found["rule"] for found in told["findings"]] == ["no-eval"],
        {"json": {"files": [{"path": "a.ts", "content": CODE}]}},
    ),
    Door("GET /services", lambda told: told["services"]["chat"]["model"] == "starter-chat"),
    Door("GET /usage", lambda told: told["plan"] == "pro"),
    Door("GET /api/usage", lambda told: told["plan"] == "pro"),
    Door(
        "POST /auth/create-key",
        lambda told: told["api_key"].startswith("ck-"),
        {"json": {"key_name": "laptop", "expires_in_days": 1}},
        status=201,
    ),
    Door(
        "POST /auth/verify-key",
        lambda told: told["valid"] is False and told["code"] == "invalid_api_key",
        {"json": {"api_key": "ck-nonsense"}},
    ),
]
OPERATORS = [
    Door("GET /metrics", lambda told: told["nodes"][0]["resources"]["CPU"]["total"] >= 1),
    Door(
        "GET /scaling-decision",
        lambda told: "starter-image" in {entry["seen"]["application"] for entry in told["data"]},
    ),
    Door("GET /admin/stats", lambda told: told["tenants"] >= 1),
    Door(
        "POST /admin/cache/clear",
        lambda told: told["cleared"] == 0,
        {"json": {"tenant_id": "t-0000000000000000"}},
    ),
]
FOLLOWED = {
    "POST /api/text-to-speech",
    "POST /api/speech-to-text",
    "POST /api/v1/generate/video",
    "POST /nexusai/generate-app",
    "POST /nexusai/deploy",
    "POST /api/v1/orchestrate",
    "POST /orchestrate",
    "GET /task/{run_id}",
    f"POST {RAG}/search",
    f"POST {RAG}/generate",
    f"POST {RAG}/chat",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/token",
    "GET /api/v1/tenants/me",
    "PUT /api/v1/tenants/me",
    "GET /api/v1/users/me",
    "PUT /api/v1/users/me",
    "POST /api/v1/api-keys",
    "GET /api/v1/api-keys",
    "PATCH /api/v1/api-keys/{key_id}",
    "DELETE /api/v1/api-keys/{key_id}",
    "GET /api/v1/usage/summary",
    "GET /api/v1/usage/daily",
}
"""Called below, in the order in which one needs what another made."""


def named(told: list[dict[str, Any]], key: str) -> set[str]:
    return {each[key] for each in told}


async def entered(client: httpx.AsyncClient, door: Door) -> None:
    method, _, path = door.name.partition(" ")
    answer = await patiently(client, method, door.path or path, **door.sent)
    assert answer.status_code == door.status, answer.text
    assert door.shows(answer.json()), answer.text[:2000]


def test_no_older_path_of_the_page_is_left_out():
    _, _, page = (ROOT / "docs" / "api.md").read_text().partition("\n## Aliases\n")
    rows = table_rows(page.partition("\n## ")[0], 3)[1:]
    called = {door.name for door in (*DOORS, *OPERATORS)} | FOLLOWED
    assert len(rows) > 40
    assert {row[0].strip("`") for row in rows} <= called


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_a_documented_path_answers(pro, door):
    async with pro.http() as client:
        await entered(client, door)


@pytest.mark.parametrize("door", OPERATORS, ids=lambda door: door.name)
async def test_an_operators_path_answers_operators_alone(operator, pro, door):
    async with operator.http() as client:
        await entered(client, door)
    method, _, path = door.name.partition(" ")
    async with pro.http() as client:
        assert (await client.request(method, path, **door.sent)).status_code == 403


async def test_what_is_spoken_is_written_down(pro):
    async with pro.http() as client:
        spoken = await patiently(client, "POST", "/api/text-to-speech", json={"text": SAID})
        assert spoken.status_code == 200, spoken.text
        assert spoken.content.startswith(b"RIFF")
        assert spoken.headers["content-type"] == "audio/wav"
        sound = ("said.wav", spoken.content, "audio/wav")
        for path, name in (("/api/speech-to-text", "audio"), ("/v1/audio/translations", "file")):
            heard = await patiently(client, "POST", path, files={name: sound})
            assert heard.status_code == 200, heard.text
            words = set(heard.json()["text"].lower().split())
            assert len(words & set(SAID.split())) >= 3, heard.text


async def test_printed_text_is_read(pro):
    printed = Image.new("RGB", (300, 80), "white")
    ImageDraw.Draw(printed).text((20, 20), "Hello 42", "black", ImageFont.load_default(28))
    file = io.BytesIO()
    printed.save(file, "PNG")
    body = {"image": data_url(file.getvalue()), "task": "ocr"}
    async with pro.http() as client:
        read = await patiently(client, "POST", "/v1/images/descriptions", json=body)
    assert read.status_code == 200, read.text
    assert read.json()["text"] == "Hello 42"
    assert read.json()["blocks"][0]["confidence"] > 0.5


async def test_a_video_is_begun_stopped_and_deleted(pro):
    body = {"prompt": "a red circle moves right", "resolution": "64x64"}
    async with pro.http() as client:
        begun = await client.post("/api/v1/generate/video", json=body)
        assert begun.status_code == 200, begun.text
        told = begun.json()
        assert (told["success"], told["resolution"]) == (True, "64x64")
        shown = await client.get(told["status_url"])
        assert shown.json()["id"] == told["video_id"]
        stopped = await client.post(f"{told['status_url']}/cancel")
        assert stopped.status_code in (200, 409), stopped.text  # it may have been quicker
        deleted = await client.delete(told["status_url"])
        assert deleted.json()["deleted"] is True, deleted.text
        assert (await client.get(told["status_url"])).status_code == 404


@pytest.mark.parametrize("path", ["/orchestrate", "/api/v1/orchestrate"])
async def test_tasks_are_taken_and_their_results_told(pro, path):
    tasks = [
        {"task_type": "crypto", "parameters": {"symbol": "BTC", "days": 3}},
        {"task_type": "chat", "parameters": {"model": "echo", "messages": said("hi")}},
    ]
    async with pro.http() as client:
        taken = await client.post(path, json={"tasks": tasks})
        assert taken.status_code == 200, taken.text
        task = taken.json()
        async with asyncio.timeout(120):
            while task["status"] in ("pending", "processing"):
                await asyncio.sleep(0.2)
                task = (await client.get(f"/task/{taken.json()['task_id']}")).json()
    assert task["status"] == "completed", task
    forecast, chat = (each["result"] for each in task["results"])
    assert (len(forecast["predictions"]), chat["text"]) == (3, "hi")


async def test_an_app_is_built_and_published(pro):
    body = {"description": "A library. Books have a title and an author.", "framework": "react"}
    async with pro.http() as client:
        built = await patiently(client, "POST", "/nexusai/generate-app", json=body)
        assert built.status_code == 200, built.text
        assert "CREATE TABLE" in built.json()["database_schema"].upper()
        asked = {"app_id": built.json()["app_id"]}
        published = await client.post("/nexusai/deploy", json=asked)
        assert published.status_code == 200, published.text
    async with httpx.AsyncClient() as anyone:
        shown = await anyone.get(published.json()["url"])
    assert shown.headers["content-type"].startswith("text/html")
    assert "Books" in shown.text


async def test_documents_are_found_and_asked_about(pro):
    text = "The largest bell of the tower weighs nine tons."
    question = "How heavy is the largest bell?"
    async with pro.http() as client:
        body = {"id": "bells", "text": text}
        added = await patiently(client, "POST", "/v1/rag/documents", json=body)
        assert added.status_code == 201, added.text
        in_query = {"query": question, "top_k": 1}
        found = await patiently(client, "POST", f"{RAG}/search", params=in_query)
        assert found.json()["results"][0]["content"] == text, found.text
        for path, asked in (("generate", in_query), ("chat", {"message": question})):
            told = await patiently(client, "POST", f"{RAG}/{path}", json=asked)
            assert told.status_code == 200, told.text
            assert told.json()["response"]
            assert [source["document"] for source in told.json()["sources"]] == ["bells"]
        assert (await client.delete("/v1/rag/documents/bells")).status_code == 200


async def test_an_account_is_made_used_and_counted(cluster):
    operator = bearer(cluster.api_key)
    email = f"owner.{secrets.token_hex(4)}@example.com"
    async with httpx.AsyncClient(base_url=cluster.base_url, timeout=60) as client:
        made = await client.post("/v1/admin/tenants", json={"name": "older"}, headers=operator)
        tenant = made.json()["id"]
        path = f"/v1/admin/tenants/{tenant}/invitations"
        invited = await client.post(path, json={"email": email}, headers=operator)
        body = {"email": email, "password": PASSWORD, "name": "Owner"}
        body |= {"invitation": invited.json()["token"]}
        registered = await client.post("/api/v1/auth/register", json=body)
        assert (registered.status_code, registered.json()["tenant_id"]) == (201, tenant)
        form = {"username": email, "password": PASSWORD}
        token = await client.post("/api/v1/auth/token", data=form)
        assert token.status_code == 200, token.text
        client.headers.update(bearer(token.json()["access_token"]))
        assert (await client.get("/api/v1/users/me")).json()["email"] == email
        for mine in ("/api/v1/users/me", "/api/v1/tenants/me"):
            renamed = await client.put(mine, json={"name": "Other"})
            assert (renamed.status_code, renamed.json()["name"]) == (200, "Other")
        assert (await client.get("/api/v1/tenants/me")).json()["id"] == tenant
        await a_key_is_made_changed_and_revoked(client)
        await a_call_is_counted(client)


async def a_key_is_made_changed_and_revoked(client: httpx.AsyncClient) -> None:
    path = "/api/v1/api-keys"
    key = await client.post(path, json={"name": "laptop"})
    assert key.status_code == 201, key.text
    one = f"{path}/{key.json()['id']}"
    changed = await client.patch(one, json={"name": "desk"})
    assert changed.status_code == 200, changed.text
    assert "desk" in named((await client.get(path)).json()["data"], "name")
    assert (await client.delete(one)).status_code == 200
    ended = await client.get("/v1/models", headers=bearer(key.json()["key"]))
    assert ended.status_code == 401


async def a_call_is_counted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/ai/generate", json={"prompt": "one two", "model": "echo"})
    assert answer.status_code == 200, answer.text
    for _ in range(100):
        if (await counted(client, "summary"))["totals"]["requests"] == 1:
            break
        await asyncio.sleep(0.2)
    (today,) = (await counted(client, "daily"))["data"]
    assert (today["requests"], today["total_tokens"]) == (1, 4)


async def counted(client: httpx.AsyncClient, how: str) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/usage/{how}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]

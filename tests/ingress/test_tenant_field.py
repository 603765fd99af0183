"""Operations on what tenants keep: whose it is, the gateway says, and no caller."""

from typing import Any

import httpx
import orjson
import pytest
from pydantic import BaseModel, ConfigDict

from core.model import Frozen, ModelCard, ModelSpec, Operation, Reply
from core.work import NO_WORK
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.openai import OpenAI
from tests.fakes.dispatch import KEY, ScriptedDispatcher
from tests.ingress.test_path import World


class Look(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant: str
    word: str


class Shelf:
    """What would answer; the dispatcher of these tests does."""

    def __init__(self, settings: Frozen) -> None: ...


SPEC = ModelSpec(
    family="shelves",
    model=Shelf,
    settings=Frozen,
    operations={
        "look": Operation("look", Look, lambda request, card: NO_WORK, tenant_field="tenant")
    },
)
CATALOG = Catalog([ModelCard(id="shelf", spec="tests.ingress.test_tenant_field:SPEC")])
FACTS: dict[str, Any] = {"request_id": "r", "trace_id": "t", "endpoint": "/"}


class Telling(ScriptedDispatcher):
    """Answers with what it was asked."""

    async def answer(self, call, context):
        return Reply(orjson.dumps(call.request.model_dump()))


@pytest.fixture
async def client():
    world = World()
    world.path._dispatcher = Telling()
    application = Application(OpenAI(world.path, CATALOG).endpoints(), "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_the_callers_tenant_is_filled_in_and_no_answer_is_kept(client):
    for _ in range(2):
        answer = await client.post("/v1/models/shelf/look", json={"word": "bell"})
        assert answer.json() == {"tenant": "t", "word": "bell"}
        assert answer.headers["x-cache"] == "BYPASS"


async def test_a_caller_who_says_a_tenant_is_refused(client):
    body = {"word": "bell", "tenant": "another"}
    answer = await client.post("/v1/models/shelf/look", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "unknown_parameter",
        "tenant",
    )


def test_without_a_known_caller_there_is_no_call():
    from core.errors import InvalidRequest

    with pytest.raises(InvalidRequest, match="own path"):
        call_of(CATALOG, "look", {"word": "bell"}, **FACTS)
    made = call_of(CATALOG, "look", {"word": "bell"}, tenant="t1", **FACTS)
    assert made.request == Look(tenant="t1", word="bell")

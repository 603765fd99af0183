"""Keys that keys made: never more than the key that made them, and ended with it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from auth.key_makers import MOST_MAKERS
from tests.ingress.identity.world import CHAT

CHAT_PATH = "/v1/chat/completions"
DAILY = ("requests", 86_400)
SCOPES = ["inference", "usage", "keys"]


async def a_key(world, credential, **fields):
    made = await world.post("/v1/api-keys", {"scopes": SCOPES} | fields, credential)
    assert made.status_code == 201, made.text
    return made.json()


async def statuses(world, key, count, **fields):
    answers = [
        await world.post(CHAT_PATH, CHAT | {"seed": number, "max_tokens": 5} | fields, key)
        for number in range(count)
    ]
    return [answer.status_code for answer in answers]


@pytest.fixture
def token(owner) -> str:
    return str(owner["access_token"])


@pytest.mark.parametrize(
    "limit", [{"limits": {"requests": {"day": 3}}}, {"requests_per_hour": 3}], ids=["day", "hour"]
)
async def test_keys_together_have_the_budget_of_the_key_that_made_them(here, there, token, limit):
    maker = await a_key(here, token, **limit)
    first, second = [await a_key(here, maker["key"]) for _ in range(2)]
    assert first["parent_id"] == maker["id"]
    assert await statuses(there, first["key"], 1) == [200]
    assert await statuses(here, second["key"], 1, temperature=0.1) == [200]
    assert await statuses(there, maker["key"], 1, temperature=0.2) == [200]
    for key in (first, second, maker):
        assert await statuses(here, key["key"], 1, temperature=0.3) == [429]


async def test_callers_at_once_with_many_keys_get_one_budget(here, there, token):
    maker = await a_key(here, token, limits={"requests": {"hour": 7}})
    keys = [await a_key(here, maker["key"]) for _ in range(10)]
    answers = await asyncio.gather(
        *(
            world.post(CHAT_PATH, CHAT | {"seed": number}, key["key"])
            for number in range(3)
            for key in keys
            for world in (here, there)
        )
    )
    found = sorted(answer.status_code for answer in answers)
    assert found == [200] * 7 + [429] * 53


async def test_a_refusal_says_whose_limit_it_is(here, token):
    maker = await a_key(here, token, limits={"requests": {"day": 1}})
    child = await a_key(here, maker["key"], limits={"requests": {"day": 1}})
    await statuses(here, maker["key"], 1)
    refused = await here.post(CHAT_PATH, CHAT, child["key"])
    error = refused.json()["error"]
    assert refused.status_code == 429
    assert "the API key that made this one allows 1 requests per day" in error["message"]
    assert error["carillon"]["limit"]["scope"] == "maker"
    shown = (await here.get("/v1/usage", child["key"])).json()["windows"]
    days = {w["scope"]: w["used"] for w in shown if (w["meter"], w["seconds"]) == DAILY}
    assert (days["maker"], days["key"]) == (1, 0)


async def test_grandchildren_count_too_and_a_chain_has_an_end(here, token):
    maker = await a_key(here, token, limits={"requests": {"hour": 2}})
    key = maker
    for _ in range(MOST_MAKERS):
        key = await a_key(here, key["key"])
    assert (await here.post("/v1/api-keys", {}, key["key"])).status_code == 409
    assert await statuses(here, key["key"], 3) == [200, 200, 429]
    assert await statuses(here, maker["key"], 1, temperature=0.4) == [429]


async def test_keys_end_with_the_key_that_made_them(here, there, token):
    maker = await a_key(here, token)
    child = await a_key(here, maker["key"])
    grandchild = await a_key(here, child["key"])
    beside = await a_key(here, token)
    assert await statuses(there, grandchild["key"], 1) == [200]
    gone = await here.delete(f"/v1/api-keys/{maker['id']}", token)
    assert gone.json()["made"] == [child["id"], grandchild["id"]]
    for key in (maker, child, grandchild):
        assert await statuses(there, key["key"], 1, temperature=0.5) == [401]
    assert await statuses(there, beside["key"], 1) == [200]
    listed = (await here.get("/v1/api-keys", token)).json()["data"]
    assert {k["id"] for k in listed if k["is_active"]} == {beside["id"]}


async def test_a_rotated_key_leaves_what_it_made_to_its_successor(here, there, token):
    maker = await a_key(here, token, limits={"requests": {"day": 2}})
    child = await a_key(here, maker["key"])
    assert await statuses(here, child["key"], 1) == [200]
    successor = (await here.post(f"/v1/api-keys/{maker['id']}/rotate", {}, token)).json()
    assert await statuses(there, child["key"], 2, temperature=0.1) == [200, 429]
    assert await statuses(there, successor["key"], 1, temperature=0.2) == [429]
    wider = {"limits": {"requests": {"day": 3}}}
    await here.patch(f"/v1/api-keys/{successor['id']}", wider, token)
    await here.patch(f"/v1/api-keys/{child['id']}", wider, token)
    assert await statuses(there, child["key"], 2, temperature=0.3) == [200, 429]
    await here.delete(f"/v1/api-keys/{successor['id']}", token)
    assert await statuses(there, child["key"], 1, temperature=0.4) == [401]


async def test_what_the_maker_loses_its_keys_lose(here, there, token):
    maker = await a_key(here, token)
    child = await a_key(here, maker["key"], scopes=["inference", "usage"])
    path = f"/v1/api-keys/{maker['id']}"
    await here.patch(path, {"allowed_models": ["another"]}, token)
    assert await statuses(there, child["key"], 1) == [403]
    await here.patch(path, {"allowed_models": None, "scopes": ["keys", "inference"]}, token)
    assert (await there.get("/v1/usage", child["key"])).status_code == 403
    assert await statuses(there, child["key"], 1) == [200]
    ends = datetime.now(UTC) + timedelta(seconds=1)
    await here.patch(path, {"expires_at": ends.isoformat()}, token)
    await asyncio.sleep(1.1)
    assert await statuses(there, child["key"], 1, temperature=0.1) == [401]


async def test_a_limited_key_does_not_learn_the_secret_of_a_key_beside_it(here, token):
    limits = {"requests": {"day": 2}}
    one, other = [await a_key(here, token, limits=limits) for _ in range(2)]
    for path, call in (
        (f"/v1/api-keys/{other['id']}/rotate", here.post),
        (f"/v1/api-keys/{other['id']}", here.patch),
    ):
        refused = await call(path, {}, one["key"])
        assert refused.status_code == 403, refused.text
    child = await a_key(here, one["key"])
    assert (await here.post(f"/v1/api-keys/{child['id']}/rotate", {}, one["key"])).is_success
    assert (await here.post(f"/v1/api-keys/{one['id']}/rotate", {}, one["key"])).is_success


@pytest.mark.parametrize(
    "wanted",
    [
        {"limits": {"tokens": {"day": 101}}},
        {"limits": {"tokens": {"hour": 101}}},
        {"requests_per_hour": 11},
        {"limits": {"storage_gb": 0.2}},
    ],
)
async def test_nobody_gives_a_key_more_than_the_key_that_made_it(here, token, wanted):
    own = {"tokens": {"day": 100}, "requests": {"hour": 10}, "storage_gb": 0.1}
    maker = await a_key(here, token, limits=own)
    child = await a_key(here, maker["key"])
    assert child["limits"] == own
    refused = await here.patch(f"/v1/api-keys/{child['id']}", wanted, token)
    assert refused.status_code == 400, refused.text
    assert "the key that made it allows" in refused.json()["error"]["message"]

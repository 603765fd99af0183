"""Rotating API keys: the same rights under a new secret, and never more."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.ingress.identity.world import CHAT

EVERYTHING = ["inference", "usage", "keys", "members"]


async def key_of(world, credential, **fields):
    made = await world.post("/v1/api-keys", fields, credential)
    assert made.status_code == 201, made.text
    return made.json()


def rotate(world, key_id, credential, **fields):
    return world.post(f"/v1/api-keys/{key_id}/rotate", fields, credential)


@pytest.fixture
def token(owner) -> str:
    return str(owner["access_token"])


async def test_the_successor_has_the_same_rights_and_the_old_key_is_dead_at_once(
    here, there, token
):
    ends = datetime.now(UTC) + timedelta(days=3)
    old = await key_of(
        here,
        token,
        name="app",
        user_id="customer-7",
        scopes=["inference", "usage"],
        allowed_models=["echo"],
        requests_per_hour=50,
        tier="free",
        expires_at=ends.isoformat(),
    )
    assert (await there.get("/v1/usage", old["key"])).status_code == 200
    new = (await rotate(here, old["id"], token)).json()
    same = ("name", "user_id", "scopes", "allowed_models", "requests_per_hour", "tier")
    assert {n: new[n] for n in same} == {n: old[n] for n in same}
    assert (new["expires_at"], new["rotated_from"]) == (old["expires_at"], old["id"])
    assert new["key"] != old["key"]
    for world in (here, there):
        assert (await world.get("/v1/usage", old["key"])).status_code == 401
        assert (await world.get("/v1/usage", new["key"])).status_code == 200


async def test_during_the_grace_both_work_and_then_only_the_successor(here, there, token):
    old = await key_of(here, token, scopes=EVERYTHING)
    new = (await rotate(here, old["id"], token, grace_s=1)).json()
    for key in (old["key"], new["key"]):
        assert (await there.get("/v1/usage", key)).status_code == 200
    await asyncio.sleep(1.1)
    late = await there.get("/v1/usage", old["key"])
    assert (late.status_code, late.json()["error"]["code"]) == (401, "expired_api_key")
    assert (await there.get("/v1/usage", new["key"])).status_code == 200


async def test_a_grace_never_prolongs_a_key(here, token):
    ends = datetime.now(UTC) + timedelta(hours=1)
    old = await key_of(here, token, expires_at=ends.isoformat())
    await rotate(here, old["id"], token, grace_s=86_400)
    listed = (await here.get("/v1/api-keys", token)).json()["data"]
    assert [key["expires_at"] for key in listed] == [old["expires_at"]] * 2


@pytest.mark.parametrize("grace_s", [-1, 86_401, "x", 1.5])
async def test_a_grace_is_a_day_at_most(here, token, grace_s):
    old = await key_of(here, token)
    assert (await rotate(here, old["id"], token, grace_s=grace_s)).status_code == 400


async def test_a_key_rotates_itself(here, token):
    old = await key_of(here, token, scopes=["keys"], allowed_models=["echo"], requests_per_hour=9)
    new = await rotate(here, old["id"], old["key"])
    assert new.status_code == 201
    assert (await rotate(here, old["id"], new.json()["key"])).status_code == 409


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"scopes": ["keys"]}, {"scopes": ["keys", "inference"]}),
        ({"scopes": ["keys"], "allowed_models": ["echo"]}, {"scopes": ["keys"]}),
        ({"scopes": ["keys"], "requests_per_hour": 5}, {"scopes": ["keys"]}),
        (
            {"scopes": ["keys"], "requests_per_hour": 5},
            {"scopes": ["keys"], "requests_per_hour": 6},
        ),
        ({"scopes": ["keys"], "tier": "free"}, {"scopes": ["keys"], "tier": "pro"}),
        ({"scopes": ["keys"], "expires_at": "2127-01-01T00:00:00Z"}, {"scopes": ["keys"]}),
    ],
)
async def test_a_key_cannot_rotate_one_that_may_do_more(here, token, own, wanted):
    weak = await key_of(here, token, **own)
    strong = await key_of(here, token, **wanted)
    response = await rotate(here, strong["id"], weak["key"])
    assert (response.status_code, response.json()["error"]["code"]) == (403, "permission_denied")
    assert (await here.get("/v1/api-keys", strong["key"])).status_code == 200


async def test_of_many_rotations_at_once_one_succeeds(here, there, token):
    old = await key_of(here, token)
    answers = await asyncio.gather(
        *(rotate(world, old["id"], token) for world in (here, there) * 3)
    )
    assert sorted(a.status_code for a in answers) == [201] + [409] * 5


async def test_a_successor_calls_models_and_revoked_keys_have_none(here, token):
    old = await key_of(here, token)
    new = (await rotate(here, old["id"], token)).json()
    assert (await here.post("/v1/chat/completions", CHAT, new["key"])).status_code == 200
    await here.delete(f"/v1/api-keys/{new['id']}", token)
    assert (await rotate(here, new["id"], token)).status_code == 409
    assert (await rotate(here, "nope", token)).status_code == 404


async def test_another_secret_is_no_other_budget(here, there, token):
    """Else whoever may rotate its own key has as many budgets as it likes."""
    scopes = ["inference", "keys"]
    key = await key_of(here, token, scopes=scopes, limits={"requests": {"day": 3}})
    for world in (here, there):
        chat = CHAT | {"seed": 1}
        assert (await world.post("/v1/chat/completions", chat, key["key"])).status_code == 200
        rotated = await rotate(world, key["id"], key["key"], grace_s=60)
        assert rotated.status_code == 201, rotated.text
        old, key = key, rotated.json()
    answers = [await here.post("/v1/chat/completions", CHAT, who["key"]) for who in (key, old)]
    assert [answer.status_code for answer in answers] == [200, 429]
    told = await there.post("/v1/chat/completions", CHAT, key["key"])
    assert (told.status_code, told.json()["error"]["code"]) == (429, "insufficient_quota")

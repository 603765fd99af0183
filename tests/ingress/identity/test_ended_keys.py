"""Ended keys: nothing of a leaked one is left, and nobody ends what is not theirs to end."""

import pytest

from tests.ingress.identity.world import CHAT, PASSWORD, email

CHAT_PATH = "/v1/chat/completions"
EVERYTHING = ["inference", "usage", "keys", "members"]


async def a_key(world, credential, **fields):
    made = await world.post("/v1/api-keys", {"scopes": EVERYTHING} | fields, credential)
    assert made.status_code == 201, made.text
    return made.json()


async def rotated(world, key, credential, **fields):
    answer = await world.post(f"/v1/api-keys/{key['id']}/rotate", fields, credential)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def works(world, key):
    answer = await world.get("/v1/usage", key["key"])
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def end(world, key, credential, query=""):
    answer = await world.delete(f"/v1/api-keys/{key['id']}{query}", credential)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def token(owner) -> str:
    return str(owner["access_token"])


async def test_a_thief_who_rotates_the_stolen_key_has_nothing_when_it_is_revoked(
    here, there, token
):
    maker = await a_key(here, token)
    stolen = await a_key(here, maker["key"])
    child = await a_key(here, stolen["key"])
    successor = await rotated(here, stolen, stolen["key"])
    again = await rotated(here, successor, successor["key"])
    assert await works(there, again)
    ended = await end(here, stolen, token)
    assert set(ended["made"]) == {child["id"], successor["id"], again["id"]}
    for key in (stolen, child, successor, again):
        assert not await works(there, key)
    assert await works(there, maker)


async def test_nor_when_it_rotated_a_key_beside_it_or_had_its_own_key_rotate_its_maker(
    here, there, token
):
    stolen, beside = await a_key(here, token), await a_key(here, token)
    taken = await rotated(here, beside, stolen["key"])
    tool = await a_key(here, taken["key"])
    successor = await rotated(here, stolen, tool["key"])
    ended = await end(here, stolen, token)
    assert set(ended["made"]) == {taken["id"], tool["id"], successor["id"]}
    for key in (taken, tool, successor):
        assert not await works(there, key)


async def test_invitations_of_a_leaked_key_are_taken_back_and_who_joined_is_named(
    here, owner, token
):
    stolen = await a_key(here, token)
    joined = await here.invited("admin", stolen["key"])
    address = email("thief")
    invited = await here.post(
        "/v1/tenants/me/invitations", {"email": address, "role": "admin"}, stolen["key"]
    )
    others = await here.post("/v1/tenants/me/invitations", {"email": email()}, token)
    ended = await end(here, stolen, token)
    assert ended["invitations"] == [invited.json()["id"]]
    assert ended["members"] == [joined["user_id"]]
    body = {"email": address, "password": PASSWORD, "name": "thief"}
    late = await here.post("/v1/auth/register", body | {"invitation": invited.json()["token"]})
    assert late.status_code == 401
    open_ones = [
        each["id"]
        for each in (await here.get("/v1/tenants/me/invitations", token)).json()["data"]
        if each["is_open"]
    ]
    assert open_ones == [others.json()["id"]]


async def test_a_key_that_its_owner_rotated_is_replaced_and_keeps_what_it_made(here, there, token):
    old = await a_key(here, token)
    child, other = await a_key(here, old["key"]), await a_key(here, token)
    taken = await rotated(here, other, old["key"])
    new = await rotated(here, old, token, grace_s=600)
    assert (await end(here, old, token))["made"] == []
    for key in (new, child, taken):
        assert await works(there, key)
    assert set((await end(here, new, token))["made"]) == {child["id"], taken["id"]}


async def test_a_client_that_rotates_itself_may_end_its_old_key_early(here, there, token):
    old = await a_key(here, token)
    new = await rotated(here, old, old["key"], grace_s=600)
    wrong = await here.delete(f"/v1/api-keys/{old['id']}?keep_successors=maybe", new["key"])
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "keep_successors")
    ended = await end(here, old, new["key"], "?keep_successors=true")
    assert ended["made"] == []
    assert not await works(there, old)
    assert await works(there, new)


async def test_an_operators_key_takes_its_keys_of_other_tenants_with_it(here, there, owner):
    admin = await a_key(here, here.operator, scopes=[*EVERYTHING, "admin"])
    planted = await a_key(here, admin["key"], tenant_id=owner["tenant_id"])
    assert await works(there, planted)
    assert (await end(here, admin, here.operator))["made"] == [planted["id"]]
    assert not await works(there, planted)


async def test_a_limited_key_ends_only_itself_and_what_it_made(here, there, token):
    maker = await a_key(here, token)
    production = await a_key(here, token)
    limited = await a_key(here, maker["key"], requests_per_hour=50)
    child = await a_key(here, limited["key"])
    for key in (maker, production):
        refused = await here.delete(f"/v1/api-keys/{key['id']}", limited["key"])
        assert refused.status_code == 403, refused.text
        assert await works(there, key)
    assert (await end(here, child, limited["key"]))["made"] == []
    await end(here, limited, limited["key"])
    assert not await works(there, limited)


async def test_a_key_ends_none_that_may_do_more(here, there, token):
    weak = await a_key(here, token, scopes=["keys"])
    strong = await a_key(here, token)
    assert (await here.delete(f"/v1/api-keys/{strong['id']}", weak["key"])).status_code == 403
    assert await works(there, strong)
    await end(here, weak, strong["key"])


async def test_nobody_but_operators_ends_an_operators_key(here, there):
    invited = {"email": email(), "role": "owner"}
    made = await here.post("/v1/admin/tenants/operator/invitations", invited, here.operator)
    body = {"email": invited["email"], "password": PASSWORD, "name": "Olga"}
    owner = await here.post("/v1/auth/register", body | {"invitation": made.json()["token"]})
    admin = await here.invited("admin", owner.json()["access_token"])
    root = here.operator.split("-")[1]
    for token in (owner.json()["access_token"], admin["access_token"]):
        refused = await here.delete(f"/v1/api-keys/{root}", token)
        assert refused.status_code == 403, refused.text
    assert (await there.get("/v1/admin/tenants", here.operator)).status_code == 200


async def test_an_owner_with_limits_of_its_own_still_ends_any_key(here, there, owner, token):
    key = await a_key(here, token, user_id="backend")
    path = f"/v1/tenants/me/members/{owner['user_id']}"
    limited = await here.put(path, {"limits": {"requests": {"hour": 100}}}, token)
    assert limited.status_code == 200
    await end(here, key, token)
    assert not await works(there, key)


async def test_what_ended_stays_ended_and_models_are_not_called(here, token):
    key = await a_key(here, token)
    await end(here, key, token)
    first = (await here.get("/v1/api-keys", token)).json()["data"]
    await end(here, key, token)
    assert (await here.get("/v1/api-keys", token)).json()["data"] == first
    assert (await here.post(CHAT_PATH, CHAT, key["key"])).status_code == 401

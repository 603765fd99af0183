"""Keys that somebody made for a member: they work while the member may, and end with it."""

import pytest

from tests.ingress.identity.world import CHAT, PASSWORD, email

CHAT_PATH = "/v1/chat/completions"
SCOPES = ["inference", "usage", "keys", "members"]


@pytest.fixture
def token(owner) -> str:
    return str(owner["access_token"])


async def a_key(world, credential, **fields):
    made = await world.post("/v1/api-keys", {"scopes": SCOPES} | fields, credential)
    assert made.status_code == 201, made.text
    return made.json()


async def statuses(world, *keys):
    return [(await world.post(CHAT_PATH, CHAT, key["key"])).status_code for key in keys]


@pytest.mark.parametrize("maker", ["owner", "operator"])
async def test_a_removed_members_keys_end_whoever_made_them(here, there, owner, token, maker):
    member = await here.invited("member", token)
    by, where = (
        (token, {}) if maker == "owner" else (here.operator, {"tenant_id": owner["tenant_id"]})
    )
    key = await a_key(here, by, user_id=member["user_id"], **where)
    child = await a_key(here, key["key"], user_id="somebody")
    another = await a_key(here, token, user_id="somebody")
    promised = {"email": email("friend"), "role": "member"}
    invited = await here.post("/v1/tenants/me/invitations", promised, key["key"])
    limits = {"limits": {"requests": {"day": 2}}}
    path = f"/v1/tenants/me/members/{member['user_id']}"
    assert (await here.put(path, limits, token)).status_code == 200
    assert await statuses(there, key, child) == [200, 200]
    assert (await here.delete(path, token)).status_code == 200
    for world in (here, there):
        assert await statuses(world, key, child, another) == [401, 401, 200]
    shown = {k["id"]: k for k in (await here.get("/v1/api-keys", token)).json()["data"]}
    assert not shown[key["id"]]["is_active"]
    body = {"email": promised["email"], "password": PASSWORD, "name": "friend"}
    late = await here.post("/v1/auth/register", body | {"invitation": invited.json()["token"]})
    assert late.status_code == 401


async def test_keys_of_a_user_who_is_kept_out_stop_and_work_again_later(
    here, there, token, replica
):
    member = await here.invited("member", token)
    key = await a_key(here, token, user_id=member["user_id"])
    child = await a_key(here, key["key"], user_id="somebody")
    label = await a_key(here, token, user_id="customer-7")
    assert await statuses(there, key, child) == [200, 200]
    user = f"/v1/admin/users/{member['user_id']}"
    assert (await here.put(user, {"is_active": False}, here.operator)).status_code == 200
    for world in (here, there):
        assert await statuses(world, key, child, label) == [401, 401, 200]
    assert (await here.put(user, {"is_active": True}, here.operator)).status_code == 200
    later = await replica()  # the others remember refusals for a moment
    assert await statuses(later, key, child) == [200, 200]


async def test_a_name_that_is_another_tenants_user_is_a_name_and_nothing_more(
    here, token, stranger
):
    """Else a key would tell whether such a user is there."""
    key = await a_key(here, token, user_id=stranger["user_id"])
    user = f"/v1/admin/users/{stranger['user_id']}"
    assert await statuses(here, key) == [200]
    assert (await here.put(user, {"is_active": False}, here.operator)).status_code == 200
    assert await statuses(here, key) == [200]

"""Own limits of keys and users: set by those who may, within what is above, and held at once."""

import pytest

from tests.ingress.identity.world import CHAT

CHAT_PATH = "/v1/chat/completions"


async def a_key(world, credential, **fields):
    made = await world.post("/v1/api-keys", fields, credential)
    assert made.status_code == 201, made.text
    return made.json()


async def chats(world, key, count, **fields):
    """Statuses of `count` different questions."""
    answers = [
        await world.post(CHAT_PATH, CHAT | {"seed": number, "max_tokens": 5} | fields, key)
        for number in range(count)
    ]
    return [answer.status_code for answer in answers]


async def windows(world, key, scope):
    found = (await world.get("/v1/usage", key)).json()["windows"]
    return {(w["meter"], w["seconds"]): w["limit"] for w in found if w["scope"] == scope}


async def test_a_key_holds_limits_of_every_unit_of_its_own(here, owner):
    limits = {
        "requests": {"day": 2},
        "tokens": {"hour": 900},
        "audio_ms": {"minute": 60_000},
        "money": {"month": 12.5},
        "concurrency": 3,
    }
    key = await a_key(here, owner["access_token"], limits=limits)
    assert key["limits"] == limits
    listed = (await here.get("/v1/api-keys", owner["access_token"])).json()["data"]
    assert [k["limits"] for k in listed if k["id"] == key["id"]] == [limits]
    assert await windows(here, key["key"], "key") == {
        ("requests", 86_400): 2,
        ("tokens", 3_600): 900,
        ("audio_ms", 60): 60_000,
        ("money", 2_592_000): 12.5,
        ("concurrency", 0): 3,
    }
    assert await chats(here, key["key"], 3) == [200, 200, 429]
    refused = await here.post(CHAT_PATH, CHAT | {"seed": 9}, key["key"])
    limit = refused.json()["error"]["carillon"]["limit"]
    assert (limit["scope"], limit["meter"], limit["seconds"]) == ("key", "requests", 86_400)
    assert "this API key allows 2 requests per day" in refused.json()["error"]["message"]


async def test_an_edit_holds_at_the_next_request_on_every_replica(here, there, owner):
    key = await a_key(here, owner["access_token"], limits={"requests": {"hour": 1}}, name="old")
    path = f"/v1/api-keys/{key['id']}"
    assert await chats(there, key["key"], 2) == [200, 429]
    wider = {"limits": {"requests": {"hour": 2}}, "name": "new"}
    edited = await here.patch(path, wider, owner["access_token"])
    assert edited.status_code == 200, edited.text
    assert (edited.json()["name"], edited.json()["limits"]) == ("new", {"requests": {"hour": 2}})
    assert await chats(there, key["key"], 2, temperature=0.5) == [200, 429]  # counts go on
    freed = await here.patch(path, {"limits": None, "allowed_models": []}, owner["access_token"])
    assert freed.json()["limits"] is None
    assert freed.json()["name"] == "new"
    assert await chats(there, key["key"], 1) == [403]
    await here.patch(path, {"allowed_models": None}, owner["access_token"])
    assert await chats(there, key["key"], 3, temperature=0.7) == [200, 200, 200]


@pytest.mark.parametrize(
    ("limits", "param", "says"),
    [
        ({"tokens": {"day": 1_000_001}}, "limits.tokens.day", "1000000 tokens per day"),
        ({"tokens": {"hour": 1_000_001}}, "limits.tokens.hour", "1000000 tokens per day"),
        ({"requests": {"minute": 1_001}}, "limits.requests.minute", "1000 requests per minute"),
    ],
)
async def test_a_limit_above_the_tenants_is_refused_by_name(here, owner, limits, param, says):
    token = owner["access_token"]
    for answer in (
        await here.post("/v1/api-keys", {"limits": limits}, token),
        await here.patch(
            f"/v1/api-keys/{(await a_key(here, token))['id']}", {"limits": limits}, token
        ),
        await here.put(f"/v1/tenants/me/members/{owner['user_id']}", {"limits": limits}, token),
    ):
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param
        assert f"the tenant's plan allows {says}" in error["message"]


async def test_a_user_is_held_over_all_its_keys(here, there, owner):
    token = owner["access_token"]
    member = await here.invited("admin", token)
    path = f"/v1/tenants/me/members/{member['user_id']}"
    first = await a_key(here, member["access_token"])
    second = await a_key(here, member["access_token"])
    limits = {"requests": {"hour": 3}, "tokens": {"day": 5_000}}
    limited = await here.put(path, {"limits": limits}, token)
    assert (limited.json()["limits"], limited.json()["role"]) == (limits, "admin")
    me = await there.get("/v1/users/me", member["access_token"])
    assert me.json()["limits"] == limits
    assert await chats(there, first["key"], 2) == [200, 200]
    assert await chats(here, second["key"], 1, temperature=0.1) == [200]
    assert await chats(there, member["access_token"], 1, temperature=0.2) == [429]
    assert (await windows(here, first["key"], "user"))["tokens", 86_400] == 5_000
    assert await windows(here, first["key"], "key") == {}


async def test_a_key_stays_within_its_user(here, owner):
    token = owner["access_token"]
    member = await here.invited("admin", token)
    path = f"/v1/tenants/me/members/{member['user_id']}"
    await here.put(path, {"limits": {"tokens": {"day": 500}}}, token)
    wanted = {"limits": {"tokens": {"day": 501}}, "user_id": member["user_id"]}
    refused = await here.post("/v1/api-keys", wanted, token)
    assert refused.status_code == 400
    assert "its user's own limit allows 500 tokens per day" in refused.json()["error"]["message"]
    assert (await a_key(here, token, **wanted | {"limits": {"tokens": {"day": 500}}}))["limits"]


async def test_a_limited_user_cannot_free_itself(here, owner):
    token = owner["access_token"]
    member = await here.invited("admin", token)
    mine = member["access_token"]
    path = f"/v1/tenants/me/members/{member['user_id']}"
    others = await a_key(here, token)
    await here.put(path, {"limits": {"requests": {"hour": 5}}}, token)
    attempts = [
        await here.put(path, {"limits": None}, mine),
        await here.post("/v1/api-keys", {"user_id": "somebody"}, mine),
        await here.post(f"/v1/api-keys/{others['id']}/rotate", {}, mine),
        await here.post("/v1/tenants/me/invitations", {"email": "x@example.com"}, mine),
    ]
    assert [answer.status_code for answer in attempts] == [403] * 4
    key = await a_key(here, mine)
    assert key["user_id"] == member["user_id"]
    assert (await windows(here, key["key"], "user"))["requests", 3_600] == 5


async def test_a_limited_key_grants_no_more_than_its_own_limits(here, owner):
    token = owner["access_token"]
    limits = {"tokens": {"day": 1_000}, "money": {"day": 0.25}}
    scopes = ["inference", "usage", "keys"]
    key = await a_key(here, token, scopes=scopes, limits=limits)
    assert (await a_key(here, key["key"]))["limits"] == limits
    narrower = await a_key(here, key["key"], limits={"tokens": {"day": 10}, "rows": {"day": 7}})
    assert narrower["limits"] == {"tokens": {"day": 10}, "rows": {"day": 7}, "money": {"day": 0.25}}
    wider = await here.post("/v1/api-keys", {"limits": {"tokens": {"day": 1_001}}}, key["key"])
    assert wider.status_code == 403
    assert wider.json()["error"]["param"] == "limits.tokens.day"
    itself = f"/v1/api-keys/{key['id']}"
    assert (await here.patch(itself, {"limits": None}, key["key"])).json()["limits"] == limits
    free = await a_key(here, token)
    assert (await here.patch(f"/v1/api-keys/{free['id']}", {"name": "x"}, key["key"])).is_error


async def test_a_role_and_limits_change_together_or_not_at_all(here, owner):
    token = owner["access_token"]
    member = await here.invited("admin", token)
    path = f"/v1/tenants/me/members/{member['user_id']}"
    limits = {"requests": {"hour": 5}}
    refused = await here.put(path, {"role": "viewer", "limits": {"tokens": {"day": 2**52}}}, token)
    assert refused.status_code == 400
    mine = f"/v1/tenants/me/members/{owner['user_id']}"
    last = await here.put(mine, {"role": "viewer", "limits": limits}, token)
    assert last.status_code == 409, "a tenant keeps an owner"
    for each, role in ((path, "admin"), (mine, "owner")):
        found = (await here.get(each, token)).json()
        assert (found["role"], found["limits"]) == (role, None)
    changed = (await here.put(path, {"role": "member", "limits": limits}, token)).json()
    assert (changed["role"], changed["limits"]) == ("member", limits)


async def test_storage_is_limited_by_key_and_by_user_and_shown(here, owner):
    token = owner["access_token"]
    key = await a_key(here, token, limits={"storage_gb": 0.5})
    assert key["limits"] == {"storage_gb": 0.5}
    path = f"/v1/tenants/me/members/{owner['user_id']}"
    await here.put(path, {"limits": {"storage_gb": 2}}, token)
    shown = (await here.get("/v1/usage", key["key"])).json()["storage"]
    assert [(each["scope"], each["limit"], each["used"]) for each in shown] == [
        ("tenant", 10**11, 0),
        ("user", 2 * 10**9, 0),
        ("key", 5 * 10**8, 0),
    ]
    for wanted, code in (({"storage_gb": 3}, 400), ({"storage_gb": 1e-10}, 400)):
        wider = await here.post("/v1/api-keys", {"limits": wanted}, token)
        assert wider.status_code == code, wider.text
        assert wider.json()["error"]["param"] == "limits.storage_gb"


async def test_a_successor_has_the_same_limits(here, owner):
    key = await a_key(here, owner["access_token"], limits={"concurrency": 2})
    rotated = await here.post(f"/v1/api-keys/{key['id']}/rotate", {}, owner["access_token"])
    assert rotated.json()["limits"] == {"concurrency": 2}
    ended = await here.patch(f"/v1/api-keys/{key['id']}", {"name": "x"}, owner["access_token"])
    assert ended.status_code == 409


WATCHED = {"watch": {"requests": {"day": 1}, "money": {"month": 2.5}}}


async def would_refuse(world, key, count):
    """Of `count` different questions: statuses, and what watched windows say."""
    found = []
    for number in range(count):
        answer = await world.post(CHAT_PATH, CHAT | {"seed": 70 + number}, key)
        found.append((answer.status_code, answer.headers.get("x-ratelimit-would-refuse")))
    return found


async def test_a_keys_limit_can_be_watched_before_it_holds(here, owner):
    token = owner["access_token"]
    key = await a_key(here, token, limits=WATCHED, scopes=["inference", "usage", "keys"])
    assert key["limits"] == WATCHED
    full = "key requests/86400"
    assert await would_refuse(here, key["key"], 2) == [(200, None), (200, full)]
    shown = (await here.get("/v1/usage", key["key"])).json()["windows"]
    day = next(w for w in shown if w["scope"] == "key" and w["meter"] == "requests")
    assert (day["used"], day["limit"], day["watched"]) == (2, 1, True)
    # It is no limit: what only watches binds nobody who makes keys.
    other = await a_key(here, token)
    path = f"/v1/api-keys/{other['id']}/rotate"
    assert (await here.post(path, {}, key["key"])).status_code == 201
    held = {"limits": {"requests": {"day": 2}}}
    await here.patch(f"/v1/api-keys/{key['id']}", held, token)
    assert [status for status, _ in await would_refuse(here, key["key"], 1)] == [429]


async def test_a_users_limit_can_be_watched_over_all_its_keys(here, there, owner):
    token = owner["access_token"]
    member = await here.invited("admin", token)
    path = f"/v1/tenants/me/members/{member['user_id']}"
    limited = await here.put(path, {"limits": WATCHED}, token)
    assert limited.json()["limits"] == WATCHED
    key = await a_key(here, member["access_token"], user_id="somebody")
    own = await a_key(here, member["access_token"])
    assert await would_refuse(there, own["key"], 2) == [
        (200, None),
        (200, "user requests/86400"),
    ]
    assert await would_refuse(there, key["key"], 1) == [(200, None)]


async def test_a_limited_keys_keys_are_held_and_do_not_only_watch(here, owner):
    limits = {"requests": {"day": 5}, "watch": {"tokens": {"day": 9}}}
    scopes = ["inference", "usage", "keys"]
    maker = await a_key(here, owner["access_token"], limits=limits, scopes=scopes)
    wanted = {"watch": {"requests": {"day": 50}, "rows": {"day": 3}}}
    child = await a_key(here, maker["key"], limits=wanted)
    assert child["limits"] == {
        "requests": {"day": 5},
        "watch": {"rows": {"day": 3}},
    }


@pytest.mark.parametrize(
    "limits",
    [
        {"requests": {"day": 2}, "watch": {"requests": {"day": 1}}},
        {"watch": {"storage_gb": 1}},
        {"watch": {"watch": {"requests": {"day": 1}}}},
    ],
)
async def test_what_cannot_be_watched_is_refused(here, owner, limits):
    refused = await here.post("/v1/api-keys", {"limits": limits}, owner["access_token"])
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("limits")


async def test_another_tenants_keys_and_members_are_not_found(here, owner, stranger):
    key = await a_key(here, owner["access_token"])
    theirs = stranger["access_token"]
    for path, body in (
        (f"/v1/api-keys/{key['id']}", {"limits": {"concurrency": 1}}),
        ("/v1/api-keys/0123456789abcdef", {"limits": {"concurrency": 1}}),
    ):
        assert (await here.patch(path, body, theirs)).status_code == 404
    path = f"/v1/tenants/me/members/{owner['user_id']}"
    assert (await here.put(path, {"limits": {"concurrency": 1}}, theirs)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"limits": {"tokens": {"week": 1}}},
        {"limits": {"tokens": {"day": 0}}},
        {"limits": {"tokens": {"day": 2**53}}},
        {"limits": {"money": {"hour": 1}}},
        {"limits": {"money": {"day": -1}}},
        {"limits": 5},
        {"name": None},
        {"scopes": None},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"tier": "platinum"},
        {"user_id": "other"},
    ],
)
async def test_an_edit_that_makes_no_sense_is_refused(here, owner, body):
    key = await a_key(here, owner["access_token"])
    answer = await here.patch(f"/v1/api-keys/{key['id']}", body, owner["access_token"])
    assert answer.status_code == 400, answer.text


async def test_nor_by_a_key_that_it_made_for_somebody_else_before(here, owner):
    member = await here.invited("admin", owner["access_token"])
    scopes = ["inference", "members"]
    key = await a_key(here, member["access_token"], user_id="somebody", scopes=scopes)
    path = f"/v1/tenants/me/members/{member['user_id']}"
    await here.put(path, {"limits": {"requests": {"hour": 5}}}, owner["access_token"])
    assert (await here.put(path, {"limits": None}, key["key"])).status_code == 403
    assert (await here.get(path, owner["access_token"])).json()["limits"] is not None

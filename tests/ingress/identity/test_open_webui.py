"""Open WebUI says who the human is: its signed word names usage rows and grants nothing."""

import json
import time

import jwt
import pytest

from auth.accounts import KeyGrant
from auth.jobs import JobBook
from auth.principal import Scope
from core.errors import InvalidKey, SettingsError
from graphs.jobs import KeyIds
from tests.ingress.identity.world import CHAT

SECRET = "open-webui-secret-of-at-least-32-bytes"


def human(secret=SECRET, algorithm="HS256", **changes):
    now = int(time.time())
    claims = {
        "sub": "671fa9fb",
        "email": "bob@example.com",
        "name": "Bob",
        "role": "admin",
        "iss": "open-webui",
        "iat": now,
        "exp": now + 300,
    } | changes
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm)


@pytest.fixture
async def world(replica, tmp_path):
    path = tmp_path / "open-webui"
    path.write_text(SECRET)
    return await replica(open_webui_secret=f"file:{path}")


@pytest.fixture
async def key(world):
    owner = await world.owner()
    return (await a_key(world, owner, user_id="open-webui"))["key"]


async def a_key(world, owner, **fields):
    """A key of the owner's tenant that the operator made, trusted unless said otherwise."""
    fields = {"scopes": ["inference", "usage"], "trusted": True} | fields
    made = await world.post(
        "/v1/api-keys", fields | {"tenant_id": owner["tenant_id"]}, world.operator
    )
    assert made.status_code == 201, made.text
    return made.json()


def chat(world, key, token):
    return world.post("/v1/chat/completions", CHAT, key, **{"x-openwebui-user-jwt": token})


async def user_of(world):
    """`user_id` of the newest call in the usage stream."""
    entries = await world.store.call("XREVRANGE", f"{world.prefix}:usage", "+", "-")
    events = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
    newest = next(event for event in events if event[b"event"] in (b"admitted", b"hit"))
    return json.loads(newest[b"record"])["user_id"]


async def test_usage_is_recorded_by_human(world, key):
    assert (await chat(world, key, human())).status_code == 200
    assert await user_of(world) == "open-webui:671fa9fb"
    assert (await chat(world, key, human(sub="someone"))).status_code == 200
    assert await user_of(world) == "open-webui:someone"
    assert (await world.post("/v1/chat/completions", CHAT, key)).status_code == 200
    assert await user_of(world) == "open-webui"


async def test_it_grants_nothing(world, key):
    headers = {"x-openwebui-user-jwt": human(role="admin")}
    assert (await world.post("/v1/api-keys", {}, key, **headers)).status_code == 403
    assert (await world.post("/v1/chat/completions", CHAT, **headers)).status_code == 401
    async with world.client(key, **headers) as client:
        assert (await client.get("/v1/users/me")).status_code == 403


@pytest.mark.parametrize(
    "token",
    [
        human("another secret of at least 32 bytes!"),
        human(iss="somebody"),
        human(iss=None),
        human(exp=int(time.time()) - 60),
        human(exp=None),
        human(sub=None),
        human(sub="nul\x00"),
        human(sub="x" * 500),
        human(algorithm="HS512", secret=SECRET * 2),
        "not-a-token",
        "eyJ.eyJ.x",
    ],
)
async def test_a_word_that_is_not_good_is_a_401(world, key, token):
    response = await chat(world, key, token)
    assert response.status_code == 401
    assert token not in response.text


async def test_of_a_key_that_is_not_trusted_the_word_is_not_heard(world, replica):
    owner = await world.owner()
    token = owner["access_token"]
    plain = await a_key(world, owner, trusted=False, user_id="backend")
    assert plain["trusted"] is False
    for word in (human(), human(exp=1), "not-a-token"):
        assert (await chat(world, plain["key"], word)).status_code == 200
        assert await user_of(world) == "backend"
    path = f"/v1/api-keys/{plain['id']}"
    for refused in (
        await world.post("/v1/api-keys", {"trusted": True}, token),
        await world.patch(path, {"trusted": True}, token),
    ):
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "trusted")
    keys = world.directory.keys
    operator = await world.identifier.identify(world.operator)
    trusted = await keys.create(operator, KeyGrant(trusted=True), owner["tenant_id"])
    path = f"/v1/api-keys/{trusted.key.id}"
    named = await world.patch(path, {"name": "Open WebUI"}, token)
    assert (named.status_code, named.json()["trusted"]) == (200, True)
    assert (await world.patch(path, {"trusted": False}, token)).json()["trusted"] is False
    other = await replica()
    assert (await world.patch(path, {"trusted": True}, token)).status_code == 403
    assert (await other.get("/v1/usage", trusted.secret.get_secret_value())).status_code == 200


async def test_a_key_that_is_not_trusted_learns_no_trusted_secret(world):
    owner = await world.owner()
    scopes = ["inference", "usage", "keys"]
    plain = await world.post("/v1/api-keys", {"scopes": scopes}, owner["access_token"])
    trusted = await a_key(world, owner, scopes=scopes)
    path = f"/v1/api-keys/{trusted['id']}/rotate"
    assert (await world.post(path, {}, plain.json()["key"])).status_code == 403
    itself = await world.post(path, {}, trusted["key"])
    assert (itself.status_code, itself.json()["trusted"]) == (201, True)


async def test_the_limits_of_the_keys_user_hold_whatever_human_is_named(world):
    owner = await world.owner()
    member = await world.invited("admin", owner["access_token"])
    path = f"/v1/tenants/me/members/{member['user_id']}"
    limits = {"requests": {"day": 3}, "storage_gb": 1}
    await world.put(path, {"limits": limits}, owner["access_token"])
    scopes = ["inference", "usage", "keys", "members"]
    key = await a_key(world, owner, user_id=member["user_id"], scopes=scopes)
    statuses = [
        (await chat(world, key["key"], human(sub=f"human-{number}"))).status_code
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    assert (await world.post("/v1/chat/completions", CHAT, key["key"])).status_code == 429
    headers = {"x-openwebui-user-jwt": human()}
    for_another = {"user_id": "somebody", "scopes": ["inference"]}
    assert (await world.post("/v1/api-keys", for_another, key["key"], **headers)).status_code == 403
    own = await world.post("/v1/api-keys", {"scopes": ["inference"]}, key["key"], **headers)
    assert own.json()["user_id"] == member["user_id"]
    async with world.client(key["key"], **headers) as client:
        assert (await client.put(path, json={"limits": None})).status_code == 403
        kept = (await client.get("/v1/usage")).json()["storage"]
    assert ("user", 10**9) in [(each["scope"], each["limit"]) for each in kept]


async def test_unsigned_headers_are_not_read(world, key):
    headers = {"x-openwebui-user-id": "eve", "x-openwebui-user-role": "admin"}
    assert (await world.post("/v1/chat/completions", CHAT, key, **headers)).status_code == 200
    assert await user_of(world) == "open-webui"


async def test_without_a_secret_the_header_means_nothing(here):
    owner = await here.owner()
    made = (await here.post("/v1/api-keys", {}, owner["access_token"])).json()
    assert (await chat(here, made["key"], human())).status_code == 200
    assert await user_of(here) == owner["user_id"]


async def test_a_revoked_key_is_dead_with_it_as_without(world, key, replica):
    other = await replica()
    assert (await chat(world, key, human())).status_code == 200
    principal = await world.identifier.identify(key)
    operator = await other.identifier.identify(other.operator)
    await other.directory.keys.revoke(operator, principal.key_id, principal.tenant_id)
    assert (await chat(world, key, human())).status_code == 401
    with pytest.raises(InvalidKey):
        await world.identifier.identify(f"{key} {human()}")


async def test_a_users_own_token_needs_no_word_of_others(world):
    owner = await world.owner()
    assert (await chat(world, owner["access_token"], human())).status_code == 200
    assert await user_of(world) == owner["user_id"]
    principal = await world.identifier.identify(owner["access_token"])
    assert Scope.ADMIN not in principal.scopes


async def test_jobs_are_metered_on_the_human_who_asked_for_them(world, key):
    """A video, a batch: their calls are made later, by another process, which has the row alone."""
    asked = await world.identifier.identify(f"{key} {human()}")
    book, callers = JobBook(world.database), KeyIds(world.directory)
    job = await book.add(asked, "video", "video_", {})
    found = await callers.identify((await book.read(job.id)).caller)
    assert (found.user_id, found.key_id) == ("open-webui:671fa9fb", asked.key_id)
    assert found.user_windows == ()
    plain = await book.add(await world.identifier.identify(key), "video", "video_", {})
    assert (await callers.identify(plain.caller)).user_id == "open-webui"
    operator = await world.identifier.identify(world.operator)
    await world.directory.keys.revoke(operator, asked.key_id, asked.tenant_id)
    with pytest.raises(InvalidKey):
        await callers.identify(job.caller)


async def test_a_short_secret_is_refused(replica, tmp_path):
    path = tmp_path / "short"
    path.write_text("short")
    with pytest.raises(SettingsError):
        await replica(open_webui_secret=f"file:{path}")

"""Who may do what in a tenant, and that nobody gets more than was given."""

import asyncio

import pytest

from tests.ingress.identity.world import CHAT, PASSWORD, email

ROLES = ["owner", "admin", "member", "viewer"]
MATRIX = {
    ("POST", "/v1/chat/completions"): {"owner", "admin", "member"},
    ("GET", "/v1/models"): {"owner", "admin", "member"},
    ("GET", "/v1/usage"): set(ROLES),
    ("GET", "/api/usage"): set(ROLES),
    ("GET", "/v1/users/me"): set(ROLES),
    ("GET", "/v1/tenants/me"): set(ROLES),
    ("PUT", "/v1/tenants/me"): {"owner", "admin"},
    ("GET", "/v1/api-keys"): {"owner", "admin"},
    ("POST", "/v1/api-keys"): {"owner", "admin"},
    ("GET", "/v1/tenants/me/members"): {"owner", "admin"},
    ("GET", "/v1/tenants/me/invitations"): {"owner", "admin"},
    ("GET", "/v1/admin/tenants"): set(),
    ("POST", "/v1/admin/tenants"): set(),
}


async def everybody(world, owner):
    """An access token of every role in the owner's tenant."""
    people = {"owner": owner}
    for role in ROLES[1:]:
        people[role] = await world.invited(role, owner["access_token"])
    return people


async def test_every_role_may_do_exactly_what_the_table_says(here, owner):
    people = await everybody(here, owner)
    for (method, path), allowed in MATRIX.items():
        for role in ROLES:
            async with here.client(people[role]["access_token"]) as client:
                body = CHAT if path.endswith("completions") else {"name": "x"}
                json = body if method != "GET" else None
                response = await client.request(method, path, json=json)
            expected = role in allowed
            assert (response.status_code < 300) == expected, (method, path, role, response.text)
            assert expected or response.status_code == 403


async def test_nobody_invites_above_their_own_role(here, owner):
    people = await everybody(here, owner)
    for role in ROLES:
        for wanted in ROLES:
            response = await here.post(
                "/v1/tenants/me/invitations",
                {"email": email(), "role": wanted},
                people[role]["access_token"],
            )
            may = role == "owner" or (role == "admin" and wanted != "owner")
            assert response.status_code == (201 if may else 403), (role, wanted)


async def test_an_admin_cannot_touch_an_owner_nor_become_one(here, owner):
    admin = await here.invited("admin", owner["access_token"])
    token = admin["access_token"]
    members = "/v1/tenants/me/members/"
    for user, role in ((owner, "viewer"), (admin, "owner")):
        response = await here.put(members + user["user_id"], {"role": role}, token)
        assert response.status_code == 403
    assert (await here.delete(members + owner["user_id"], token)).status_code == 403
    same = await here.put(members + admin["user_id"], {"role": "admin"}, token)
    assert same.status_code == 200


async def test_the_last_owner_cannot_leave_or_step_down(here, there, owner):
    token = owner["access_token"]
    path = f"/v1/tenants/me/members/{owner['user_id']}"
    assert (await here.delete(path, token)).status_code == 409
    assert (await here.put(path, {"role": "admin"}, token)).status_code == 409
    other = await here.invited("owner", token)
    other_path = f"/v1/tenants/me/members/{other['user_id']}"
    # Both leave at once, each on another replica: one of them stays.
    answers = await asyncio.gather(
        here.delete(path, token), there.delete(other_path, other["access_token"])
    )
    assert sorted(a.status_code for a in answers) == [200, 409]


async def test_a_changed_role_holds_at_the_next_request_everywhere(here, there, owner):
    member = await here.invited("member", owner["access_token"])
    token = member["access_token"]
    for world in (here, there):
        assert (await world.post("/v1/chat/completions", CHAT, token)).status_code == 200
    path = f"/v1/tenants/me/members/{member['user_id']}"
    changed = await here.put(path, {"role": "viewer"}, owner["access_token"])
    assert changed.json()["role"] == "viewer"
    for world in (here, there):
        answer = await world.post(
            "/v1/chat/completions", CHAT, token, **{"cache-control": "no-store"}
        )
        assert answer.status_code in (401, 403), answer.text
        assert (await world.get("/v1/api-keys", token)).status_code == 403


async def test_who_is_removed_is_out_at_once_with_keys_sessions_and_invitations(here, there, owner):
    admin = await here.invited("admin", owner["access_token"])
    token = admin["access_token"]
    key = (await here.post("/v1/api-keys", {"name": "mine"}, token)).json()
    assert key["user_id"] == admin["user_id"]
    again = (
        await here.post("/v1/api-keys", {"user_id": "someone", "scopes": ["usage"]}, token)
    ).json()
    promised = (
        await here.post(
            "/v1/tenants/me/invitations", {"email": email("friend"), "role": "admin"}, token
        )
    ).json()
    assert (await there.post("/v1/chat/completions", CHAT, key["key"])).status_code == 200
    path = f"/v1/tenants/me/members/{admin['user_id']}"
    assert (await here.delete(path, owner["access_token"])).status_code == 200
    for world in (here, there):
        for credential in (token, key["key"], again["key"]):
            assert (await world.get("/v1/usage", credential)).status_code == 401
            answer = await world.post("/v1/chat/completions", CHAT, credential)
            assert answer.status_code == 401
    refreshed = await here.post("/v1/auth/refresh", {"refresh_token": admin["refresh_token"]})
    assert refreshed.status_code == 401
    body = {"email": promised["email"], "password": PASSWORD, "name": "friend"}
    late = await here.post("/v1/auth/register", body | {"invitation": promised["token"]})
    assert late.status_code == 401
    assert (await here.log_in(admin["email"])).status_code == 403  # no tenant any more


async def test_a_key_never_does_more_than_its_maker_may_do_now(here, there, owner):
    admin = await here.invited("admin", owner["access_token"])
    scopes = ["inference", "usage", "keys", "members"]
    key = (await here.post("/v1/api-keys", {"scopes": scopes}, admin["access_token"])).json()["key"]
    assert (await there.get("/v1/tenants/me/members", key)).status_code == 200
    # Keys made by that key belong to the same user.
    child = (await here.post("/v1/api-keys", {"scopes": scopes}, key)).json()["key"]
    path = f"/v1/tenants/me/members/{admin['user_id']}"
    await here.put(path, {"role": "viewer"}, owner["access_token"])
    for world in (here, there):
        for credential in (key, child):
            assert (await world.get("/v1/usage", credential)).status_code == 200
            assert (await world.get("/v1/tenants/me/members", credential)).status_code == 403
            assert (await world.get("/v1/api-keys", credential)).status_code == 403


@pytest.mark.parametrize(
    ("limits", "role"),
    [
        ({"scopes": ["members"]}, "viewer"),
        ({"scopes": ["members", "usage"]}, "member"),
        ({"scopes": ["members", "usage", "inference"]}, "admin"),
        ({"scopes": ["members", "usage", "inference", "keys"]}, "owner"),
        ({"scopes": ["members", "usage", "inference"], "allowed_models": ["echo"]}, "member"),
        ({"scopes": ["members", "usage", "inference"], "requests_per_hour": 5}, "member"),
    ],
)
async def test_a_key_grants_no_role_that_does_more_than_the_key(here, owner, limits, role):
    key = (await here.post("/v1/api-keys", limits, owner["access_token"])).json()["key"]
    response = await here.post("/v1/tenants/me/invitations", {"email": email(), "role": role}, key)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "permission_denied")


async def test_no_member_can_make_a_key_for_administration(here, owner):
    for body in (
        {"scopes": ["admin"]},
        {"tenant_id": "operator"},
        {"scopes": ["inference"], "granted_by": None},
    ):
        response = await here.post("/v1/api-keys", body, owner["access_token"])
        assert response.status_code in (400, 403)


async def test_tenants_do_not_see_each_other(here, owner, stranger):
    mine, theirs = owner["access_token"], stranger["access_token"]
    key = (await here.post("/v1/api-keys", {}, theirs)).json()
    invitation = (await here.post("/v1/tenants/me/invitations", {"email": email()}, theirs)).json()
    assert stranger["email"] not in (await here.get("/v1/tenants/me/members", mine)).text
    assert invitation["id"] not in (await here.get("/v1/tenants/me/invitations", mine)).text
    member = f"/v1/tenants/me/members/{stranger['user_id']}"
    assert (await here.get(member, mine)).status_code == 404
    assert (await here.put(member, {"role": "viewer"}, mine)).status_code == 404
    assert (await here.delete(member, mine)).status_code == 404
    gone = await here.delete(f"/v1/tenants/me/invitations/{invitation['id']}", mine)
    assert gone.status_code == 404
    rotated = await here.post(f"/v1/api-keys/{key['id']}/rotate", {}, mine)
    assert rotated.status_code == 404
    login = await here.log_in(owner["email"], tenant_id=stranger["tenant_id"])
    assert login.status_code == 403


async def test_a_user_of_two_tenants_chooses_one_at_login(here, owner, stranger):
    invitation = (
        await here.post(
            "/v1/tenants/me/invitations",
            {"email": owner["email"], "role": "viewer"},
            stranger["access_token"],
        )
    ).json()
    accept = {"invitation": invitation["token"]}
    not_me = await here.post("/v1/invitations/accept", accept, stranger["access_token"])
    assert not_me.status_code == 403
    joined = await here.post("/v1/invitations/accept", accept, owner["access_token"])
    assert joined.json() == {"tenant_id": stranger["tenant_id"], "role": "viewer"}
    there = (await here.log_in(owner["email"], tenant_id=stranger["tenant_id"])).json()
    me = (await here.get("/v1/users/me", there["access_token"])).json()
    assert (me["tenant_id"], me["role"]) == (stranger["tenant_id"], "viewer")
    assert [t["role"] for t in me["tenants"]] == ["owner", "viewer"]
    assert (await here.get("/v1/api-keys", there["access_token"])).status_code == 403
    assert (await here.get("/v1/api-keys", owner["access_token"])).status_code == 200


async def test_a_tenant_changes_its_name_and_time_zone(here, owner):
    token = owner["access_token"]
    change = {"name": "Ada & Daughters", "time_zone": "Europe/Vienna"}
    changed = (await here.put("/api/v1/tenants/me", change, token)).json()
    assert (changed["name"], changed["time_zone"]) == ("Ada & Daughters", "Europe/Vienna")
    kept = (await here.put("/v1/tenants/me", {"name": "Ada"}, token)).json()
    assert (kept["name"], kept["time_zone"]) == ("Ada", "Europe/Vienna")
    for zone in ("Europe/Atlantis", "../etc/passwd", "", "UTC\n", "x" * 500):
        response = await here.put("/v1/tenants/me", {"time_zone": zone}, token)
        assert response.status_code == 400
    assert (await here.put("/v1/tenants/me", {"plan": "enterprise"}, token)).status_code == 400


async def test_the_operator_manages_tenants_and_users(here, there, owner):
    made = (await here.post("/v1/admin/tenants", {"name": "New"}, here.operator)).json()
    assert made["plan"] == "free"
    listed = (await here.get("/v1/admin/tenants?limit=100", here.operator)).json()
    assert listed["object"] == "list"
    path = f"/v1/admin/tenants/{owner['tenant_id']}"
    assert (await here.put(path, {"plan": "free"}, here.operator)).json()["plan"] == "free"
    usage = (await there.get("/v1/usage", owner["access_token"])).json()
    assert usage["plan"] == "free"
    assert (await here.put(path, {"plan": "gold"}, here.operator)).status_code == 400
    off = (await here.put(path, {"is_active": False}, here.operator)).json()
    assert off["is_active"] is False
    assert (await there.get("/v1/usage", owner["access_token"])).status_code == 401
    assert (await here.log_in(owner["email"])).status_code == 403
    await here.put(path, {"is_active": True}, here.operator)
    assert (await here.get("/v1/usage", owner["access_token"])).status_code == 200
    user = f"/v1/admin/users/{owner['user_id']}"
    assert (await here.put(user, {"is_active": False}, here.operator)).status_code == 200
    for world in (here, there):
        assert (await world.get("/v1/usage", owner["access_token"])).status_code == 401
    assert (await here.log_in(owner["email"])).status_code == 401
    own = await here.put("/v1/admin/tenants/operator", {"is_active": False}, here.operator)
    assert own.status_code == 409
    assert (await here.get("/v1/admin/tenants/nope", here.operator)).status_code == 404
    assert (await here.get("/v1/admin/users/nope", here.operator)).status_code == 404


async def test_an_api_key_is_nobody(here, owner):
    assert (await here.get("/v1/users/me", here.operator)).status_code == 403
    change = {"password": "another password", "current_password": PASSWORD}
    key = (await here.post("/v1/api-keys", {}, owner["access_token"])).json()["key"]
    assert (await here.put("/v1/users/me", change, key)).status_code == 403

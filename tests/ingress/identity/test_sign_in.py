"""Signing in over HTTP: registration, passwords, refresh with reuse detection, logging out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from tests.ingress.identity.world import CHAT, PASSWORD, email


def code(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    assert PASSWORD not in response.text
    return response.status_code, error["code"]


def refresh(world, token):
    return world.post("/v1/auth/refresh", {"refresh_token": token})


async def test_who_logs_in_can_call_models_and_the_ledger_knows_who_it_was(here, owner):
    made = (await here.log_in(owner["email"].upper())).json()
    assert (made["token_type"], made["expires_in"], made["role"]) == ("bearer", 900, "owner")
    answer = await here.post("/v1/chat/completions", CHAT, made["access_token"])
    assert answer.status_code == 200, answer.text
    usage = (await here.get("/v1/usage", made["access_token"])).json()
    assert usage["tenant_id"] == owner["tenant_id"]
    assert usage["key_id"] == f"user:{owner['user_id']}@{owner['tenant_id']}"
    me = (await here.get("/v1/users/me", made["access_token"])).json()
    assert (me["email"], me["role"]) == (owner["email"], "owner")
    assert [t["tenant_id"] for t in me["tenants"]] == [owner["tenant_id"]]


async def test_tokens_are_not_stored_by_proxies_and_every_form_of_oauth_is_taken(here, owner):
    async with here.client() as client:
        form = {
            "grant_type": "password",
            "username": owner["email"],
            "password": PASSWORD,
            "scope": "",
            "client_id": "web",
        }
        made = await client.post("/v1/auth/token", data=form)
        assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
        again = await client.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": made.json()["refresh_token"],
            },
        )
        assert again.status_code == 200
        twice = await client.post(
            "/v1/auth/token",
            content=b"username=a&username=b&password=c",
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert code(twice) == (400, "malformed_body")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "ada@example.com"},
        {"username": "nobody", "password": PASSWORD},
        {"username": "a@example.com", "email": "b@example.com", "password": PASSWORD},
        {"grant_type": "refresh_token"},
        {"grant_type": "client_credentials"},
        {"username": "ada@example.com", "password": "x" * 2000},
        {"username": "ada@example.com", "password": PASSWORD, "role": "owner"},
        {"username": "nul\x00@example.com", "password": PASSWORD},
        {"username": "ada@example.com", "password": {"$ne": 1}},
    ],
)
async def test_a_login_that_makes_no_sense_is_a_400(here, body):
    assert (await here.post("/v1/auth/token", body)).status_code == 400


async def test_an_unknown_email_and_a_wrong_password_look_the_same(here, owner):
    unknown = await here.log_in(email())
    wrong = await here.log_in(owner["email"], "a wrong password")
    assert code(unknown) == code(wrong) == (401, "invalid_credentials")
    assert unknown.content == wrong.content


async def test_registration_is_by_invitation_unless_the_operator_opens_it(here, replica):
    body = {"email": email(), "password": PASSWORD, "name": "Bob", "tenant_name": "Bob's"}
    assert code(await here.post("/v1/auth/register", body)) == (403, "permission_denied")
    closed = await replica(registration="closed")
    assert (await closed.post("/v1/auth/register", body)).status_code == 403
    opened = await replica(registration="open")
    made = await opened.post("/api/v1/auth/register", body)
    assert made.status_code == 201, made.text
    tenant = (await opened.get("/v1/tenants/me", made.json()["access_token"])).json()
    assert (tenant["name"], tenant["plan"], made.json()["role"]) == ("Bob's", "free", "owner")
    again = await opened.post("/v1/auth/register", body | {"email": body["email"].upper()})
    assert code(again) == (409, "conflict")


@pytest.mark.parametrize("password", ["short", "x" * 129, "EMAIL", "\x00"])
async def test_weak_passwords_are_refused(replica, password):
    world = await replica(registration="open")
    address = email()
    body = {"email": address, "name": "Bob", "password": password.replace("EMAIL", address)}
    assert (await world.post("/v1/auth/register", body)).status_code == 400


async def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_session(here, there, owner):
    first = (await here.log_in(owner["email"])).json()
    second = (await refresh(here, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await there.get("/v1/users/me", second["access_token"])).status_code == 200
    assert code(await refresh(there, first["refresh_token"])) == (401, "invalid_credentials")
    # Whoever has the newer one may be the thief: it is dead too, with its access tokens.
    assert code(await refresh(here, second["refresh_token"])) == (401, "invalid_credentials")
    for world in (here, there):
        for token in (first["access_token"], second["access_token"]):
            assert (await world.get("/v1/users/me", token)).status_code == 401
            answer = await world.post("/v1/chat/completions", CHAT, token)
            assert answer.status_code == 401
    other = await here.get("/v1/users/me", owner["access_token"])
    assert other.status_code == 200  # another session of the same user


async def test_of_many_refreshes_at_once_at_most_one_is_served_and_the_session_ends(
    here, there, owner
):
    token = owner["refresh_token"]
    answers = await asyncio.gather(*(refresh(world, token) for world in (here, there) * 5))
    served = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(served) <= 1  # none, when the session ended before its answer was made
    assert {answer.status_code for answer in answers} <= {200, 401}
    for tokens in served:
        assert (await refresh(here, tokens["refresh_token"])).status_code == 401
    assert (await there.get("/v1/users/me", owner["access_token"])).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "cr-" + "a" * 43, "é", "\x00"])
async def test_an_unknown_refresh_token_is_a_401(here, token):
    assert code(await refresh(here, token)) == (401, "invalid_credentials")


async def test_an_expired_refresh_token_is_a_401(replica):
    world = await replica(refresh_token_s=1)
    owner = await world.owner()
    await world.database.execute(
        "UPDATE refresh_tokens SET expires_at = $2 WHERE user_id = $1",
        owner["user_id"],
        datetime.now(UTC) - timedelta(seconds=1),
    )
    assert code(await refresh(world, owner["refresh_token"])) == (401, "invalid_credentials")


async def test_logging_out_ends_access_tokens_at_once_on_every_replica(here, there, owner):
    made = (await here.log_in(owner["email"])).json()
    assert (await there.get("/v1/users/me", made["access_token"])).status_code == 200
    gone = await here.post("/v1/auth/logout", {"refresh_token": made["refresh_token"]})
    assert gone.status_code == 200
    assert (await there.get("/v1/users/me", made["access_token"])).status_code == 401
    assert (await refresh(there, made["refresh_token"])).status_code == 401
    unknown = await here.post("/v1/auth/logout", {"refresh_token": "unknown"})
    assert unknown.status_code == 200


async def test_logging_out_with_an_access_token_ends_one_session_or_all(here, owner):
    one = (await here.log_in(owner["email"])).json()
    two = (await here.log_in(owner["email"])).json()
    assert (await here.post("/v1/auth/logout", {}, one["access_token"])).status_code == 200
    assert (await here.get("/v1/users/me", one["access_token"])).status_code == 401
    everywhere = await here.post("/v1/auth/logout", {"everywhere": True}, two["access_token"])
    assert everywhere.status_code == 200
    for session in (two, owner):
        assert (await here.get("/v1/users/me", session["access_token"])).status_code == 401
        assert (await refresh(here, session["refresh_token"])).status_code == 401
    assert (await here.post("/v1/auth/logout", {}, here.operator)).status_code == 403
    assert (await here.post("/v1/auth/logout")).status_code == 401


async def test_no_refresh_survives_a_logout_at_the_same_time(here, there, owner):
    for number in range(8):
        made = (await here.log_in(owner["email"])).json()
        ends = {"everywhere": True} if number % 2 else {}
        refreshed, gone = await asyncio.gather(
            refresh(there, made["refresh_token"]),
            here.post("/v1/auth/logout", ends, made["access_token"]),
        )
        assert gone.status_code == 200
        if refreshed.status_code == 200:
            late = refreshed.json()
            assert (await refresh(here, late["refresh_token"])).status_code == 401
            assert (await there.get("/v1/users/me", late["access_token"])).status_code == 401


async def test_another_password_needs_the_present_one_and_ends_other_sessions(here, there, owner):
    other = (await here.log_in(owner["email"])).json()
    change = {"password": "another good password"}
    token = owner["access_token"]
    assert code(await here.put("/v1/users/me", change, token)) == (400, "invalid_request")
    wrong = await here.put("/v1/users/me", change | {"current_password": "not this one"}, token)
    assert code(wrong) == (401, "invalid_credentials")
    done = await here.put(
        "/v1/users/me", change | {"current_password": PASSWORD, "name": "Ada L."}, token
    )
    assert (done.status_code, done.json()["name"]) == (200, "Ada L.")
    assert (await there.get("/v1/users/me", other["access_token"])).status_code == 401
    assert (await there.get("/v1/users/me", token)).status_code == 200
    assert (await here.log_in(owner["email"])).status_code == 401
    assert (await here.log_in(owner["email"], change["password"])).status_code == 200


async def test_hashes_of_other_parameters_are_made_anew_at_login(here, owner):
    dearer = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    query = "UPDATE users SET password_hash = $2 WHERE id = $1"
    await here.database.execute(query, owner["user_id"], dearer.hash(PASSWORD))
    assert (await here.log_in(owner["email"])).status_code == 200
    user = await here.identity.users.find(owner["user_id"])
    assert "t=1,p=1" in user.password_hash
    assert (await here.log_in(owner["email"])).status_code == 200


async def test_a_hash_made_anew_at_login_never_brings_an_old_password_back(
    here, there, owner, monkeypatch
):
    """A login reads the old hash; another password is set; then the login stores its new hash."""
    dearer = PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)
    query = "UPDATE users SET password_hash = $2 WHERE id = $1"
    await here.database.execute(query, owner["user_id"], dearer.hash(PASSWORD))
    passwords = there.identity.sign_in._passwords
    hashing, may_go_on = asyncio.Event(), asyncio.Event()
    make = passwords.hash

    async def slow(password):
        hashing.set()
        await may_go_on.wait()
        return await make(password)

    monkeypatch.setattr(passwords, "hash", slow)
    late = asyncio.create_task(there.log_in(owner["email"]))
    await hashing.wait()
    change = {"password": "another good password", "current_password": PASSWORD}
    assert (await here.put("/v1/users/me", change, owner["access_token"])).status_code == 200
    may_go_on.set()
    assert (await late).status_code == 401
    assert (await here.log_in(owner["email"])).status_code == 401
    assert (await here.log_in(owner["email"], change["password"])).status_code == 200


async def test_of_two_changes_of_a_password_at_once_one_wins(here, there, owner):
    token = owner["access_token"]
    wanted = [f"good password {n}" for n in range(4)]
    answers = await asyncio.gather(
        *(
            world.put("/v1/users/me", {"password": each, "current_password": PASSWORD}, token)
            for world, each in zip((here, there) * 2, wanted, strict=True)
        )
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200, 401, 401, 401]
    logins = [(await here.log_in(owner["email"], each)).status_code for each in wanted]
    assert logins == statuses


async def test_no_login_with_the_old_password_survives_its_change(here, there, owner):
    old, token = PASSWORD, owner["access_token"]
    for number in range(5):
        wanted = f"good password {number}"
        change = {"password": wanted, "current_password": old}
        entered, changed = await asyncio.gather(
            there.log_in(owner["email"], old), here.put("/v1/users/me", change, token)
        )
        assert changed.status_code == 200
        if entered.status_code == 200:
            late = entered.json()
            assert (await refresh(here, late["refresh_token"])).status_code == 401
            assert (await here.get("/v1/users/me", late["access_token"])).status_code == 401
        old = wanted


async def test_a_password_is_guessed_at_most_a_few_times(replica):
    world = await replica(login_attempts=3)
    owner = await world.owner()
    answers = await asyncio.gather(
        *(world.log_in(owner["email"], f"guess number {n}") for n in range(12))
    )
    assert sorted(a.status_code for a in answers) == [401] * 3 + [429] * 9
    right = await world.log_in(owner["email"])
    assert code(right) == (429, "rate_limit_exceeded")
    assert 0 < int(right.headers["retry-after"]) <= 900
    someone = await world.owner()
    assert (await world.log_in(someone["email"])).status_code == 200


async def test_guesses_are_counted_per_address_where_addresses_are_known(replica):
    world = await replica(login_attempts=2, forwarded_for=True)
    owner = await world.owner()

    async def guess(address, password="a wrong password", to=None):
        body = {"username": to or owner["email"], "password": password}
        headers = {"x-forwarded-for": f"203.0.113.9, {address}"}
        return (await world.post("/v1/auth/token", body, **headers)).status_code

    assert [await guess("198.51.100.1") for _ in range(3)] == [401, 401, 429]
    # Somebody else's guesses do not lock the user out at home.
    assert await guess("198.51.100.2", PASSWORD) == 200
    spray = [await guess("198.51.100.3", to=email()) for _ in range(25)]
    assert spray == [401] * 20 + [429] * 5


async def guessing(world, address, to, password="a wrong password"):
    """The status of a login from an address that the proxy tells."""
    headers = {"x-forwarded-for": address}
    body = {"username": to, "password": password}
    return (await world.post("/v1/auth/token", body, **headers)).status_code


async def test_an_ipv6_site_is_one_client(replica):
    world = await replica(login_attempts=2, forwarded_for=True)
    owner = await world.owner()
    tries = [await guessing(world, f"2001:db8:7::{n:x}", owner["email"]) for n in range(1, 5)]
    assert tries == [401, 401, 429, 429]
    assert await guessing(world, "2001:db8:7:1::1", owner["email"]) == 401
    mapped = ("198.51.100.7", "::ffff:198.51.100.7", "::ffff:c633:6407")
    assert [await guessing(world, each, owner["email"]) for each in mapped] == [401, 401, 429]


async def test_guesses_from_many_addresses_do_not_lock_a_user_out_at_home(replica):
    world = await replica(login_attempts=1, forwarded_for=True)
    owner = await world.owner()
    assert await guessing(world, "203.0.113.1", owner["email"], PASSWORD) == 200
    tries = [await guessing(world, f"198.51.100.{n}", owner["email"]) for n in range(12)]
    assert tries == [401] * 10 + [429] * 2
    assert await guessing(world, "198.51.100.99", owner["email"], PASSWORD) == 429
    assert await guessing(world, "203.0.113.1", owner["email"], PASSWORD) == 200
    someone = await world.owner()
    assert await guessing(world, "198.51.100.1", someone["email"], PASSWORD) == 200


@pytest.mark.parametrize("known", [True, False], ids=["addresses", "no addresses"])
async def test_guesses_of_many_emails_are_stopped_and_who_logged_in_lately_is_not(replica, known):
    world = await replica(login_attempts=1, forwarded_for=known)
    owner, other = await world.owner(), await world.owner()
    assert await guessing(world, "203.0.113.1", owner["email"], PASSWORD) == 200
    spray = [await guessing(world, f"198.51.100.{n}", email()) for n in range(100)]
    assert spray == [401] * 100
    assert await guessing(world, "192.0.2.1", email()) == 429
    assert await guessing(world, "203.0.113.1", owner["email"], PASSWORD) == 200
    # Nothing tells those from nobody's who logged in lately.
    here = "203.0.113.1" if known else "192.0.2.1"
    assert await guessing(world, here, owner["email"]) == 429
    if known:
        assert await guessing(world, "192.0.2.2", other["email"], PASSWORD) == 429


async def test_a_login_that_succeeds_takes_its_count_back(replica):
    world = await replica(login_attempts=2)
    owner = await world.owner()
    for _ in range(4):
        assert (await world.log_in(owner["email"], "a wrong password")).status_code == 401
        assert (await world.log_in(owner["email"])).status_code == 200


async def test_an_invitation_is_for_one_address_once(here, owner):
    address = email()
    invitation = (
        await here.post("/v1/tenants/me/invitations", {"email": address}, owner["access_token"])
    ).json()
    body = {"password": PASSWORD, "name": "Bob", "invitation": invitation["token"]}
    wrong = await here.post("/v1/auth/register", body | {"email": email()})
    assert code(wrong) == (403, "permission_denied")
    right = await here.post("/v1/auth/register", body | {"email": address.upper()})
    assert (right.status_code, right.json()["role"]) == (201, "member")
    assert right.json()["tenant_id"] == owner["tenant_id"]
    again = await here.post("/v1/auth/register", body | {"email": address})
    assert code(again) == (401, "invalid_credentials")
    listed = (await here.get("/v1/tenants/me/invitations", owner["access_token"])).json()
    assert [i["is_open"] for i in listed["data"]] == [False, False]
    assert invitation["token"] not in str(listed)


async def test_an_invitation_that_was_taken_back_or_is_over_is_refused(here, owner):
    for end in ("revoke", "expire"):
        address = email()
        invitation = (
            await here.post("/v1/tenants/me/invitations", {"email": address}, owner["access_token"])
        ).json()
        if end == "revoke":
            path = f"/v1/tenants/me/invitations/{invitation['id']}"
            assert (await here.delete(path, owner["access_token"])).status_code == 200
        else:
            await here.database.execute(
                "UPDATE invitations SET expires_at = now() WHERE id = $1", invitation["id"]
            )
        body = {"email": address, "password": PASSWORD, "name": "Bob"}
        body["invitation"] = invitation["token"]
        assert code(await here.post("/v1/auth/register", body)) == (401, "invalid_credentials")


async def test_two_who_redeem_the_same_invitation_at_once_make_one_user(here, there, owner):
    address = email()
    invitation = (
        await here.post("/v1/tenants/me/invitations", {"email": address}, owner["access_token"])
    ).json()
    body = {
        "email": address,
        "password": PASSWORD,
        "name": "Bob",
        "invitation": invitation["token"],
    }
    answers = await asyncio.gather(
        *(world.post("/v1/auth/register", body) for world in (here, there) * 3)
    )
    assert sorted(a.status_code for a in answers)[0] == 201
    assert {a.status_code for a in answers} <= {201, 401, 409}
    assert sum(a.status_code == 201 for a in answers) == 1


async def test_nothing_secret_is_in_the_tables(here, owner):
    made = (await here.log_in(owner["email"])).json()
    secrets = [PASSWORD, made["refresh_token"], made["access_token"]]
    for table in ("users", "refresh_tokens", "invitations", "user_identities"):
        text = str([tuple(row) for row in await here.database.fetch(f"SELECT * FROM {table}")])
        assert not any(secret in text for secret in secrets)

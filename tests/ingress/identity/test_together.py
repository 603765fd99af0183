"""Many changes of a tenant at once, and a store that is away: never a 500, nor a 401 for it."""

import asyncio
import random
import signal

from tests.ingress.identity.world import CHAT, PASSWORD, email


async def test_changes_of_one_tenant_take_turns_and_never_deadlock(here, there, owner):
    token = owner["access_token"]
    people = [await here.invited("admin", token) for _ in range(4)]
    keys = [(await here.post("/v1/api-keys", {}, token)).json() for _ in range(4)]
    rng = random.Random(7)

    async def one(number):
        world, person = rng.choice((here, there)), rng.choice(people)
        key, path = rng.choice(keys), f"/v1/tenants/me/members/{person['user_id']}"
        invite = {"email": email(), "role": "viewer"}
        refresh = {"refresh_token": person["refresh_token"]}
        work = [
            lambda: world.put(path, {"role": rng.choice(("admin", "viewer"))}, token),
            lambda: world.put("/v1/tenants/me", {"name": f"n{number}"}, token),
            lambda: world.post("/v1/tenants/me/invitations", invite, person["access_token"]),
            lambda: world.post("/v1/auth/refresh", refresh),
            lambda: world.post("/v1/auth/logout", refresh),
            lambda: world.log_in(person["email"]),
            lambda: world.post(f"/v1/api-keys/{key['id']}/rotate", {"grace_s": 1}, token),
            lambda: world.delete(f"/v1/api-keys/{key['id']}", token),
            lambda: world.post("/v1/api-keys", {}, person["access_token"]),
            lambda: world.post("/v1/chat/completions", CHAT, person["access_token"]),
            lambda: world.delete(path, token),
        ]
        weights = [9, 5, 9, 9, 5, 9, 5, 5, 9, 9, 1]
        return (await rng.choices(work, weights)[0]()).status_code

    async def in_turn(number):
        async with crowd:
            return await one(number)

    crowd = asyncio.Semaphore(24)
    statuses = await asyncio.gather(*(in_turn(number) for number in range(150)))
    assert 500 not in statuses, statuses
    assert (await here.get("/v1/tenants/me", token)).status_code == 200


async def test_a_store_that_does_not_answer_is_a_503_and_nobody_is_called_invalid(
    here, owner, valkey_server
):
    token = owner["access_token"]
    fresh = (await here.log_in(owner["email"])).json()
    valkey_server.send_signal(signal.SIGSTOP)
    try:
        answers = await asyncio.gather(
            here.get("/v1/users/me", token),
            here.get("/v1/users/me", fresh["access_token"]),
            here.log_in(owner["email"]),
            here.log_in(owner["email"], f"wrong {PASSWORD}"),
            here.post("/v1/auth/register", {"email": email(), "password": PASSWORD, "name": "n"}),
        )
    finally:
        valkey_server.send_signal(signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [503, 503, 503, 503, 403]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[:4])
    assert (await here.get("/v1/users/me", token)).status_code == 200

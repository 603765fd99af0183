"""Whatever is sent to whatever endpoint of identity: an error of the dialect, never a 500."""

import logging

import pytest

from tests.ingress.identity.world import PASSWORD

BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"unknown": 1}',
    b'{"email": 7, "password": [], "name": {}, "role": "god", "grace_s": 1e400}',
    b'{"email": "' + b"a" * 5000 + b'@example.com", "password": "x", "name": "n"}',
    b'{"email": "a@b.co", "name": "n", "password": "' + b"\\u0000" * 10 + b'"}',
    b'{"username": "a@b.co\' OR 1=1 --", "password": "\' OR 1=1 --"}',
    b'{"username": "a@b.co", "password": "%s"}' % PASSWORD.encode(),
    b'{"refresh_token": "\\u0000"}',
    b'{"invitation": "\\u0000", "role": null}',
    b'{"time_zone": "/etc/localtime", "name": "\\n"}',
    b'{"tenant_id": "\\u0000", "username": "a@b.co", "password": "aaaaaaaaaaaa"}',
    b"x" * 70_000,
]
IDS = ["me", "nope", "%00", "a'%20OR%20'1'='1", "x" * 300, "%F0%9F%94%94", "u-0123456789abcdef"]


async def requests(world):
    for endpoint in world.application.endpoints:
        if endpoint.path.startswith(("/v1/models/", "/v1/chat", "/v1/completions", "/v1/embed")):
            continue
        ids = IDS if "{" in endpoint.path else [""]
        for one in ids:
            path = endpoint.path
            while "{" in path:
                start, end = path.index("{"), path.index("}")
                path = path[:start] + one + path[end + 1 :]
            for body in BODIES if endpoint.request is not None else [b""]:
                yield endpoint.method, path, body


@pytest.mark.parametrize("who", ["nobody", "owner", "operator"])
async def test_no_input_is_a_server_error(replica, caplog, who):
    world = await replica(registration="open", login_attempts=10_000)
    owner = await world.owner()
    caplog.set_level(logging.DEBUG)
    credential = {"nobody": None, "owner": owner["access_token"], "operator": world.operator}[who]
    met = 0
    async with world.client(credential) as client:
        async for method, path, body in requests(world):
            for kind in ("application/json", "application/x-www-form-urlencoded"):
                response = await client.request(
                    method, path, content=body, headers={"content-type": kind}
                )
                met += 1
                assert response.status_code < 500, (method, path, body[:200], response.text)
                if response.status_code >= 400:
                    error = response.json()["error"]
                    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
                    assert PASSWORD not in response.text
    assert met > 200
    assert PASSWORD not in caplog.text
    assert owner["refresh_token"] not in caplog.text
    assert owner["access_token"] not in caplog.text


async def test_query_strings_are_checked(here, owner):
    for query in ("limit=0", "limit=x", "limit=101", "after=%00", "after=nope", "limit=1"):
        for path in ("/v1/tenants/me/members", "/v1/tenants/me/invitations"):
            response = await here.get(f"{path}?{query}", owner["access_token"])
            assert response.status_code in (200, 400, 404)


async def test_pages_of_members_and_invitations_are_whole(here, owner):
    token = owner["access_token"]
    people = [await here.invited("viewer", token) for _ in range(4)]
    for path, ids in (
        ("/v1/tenants/me/members", [owner["user_id"], *(p["user_id"] for p in people)]),
        ("/v1/tenants/me/invitations", None),
    ):
        found, after = [], ""
        for _ in range(10):
            page = (await here.get(f"{path}?limit=2{after}", token)).json()
            found += [one["id"] for one in page["data"]]
            after = f"&after={page['last_id']}"
            if not page["has_more"]:
                break
        assert len(found) == len(set(found))
        assert ids is None or found == ids

"""Tokens of other identity providers: believed as far as the configuration says, and no further."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.errors import SettingsError
from tests.ingress.identity.world import CHAT

ISSUER = "https://sso.example.com"
SECRET = "a secret of thirty-two bytes or more"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = Ed25519PrivateKey.generate()
ALGORITHMS: dict[str, tuple[Any, Any]] = {
    "RS256": (RSA, jwt.algorithms.RSAAlgorithm),
    "ES256": (EC, jwt.algorithms.ECAlgorithm),
    "EdDSA": (ED, jwt.algorithms.OKPAlgorithm),
}


def jwks(*algorithms: str):
    keys = []
    for name in algorithms:
        private, kind = ALGORITHMS[name]
        keys.append(json.loads(kind.to_jwk(private.public_key())) | {"kid": name, "use": "sig"})
    return {"keys": keys}


def token(key=SECRET, algorithm="HS256", headers=None, **claims):
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "carillon", "sub": "ada", "iat": now, "exp": now + 600}
    said = {name: value for name, value in (said | claims).items() if value is not None}
    return jwt.encode(said, key, algorithm, headers)


def issuer(tmp_path, **changes):
    path = tmp_path / "shared-secret"
    path.write_text(SECRET)
    fields = {
        "issuer": ISSUER,
        "algorithm": "HS256",
        "audience": "carillon",
        "secret": f"file:{path}",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


@pytest.fixture
async def tenant(here):
    return (await here.directory.create_tenant("Staff", "pro")).id


def chat(world, credential):
    return world.post("/v1/chat/completions", CHAT, credential, **{"cache-control": "no-store"})


async def test_a_shared_secret_lets_its_users_in_and_makes_them_once(replica, tenant, tmp_path):
    world = await replica(issuers=[issuer(tmp_path, tenant=tenant)])
    other = await replica(issuers=[issuer(tmp_path, tenant=tenant)])
    subject = f"ada-{tenant}"
    answers = await asyncio.gather(
        *(
            chat(w, token(sub=subject, name="Ada", jti=str(n)))
            for n, w in enumerate((world, other) * 4)
        )
    )
    assert {a.status_code for a in answers} == {200}
    me = (await world.get("/v1/users/me", token(sub=subject))).json()
    assert (me["name"], me["email"], me["role"]) == ("Ada", None, "member")
    rows = await world.database.fetch("SELECT * FROM memberships WHERE tenant_id = $1", tenant)
    assert len(rows) == 1


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
async def test_public_keys_verify_and_nothing_else_does(replica, tenant, tmp_path, algorithm):
    private, _ = ALGORITHMS[algorithm]
    settings = issuer(
        tmp_path, tenant=tenant, secret=None, algorithm=algorithm, jwks=jwks(algorithm)
    )
    world = await replica(issuers=[settings])
    good = token(private, algorithm, {"kid": algorithm}, sub=tenant)
    assert (await chat(world, good)).status_code == 200
    assert (await chat(world, token(private, algorithm, sub=tenant))).status_code == 200
    for bad in (
        token(private, algorithm, {"kid": "other"}),
        token(private, algorithm, {"kid": algorithm}, aud="others"),
        token(private, algorithm, {"kid": algorithm}, aud=None),
        token(private, algorithm, {"kid": algorithm}, iss="https://evil.example"),
        token(private, algorithm, {"kid": algorithm}, iss="carillon"),
        token(private, algorithm, {"kid": algorithm}, exp=int(time.time()) - 60),
        token(private, algorithm, {"kid": algorithm}, exp=None),
        token(private, algorithm, {"kid": algorithm}, nbf=int(time.time()) + 600),
        token(private, algorithm, {"kid": algorithm}, sub=None),
        token(private, algorithm, {"kid": algorithm}, sub="nul\x00"),
        token(SECRET, "HS256", {"kid": algorithm}),
    ):
        assert (await chat(world, bad)).status_code == 401
    for name, (other, _) in ALGORITHMS.items():
        if name != algorithm:
            confused = token(other, name, {"kid": algorithm})
            assert (await chat(world, confused)).status_code == 401


async def test_a_public_key_is_no_secret_of_an_issuer(replica, tenant, tmp_path):
    settings = issuer(tmp_path, tenant=tenant, secret=None, algorithm="RS256", jwks=jwks("RS256"))
    world = await replica(issuers=[settings])
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jws = jwt.api_jws.PyJWS()
    forger: Any = jws._algorithms["HS256"]
    forger.prepare_key = lambda key: key  # what an attacker would do
    payload = json.dumps(
        {"iss": ISSUER, "aud": "carillon", "sub": "x", "iat": 1, "exp": 2**32}
    ).encode()
    forged = jws.encode(payload, pem, "HS256", {"kid": "RS256"})
    assert (await chat(world, forged)).status_code == 401


async def test_a_claim_names_the_tenant_but_never_the_operators(replica, tenant, tmp_path):
    world = await replica(issuers=[issuer(tmp_path, tenant_claim="org")])
    subject = f"s-{tenant}"
    assert (await chat(world, token(sub=subject, org=tenant))).status_code == 200
    for org in ("operator", "nowhere", None, 7, ["x"], "nul\x00", "x" * 300):
        assert (await chat(world, token(sub=subject, org=org))).status_code == 401
    second = (await world.directory.create_tenant("Second", "pro")).id
    assert (await chat(world, token(sub=subject, org=second))).status_code == 200
    me = (await world.get("/v1/users/me", token(sub=subject, org=second))).json()
    assert {t["tenant_id"] for t in me["tenants"]} == {tenant, second}


async def test_roles_follow_the_token(replica, tenant, tmp_path):
    settings = issuer(
        tmp_path,
        tenant=tenant,
        role="viewer",
        role_claim="groups",
        roles={"staff": "member", "leads": "admin"},
    )
    world = await replica(issuers=[settings])

    async def role(groups):
        mine = token(sub=f"r-{tenant}", groups=groups)
        return (await world.get("/v1/users/me", mine)).json()["role"]

    assert await role(["staff", "leads"]) == "admin"
    key = token(sub=f"r-{tenant}", groups="leads")
    made = (await world.post("/v1/api-keys", {"scopes": ["inference", "usage"]}, key)).json()
    assert (await chat(world, made["key"])).status_code == 200
    assert await role("staff") == "member"
    assert await role(["owner", 7, None]) == "viewer"
    # What the user made follows as well.
    assert (await chat(world, made["key"])).status_code == 403


async def test_an_older_token_does_not_bring_a_former_role_back(replica, tenant, tmp_path):
    settings = issuer(
        tmp_path, tenant=tenant, role="viewer", role_claim="groups", roles={"leads": "admin"}
    )
    world, other = await replica(issuers=[settings]), await replica(issuers=[settings])
    now, subject = int(time.time()), f"old-{tenant}"

    def said(groups, ago):
        return token(sub=subject, groups=groups, iat=now - ago)

    async def role(mine, at=world):
        return (await at.get("/v1/users/me", mine)).json()["role"]

    lead, between = said("leads", 300), said("leads", 150)
    assert await role(lead) == "admin"
    assert await role(said("staff", 200)) == "viewer"
    assert await role(said("staff", 100)) == "viewer"
    for at in (world, other):
        for older in (lead, between):
            assert await role(older, at) == "viewer"
            assert (await at.post("/v1/api-keys", {}, older)).status_code == 403
    rows = await world.database.fetch("SELECT role FROM memberships WHERE tenant_id = $1", tenant)
    assert [row["role"] for row in rows] == ["viewer"]
    assert await role(said("leads", 50), other) == "admin"


async def test_a_role_that_was_changed_here_holds_until_a_newer_token(replica, tenant, tmp_path):
    settings = issuer(
        tmp_path, tenant=tenant, role="viewer", role_claim="groups", roles={"leads": "admin"}
    )
    world = await replica(issuers=[settings])
    now, subject = int(time.time()), f"here-{tenant}"
    lead = token(sub=subject, groups="leads", iat=now - 60)
    user = (await world.get("/v1/users/me", lead)).json()["id"]
    scopes = ["inference", "usage", "keys", "members"]
    made = await world.post("/v1/api-keys", {"scopes": scopes, "tenant_id": tenant}, world.operator)
    path = f"/v1/tenants/me/members/{user}"
    changed = await world.put(path, {"role": "viewer"}, made.json()["key"])
    assert changed.status_code == 200, changed.text
    assert (await world.get("/v1/users/me", lead)).json()["role"] == "viewer"
    newer = token(sub=subject, groups="leads", iat=int(time.time()) + 5)
    assert (await world.get("/v1/users/me", newer)).json()["role"] == "admin"


async def test_who_was_removed_stays_out(replica, tenant, tmp_path):
    world = await replica(issuers=[issuer(tmp_path, tenant=tenant)])
    mine = token(sub=f"gone-{tenant}")
    user = (await world.get("/v1/users/me", mine)).json()["id"]
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", user)
    fresh = token(sub=f"gone-{tenant}", jti="2")
    assert (await chat(world, fresh)).status_code == 401


async def test_a_foreign_user_with_a_known_email_is_somebody_else(replica, tmp_path):
    plain = await replica()
    owner = await plain.owner()
    settings = issuer(tmp_path, tenant=owner["tenant_id"], role="viewer")
    world = await replica(issuers=[settings])
    mine = token(sub=owner["user_id"], email=owner["email"], email_verified=True)
    me = (await world.get("/v1/users/me", mine)).json()
    assert me["id"] != owner["user_id"]
    assert (me["email"], me["role"]) == (None, "viewer")
    change = {"password": "another password", "current_password": "x" * 10}
    assert (await world.put("/v1/users/me", change, mine)).status_code == 403
    assert (await world.post("/v1/auth/logout", {}, mine)).status_code == 403


async def test_settings_that_would_accept_too_much_are_refused(replica, tmp_path):
    weak = tmp_path / "weak"
    weak.write_text("short")
    for changes in (
        {},
        {"tenant": "t", "tenant_claim": "org"},
        {"tenant": "t", "secret": None},
        {"tenant": "t", "jwks": jwks("RS256")},
        {"tenant": "t", "algorithm": "none"},
        {"tenant": "t", "algorithm": "RS256"},
        {"tenant": "t", "issuer": "carillon"},
        {"tenant": "t", "secret": SECRET},
    ):
        with pytest.raises(ValueError, match="validation error"):
            await replica(issuers=[issuer(tmp_path, **changes)])
    with pytest.raises(SettingsError):
        await replica(issuers=[issuer(tmp_path, tenant="t", secret=f"file:{weak}")])
    useless: list[dict[str, Any]] = [jwks("EdDSA"), {"keys": []}, {}]
    for wrong in useless:
        settings = issuer(tmp_path, tenant="t", secret=None, algorithm="RS256", jwks=wrong)
        with pytest.raises(SettingsError):
            await replica(issuers=[settings])

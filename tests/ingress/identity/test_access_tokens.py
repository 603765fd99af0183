"""Access tokens: forged, confused, expired, for somebody else; each is a 401 and nothing more."""

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth.access_tokens import AccessTokens, looks_like_token
from auth.principal import Role
from tests.ingress.identity.world import CHAT, PEPPER


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts(token: str):
    header, payload, signature = token.split(".")
    return (
        json.loads(base64.urlsafe_b64decode(header + "==")),
        json.loads(base64.urlsafe_b64decode(payload + "==")),
        signature,
    )


def assembled(header, payload, signature: str) -> str:
    return ".".join(
        (encoded(json.dumps(header).encode()), encoded(json.dumps(payload).encode()), signature)
    )


def signed(world, header=None, **claims):
    """A token of the world's own key, with some claims changed; None leaves one out."""
    mine = world.identity.tokens
    fresh = mine.issue("u", "t", Role.MEMBER, "s").token.get_secret_value()
    head, payload, _ = parts(fresh)
    payload = {k: v for k, v in (payload | claims).items() if v is not None}
    head = head | (header or {})
    return jwt.encode(payload, mine._key._private, "EdDSA", headers=head)


async def refused(world, token: str) -> None:
    assert looks_like_token(token) or token.endswith(".")
    for response in (
        await world.get("/v1/users/me", token),
        await world.post("/v1/chat/completions", CHAT, token),
    ):
        assert response.status_code == 401
        assert response.json()["error"]["code"] in ("invalid_api_key", "expired_api_key")
        assert token not in response.text


@pytest.fixture
def token(owner) -> str:
    return str(owner["access_token"])


@pytest.fixture
def good(owner):
    """Claims of a session that stands."""
    _, payload, _ = parts(owner["access_token"])
    return {name: payload[name] for name in ("sub", "tid", "sid")}


async def test_the_claims_are_those_of_the_profile(here, owner, token, good):
    header, payload, _ = parts(token)
    assert header == {
        "alg": "EdDSA",
        "typ": "at+jwt",
        "kid": here.identity.tokens.jwks["keys"][0]["kid"],
    }
    assert payload["sub"] == owner["user_id"]
    assert payload["tid"] == owner["tenant_id"]
    assert (payload["iss"], payload["aud"]) == ("carillon", "carillon")
    assert payload["exp"] - payload["iat"] == 900
    assert (await here.get("/v1/users/me", signed(here, **good))).status_code == 200


async def test_the_public_key_verifies_our_tokens_elsewhere(here, token):
    response = await here.get("/.well-known/jwks.json")
    (key,) = response.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}
    claims = jwt.decode(
        token, jwt.PyJWK(key).key, ["EdDSA"], audience="carillon", issuer="carillon"
    )
    assert claims["role"] == "owner"


async def test_no_signature_and_no_algorithm_is_refused(here, token):
    header, payload, signature = parts(token)
    for algorithm in ("none", "None", "NONE", ""):
        for end in ("", signature):
            await refused(here, assembled(header | {"alg": algorithm}, payload, end))


async def test_the_public_key_is_no_shared_secret(here, token):
    """RFC 8725, section 2.1: an HMAC with the public key, which everybody has."""
    header, payload, _ = parts(token)
    public = here.identity.tokens._key.public
    for secret in (
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        here.identity.tokens.jwks["keys"][0]["x"].encode(),
    ):
        start = assembled(header | {"alg": "HS256"}, payload, "").rstrip(".")
        forged = encoded(hmac.digest(secret, start.encode(), "sha256"))
        await refused(here, f"{start}.{forged}")


async def test_another_key_is_refused_whatever_it_calls_itself(here, token):
    header, payload, _ = parts(token)
    other = Ed25519PrivateKey.generate()
    x = encoded(other.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": x}
    for more in ({}, {"kid": "other"}, {"jwk": jwk}, {"jku": "https://evil.example/keys"}):
        await refused(here, jwt.encode(payload, other, "EdDSA", headers=header | more))


async def test_a_changed_claim_breaks_the_signature(here, token, stranger):
    header, payload, signature = parts(token)
    for change in ({"tid": stranger["tenant_id"]}, {"role": "owner"}, {"exp": 2**33}):
        await refused(here, assembled(header, payload | change, signature))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "others"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"tid": None},
        {"sid": None},
        {"sid": "no-such-session"},
        {"exp": None},
        {"exp": "soon"},
        {"exp": time.time() - 60},
        {"iat": None},
        {"iat": time.time() + 36_000},
        {"nbf": time.time() + 36_000},
        {"sub": "nobody"},
        {"tid": "nowhere"},
    ],
)
async def test_claims_that_do_not_hold_are_refused_even_when_signed(here, good, claims):
    await refused(here, signed(here, **(good | claims)))


async def test_a_token_of_another_type_is_refused(here, good):
    for header in ({"typ": "JWT"}, {"typ": None}, {"kid": None}, {"kid": "x"}, {"crit": ["x"]}):
        try:
            forged = signed(here, header, **good)
        except (TypeError, jwt.PyJWTError):
            continue  # nobody can make it with this library
        await refused(here, forged)


async def test_a_tenant_that_the_user_is_no_member_of_is_refused(here, good, stranger):
    await refused(here, signed(here, **(good | {"tid": stranger["tenant_id"]})))


async def test_an_expired_token_says_so_and_a_remembered_one_ends_on_time(replica):
    world = await replica(access_token_s=1)
    owner = await world.owner()
    late = AccessTokens(PEPPER, lifetime_s=-60)
    _, payload, _ = parts(owner["access_token"])
    old = late.issue(payload["sub"], payload["tid"], Role.OWNER, payload["sid"])
    response = await world.get("/v1/users/me", old.token.get_secret_value())
    assert (response.status_code, response.json()["error"]["code"]) == (401, "expired_api_key")


@pytest.mark.parametrize(
    "token",
    [
        "eyJ.eyJ.x",
        "eyJhbGciOiJFZERTQSJ9." + encoded(b"[" * 2000) + ".x",
        encoded(b'{"alg":"EdDSA","x":' + b"[" * 900 + b"]" * 900 + b"}") + ".e30.x",
        encoded(b'{"alg":"EdDSA"}') + "." + encoded(b'{"iss":"carillon","exp":1e400}') + ".x",
        encoded(b'{"alg":"EdDSA"}') + "." + encoded(b'{"iss":"carillon"}') + ".x",
        encoded(b'{"alg":"EdDSA"}') + "." + encoded(b'{"iss":7}') + ".xx",
        encoded(b'{"alg":"EdDSA"}') + "." + encoded(b"\xff\xfe") + ".xx",
        encoded(b'{"alg":"EdDSA"}') + ".A.A",
        "eyJ" + "a" * 4096 + ".a.a",
        "eyJ" + "a" * 600,
    ],
)
async def test_garbage_in_the_form_of_a_token_is_a_401(here, token):
    response = await here.get("/v1/users/me", token)
    assert response.status_code == 401


async def test_a_token_and_a_key_together_are_a_401(here, owner):
    headers = {"x-api-key": here.operator}
    response = await here.post("/v1/chat/completions", CHAT, owner["access_token"], **headers)
    assert response.status_code == 401


async def test_a_token_is_read_from_whatever_header_keys_come_in(here, owner):
    async with here.client() as client:
        for name in ("x-api-key", "X-Admin-Key"):
            response = await client.get("/v1/users/me", headers={name: owner["access_token"]})
            assert response.status_code == 200


async def test_another_signing_secret_ends_every_token(here, replica, owner, tmp_path):
    path = tmp_path / "signing-secret"
    path.write_text("a new secret that is long enough")
    world = await replica(signing_secret=f"file:{path}")
    await refused(world, owner["access_token"])
    again = (await world.log_in(owner["email"])).json()
    assert (await world.get("/v1/users/me", again["access_token"])).status_code == 200

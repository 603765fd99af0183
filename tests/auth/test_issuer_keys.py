"""Keys of identity providers at a URL: read when needed, not more often, kept through outages."""

import json

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth.issuer_keys import KeysAtUrl, public_keys
from core.errors import InvalidKey, Unavailable

URL = "https://sso.example.com/keys"


def jwk(key_id, **more):
    public = Ed25519PrivateKey.generate().public_key()
    return json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(public)) | {"kid": key_id} | more


class Provider:
    """An identity provider whose answer a test sets."""

    def __init__(self):
        self.asked = 0
        self.answer = lambda: httpx.Response(200, json={"keys": [jwk("one")]})

    def __call__(self, request):
        self.asked += 1
        return self.answer()


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def now():
    return [1000.0]


@pytest.fixture
def keys(provider, now):
    return KeysAtUrl(URL, "EdDSA", httpx.MockTransport(provider), lambda: now[0])


async def test_keys_are_read_once_and_remembered(keys, provider):
    for _ in range(3):
        assert await keys.find("one")
    assert await keys.find(None)
    assert provider.asked == 1


async def test_an_unknown_key_is_asked_for_at_most_once_a_minute(keys, provider, now):
    await keys.find("one")
    for _ in range(5):
        with pytest.raises(InvalidKey):
            await keys.find("two")
    assert provider.asked == 1
    provider.answer = lambda: httpx.Response(200, json={"keys": [jwk("two")]})
    now[0] += 61
    assert await keys.find("two")
    assert provider.asked == 2


async def test_withdrawn_keys_are_forgotten_within_the_hour(keys, provider, now):
    await keys.find("one")
    provider.answer = lambda: httpx.Response(200, json={"keys": [jwk("two")]})
    now[0] += 3601
    with pytest.raises(InvalidKey):
        await keys.find("one")


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(500),
        lambda: httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
        lambda: httpx.Response(200, content=b"not JSON"),
        lambda: httpx.Response(200, json=[]),
        lambda: httpx.Response(200, content=b" " * 300_000),
    ],
)
async def test_an_outage_is_a_503_at_first_and_unnoticed_later(keys, provider, now, answer):
    good, provider.answer = provider.answer, answer
    with pytest.raises(Unavailable):
        await keys.find("one")
    provider.answer = good
    now[0] += 61
    assert await keys.find("one")
    provider.answer = answer
    now[0] += 3601
    assert await keys.find("one")


def test_only_public_keys_for_signatures_of_the_algorithm_count():
    good = jwk("good", use="sig", alg="EdDSA")
    document = {
        "keys": [
            good,
            jwk("enc", use="enc"),
            jwk("other", alg="ES256"),
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            jwk("private", d="AAAA"),
            {"kid": "broken", "kty": "OKP"},
            {},
            "text",
            jwk(["a", "list"], use="enc"),
        ]
    }
    assert set(public_keys(document, "EdDSA")) == {"good"}

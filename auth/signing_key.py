"""A signing key of this installation: Ed25519 (RFC 8037), derived from a secret and a label.

Place in the path: under access tokens and receipts. The same secret gives a key for each purpose,
and from none of them the secret or another key can be told. What is signed is its users' affair.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

ALGORITHM = "EdDSA"


class SigningKey:
    """One key pair.

    Args:
        secret: what it is derived from: a new secret is a new key.
        label: what it is for.
    """

    def __init__(self, secret: SecretStr, label: bytes) -> None:
        seed = hmac.digest(secret.get_secret_value().encode(), label, "sha256")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key()
        raw = self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": _encoded(raw)}
        # RFC 7638: the thumbprint of the key is its name.
        self.key_id = _encoded(hashlib.sha256(orjson.dumps(jwk)).digest())
        self.jwk = jwk | {"kid": self.key_id, "use": "sig", "alg": ALGORITHM}
        """The public half, as a JSON web key (RFC 7517)."""

    def signed(self, payload: Mapping[str, Any], kind: str) -> str:
        """`payload` as a compact JWS (RFC 7515) of the type `kind`."""
        headers = {"typ": kind, "kid": self.key_id}
        return jwt.encode(dict(payload), self._private, ALGORITHM, headers)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""Receipts: what a request cost, signed, so that it can be shown to somebody else.

Place in the path: long after it, made from the ledger's row. A receipt is a JWS (RFC 7515) over the
row's facts, with a key of its own derived from the pepper; who has the public key can verify it
without this installation. It does not compute anything: the row says it.
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

from core.work import FIELDS

ALGORITHM = "EdDSA"
TYPE = "receipt+jwt"
LABEL = b"carillon: seed of the Ed25519 key of receipts, 1"
RUNNING = "admitted"
"""Status of a row whose request has not ended: there is nothing to sign yet."""
COPIED = (
    *("request_id", "tenant_id", "api_key_id", "user_id", "endpoint", "operation", "model"),
    *("revision", "streamed", "cache", "status", "status_code", "error_code"),
    *("currency", "prices", "exact", "response_time_ms", "ttft_ms"),
)


def receipt_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of one row of the ledger. Money is a decimal number as text, exactly."""
    other = orjson.loads(row["other_units"])
    units = {
        name: row[name] if name in row else other.get(name, 0) for name in FIELDS
    }  # a Record has no default
    settled = row["settled_at"]
    return {
        "object": "receipt",
        **{name: row[name] for name in COPIED},
        "trace_id": orjson.loads(row["details"]).get("trace_id"),
        "units": {name: count for name, count in units.items() if count},
        "money": format(row["money"], "f"),
        "admitted_at": row["admitted_at"].isoformat(),
        "settled_at": None if settled is None else settled.isoformat(),
    }


class ReceiptSigner:
    """Signs receipts and shows the key to verify them with.

    Args:
        pepper: what the signing key is derived from.
    """

    def __init__(self, pepper: SecretStr) -> None:
        seed = hmac.digest(pepper.get_secret_value().encode(), LABEL, "sha256")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": _encoded(public)}
        # RFC 7638: the thumbprint of the key is its name.
        key_id = _encoded(hashlib.sha256(orjson.dumps(jwk)).digest())
        self.jwk = jwk | {"kid": key_id, "use": "sig", "alg": ALGORITHM}

    def signed(self, receipt: Mapping[str, Any]) -> str:
        """The receipt as a compact JWS."""
        headers = {"typ": TYPE, "kid": self.jwk["kid"]}
        return jwt.encode(dict(receipt), self._private, ALGORITHM, headers)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

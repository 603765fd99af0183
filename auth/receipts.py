"""Receipts: what a request cost, signed, so that it can be shown to somebody else.

Place in the path: long after it, made from the ledger's row. A receipt is a JWS (RFC 7515) over the
row's facts, with a key of its own derived from the pepper; who has the public key can verify it
without this installation. It does not compute anything: the row says it.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import SecretStr

from auth.signing_key import SigningKey
from core.work import FIELDS

TYPE = "receipt+jwt"
LABEL = b"carillon: seed of the Ed25519 key of receipts, 1"
RUNNING = "admitted"
"""Status of a row whose request has not ended: there is nothing to sign yet."""
COPIED = (
    *("request_id", "tenant_id", "api_key_id", "user_id", "endpoint", "operation", "model"),
    *("revision", "streamed", "cache", "status", "status_code", "error_code"),
    *("currency", "prices", "exact", "response_time_ms", "ttft_ms", "device_seconds"),
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
        self._key = SigningKey(pepper, LABEL)
        self.jwk = self._key.jwk

    def signed(self, receipt: Mapping[str, Any]) -> str:
        """The receipt as a compact JWS."""
        return self._key.signed(receipt, TYPE)

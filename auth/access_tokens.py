"""Access tokens: signed statements of who logged in, good for some minutes.

Place in the path: made at login and refresh; step 2 (identify) verifies them. They say who calls,
not what that user may do: rights are read from the database, like a key's.

JWT (RFC 7519) of the profile for access tokens (RFC 9068), signed with Ed25519 (RFC 8037). The
algorithm, the key, the issuer and the audience are ours to say, never the token's (RFC 8725).
"""

import base64
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
from pydantic import SecretStr

from auth.principal import Role
from auth.signing_key import ALGORITHM, SigningKey
from core.errors import ExpiredKey, InvalidKey

MAX_TOKEN_BYTES = 4096
LEEWAY_S = 30
TYPE = "at+jwt"
TOKEN_PATTERN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
REQUIRED = ("iss", "aud", "sub", "exp", "iat")
LABEL = b"carillon: seed of the Ed25519 key of access tokens, 1"
MALFORMED = (jwt.PyJWTError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError)
"""What reading a hostile token can raise."""


def looks_like_token(credential: str) -> bool:
    """Whether a credential has a token's form: three parts, none empty, not too long."""
    return (
        credential.startswith("eyJ")
        and len(credential) <= MAX_TOKEN_BYTES
        and TOKEN_PATTERN.fullmatch(credential) is not None
    )


def claimed_issuer(token: str) -> str | None:
    """Who a token says made it: only good for choosing how to verify it."""
    try:
        payload = orjson.loads(_decoded(token.split(".")[1]))
    except ValueError:
        return None
    issuer = payload.get("iss") if isinstance(payload, dict) else None
    return issuer if isinstance(issuer, str) else None


def invalid_token() -> InvalidKey:
    """The one answer to every token that is not good."""
    return InvalidKey("the access token is not valid")


def verified(
    token: str, key: Any, algorithm: str, issuer: str, audience: str | None
) -> dict[str, Any]:
    """Header and claims (`header`, `payload`) of a token that holds in every respect.

    Args:
        audience: None for issuers whose secret is for one audience only, and who name none.

    Raises InvalidKey, ExpiredKey.
    """
    try:
        return jwt.decode_complete(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_S,
            options={
                "require": [name for name in REQUIRED if audience is not None or name != "aud"],
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.ExpiredSignatureError as error:
        raise ExpiredKey("the access token has expired") from error
    except MALFORMED as error:
        raise invalid_token() from error


def ends_at(payload: dict[str, Any]) -> datetime:
    """When a verified token stops being good here."""
    try:
        return datetime.fromtimestamp(int(payload["exp"]) + LEEWAY_S, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise invalid_token() from error


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new access token."""

    token: SecretStr
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token of ours states."""

    user_id: str
    tenant_id: str
    session: str
    expires_at: datetime


class AccessTokens:
    """Makes and verifies the tokens of this installation.

    Args:
        secret: what the signing key is derived from; a new one ends every access token.
        issuer, audience: `iss` and `aud`.
        lifetime_s: how long a token lasts.
        clock: Unix time.
    """

    def __init__(
        self,
        secret: SecretStr,
        issuer: str = "carillon",
        audience: str = "carillon",
        lifetime_s: int = 900,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = SigningKey(secret, LABEL)
        self._clock = clock
        self.issuer = issuer
        self._audience = audience
        self._lifetime_s = lifetime_s
        self.jwks = {"keys": [self._key.jwk]}

    def issue(self, user_id: str, tenant_id: str, role: Role, session: str) -> IssuedToken:
        """A token for a user in a tenant. `role` is for clients to show."""
        now = int(self._clock())
        claims = {
            "iss": self.issuer,
            "aud": self._audience,
            "sub": user_id,
            "tid": tenant_id,
            "sid": session,
            "role": role.value,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + self._lifetime_s,
        }
        return IssuedToken(SecretStr(self._key.signed(claims, TYPE)), self._lifetime_s)

    def verify(self, token: str) -> Claims:
        """What a token of ours states. Raises InvalidKey, ExpiredKey."""
        found = verified(token, self._key.public, ALGORITHM, self.issuer, self._audience)
        header, payload = found["header"], found["payload"]
        names = [payload.get(name) for name in ("sub", "tid", "sid")]
        if header.get("typ") != TYPE or header.get("kid") != self._key.key_id:
            raise invalid_token()
        if not all(isinstance(name, str) for name in names):
            raise invalid_token()
        return Claims(names[0], names[1], names[2], ends_at(payload))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Foreign issuers: tokens of identity providers that the operator trusts.

Place in the path: step 2. An issuer is found by the token's `iss`, and everything else is the
configuration's word: algorithm, keys, audience, tenant. This module creates no users.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from auth.access_tokens import claimed_issuer, ends_at, invalid_token, verified
from auth.directory import OPERATOR
from auth.identity_settings import IssuerSettings
from auth.issuer_keys import Keys, keys_of
from auth.principal import Role
from auth.roles import RANK

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Stranger:
    """A user as an identity provider states it."""

    issuer: str
    subject: str
    tenant_id: str
    role: Role
    role_is_stated: bool
    """Whether the token named the role; else it is what the configuration gives to newcomers."""
    name: str
    issued_at: datetime
    """When the provider said so."""
    expires_at: datetime


class Issuer:
    """One identity provider."""

    def __init__(self, settings: IssuerSettings, keys: Keys | None = None) -> None:
        self.settings = settings
        self._keys = keys_of(settings) if keys is None else keys

    async def verify(self, token: str) -> Stranger:
        """Who a token states. Raises InvalidKey, ExpiredKey, Unavailable."""
        settings = self.settings
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise invalid_token() from error
        key = await self._keys.find(key_id)
        found = verified(token, key, settings.algorithm, settings.issuer, settings.audience)
        claims = found["payload"]
        return Stranger(
            issuer=settings.issuer,
            subject=_text(claims.get(settings.user_claim)),
            tenant_id=self._tenant(claims),
            role=self._role(claims),
            role_is_stated=settings.role_claim is not None,
            name=_name(claims),
            issued_at=_issued_at(claims),
            expires_at=ends_at(claims),
        )

    def _tenant(self, claims: dict[str, Any]) -> str:
        if self.settings.tenant is not None:
            return self.settings.tenant
        tenant = _text(claims.get(self.settings.tenant_claim or ""))
        if tenant == OPERATOR:
            raise invalid_token()
        return tenant

    def _role(self, claims: dict[str, Any]) -> Role:
        if self.settings.role_claim is None:
            return self.settings.role
        stated = claims.get(self.settings.role_claim)
        names = stated if isinstance(stated, list) else [stated]
        known = self.settings.roles
        roles = [known[name] for name in names if isinstance(name, str) and name in known]
        return max(roles, key=RANK.__getitem__, default=self.settings.role)


class Issuers:
    """All of them, by name."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self._issuers = {issuer.settings.issuer: issuer for issuer in issuers}

    async def verify(self, token: str) -> Stranger:
        """Who a token states. Raises InvalidKey, ExpiredKey, Unavailable."""
        issuer = self._issuers.get(claimed_issuer(token) or "")
        if issuer is None:
            raise invalid_token()
        return await issuer.verify(token)


def _text(value: Any) -> str:
    """A claim that names something: a printable string, or a number as one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or len(value) > MAX_NAME or not value.isprintable():
        raise invalid_token()
    return value


def _issued_at(claims: dict[str, Any]) -> datetime:
    """`iat`, which has been checked to be a number that is not ahead."""
    try:
        return datetime.fromtimestamp(float(claims["iat"]), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise invalid_token() from error


def _name(claims: dict[str, Any]) -> str:
    """What people call the user: the first claim that says so, else its id."""
    for claim in ("name", "preferred_username", "email", "sub"):
        value = claims.get(claim)
        if isinstance(value, str) and value and value.isprintable():
            return value[:MAX_NAME]
    return "unnamed"

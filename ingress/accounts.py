"""API keys over HTTP: create, list, rotate, revoke, verify.

Place in the path: beside it; these requests are authenticated and cost no units. Rules (who may
grant what, whose keys are whose) are `auth`'s; this module speaks JSON.
"""

from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from auth.accounts import (
    MAX_POSTGRES_INTEGER,
    ApiKey,
    IssuedKey,
    KeyEdit,
    KeyGrant,
    PlainText,
    Verification,
)
from auth.directory import Directory
from auth.plans import LimitSet
from auth.principal import Principal, Scope
from core.errors import InvalidKey
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.paging import AscendingPage, ordered_page_of
from ingress.path import RequestPath
from ingress.queries import RevocationQuery
from ingress.responses import json_response
from ingress.standing import limits_object


class KeyRequest(BaseModel):
    """POST /v1/api-keys. What is left out is inherited from the key that asks."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText = "default"
    user_id: PlainText | None = None
    scopes: frozenset[Scope] = frozenset({Scope.INFERENCE, Scope.USAGE})
    allowed_models: frozenset[PlainText] | None = None
    requests_per_hour: int | None = Field(None, gt=0, le=MAX_POSTGRES_INTEGER)
    limits: LimitSet | None = None
    """Windows of any unit, of money, of what runs at once, as plans.yaml writes them."""
    tier: PlainText | None = None
    expires_at: AwareDatetime | None = None
    trusted: bool = False
    """Whether Open WebUI may name, signed, the human behind it; for keys with the `admin` scope."""
    tenant_id: PlainText | None = None
    """Another tenant's; for keys with the `admin` scope."""

    def grant(self) -> KeyGrant:
        return KeyGrant.model_validate(self.model_dump(exclude={"tenant_id"}))


class KeyChange(BaseModel):
    """PATCH /v1/api-keys/{key_id}. What is left out stays; null takes a limit away."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText | None = None
    scopes: frozenset[Scope] | None = None
    allowed_models: frozenset[PlainText] | None = None
    requests_per_hour: int | None = Field(None, gt=0, le=MAX_POSTGRES_INTEGER)
    limits: LimitSet | None = None
    """In place of all that were set before."""
    tier: PlainText | None = None
    expires_at: AwareDatetime | None = None
    trusted: bool | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        for field in ("name", "scopes", "trusted"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} cannot be null")
        return self

    def edit(self) -> KeyEdit:
        return KeyEdit(**{name: getattr(self, name) for name in self.model_fields_set})


class RotateRequest(BaseModel):
    """POST /v1/api-keys/{key_id}/rotate."""

    model_config = ConfigDict(extra="forbid")

    grace_s: int = Field(0, ge=0, le=86_400)
    """How long the old key works beside its successor, in seconds."""


class VerifyRequest(BaseModel):
    """POST /v1/api-keys/verify."""

    model_config = ConfigDict(extra="forbid")

    api_key: str = Field(max_length=512)


class Accounts:
    """Handlers over the directory."""

    def __init__(self, path: RequestPath, directory: Directory) -> None:
        self._path = path
        self._directory = directory

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/api-keys",
                self.create,
                "Create a key; shown once",
                KeyRequest,
                status=201,
                shown_once=True,
            ),
            Endpoint("GET", "/v1/api-keys", self.list, "Keys of this tenant", query=AscendingPage),
            Endpoint(
                "PATCH",
                "/v1/api-keys/{key_id}",
                self.change,
                "Other rights and limits of a key, at once",
                KeyChange,
            ),
            Endpoint(
                "DELETE",
                "/v1/api-keys/{key_id}",
                self.revoke,
                "Revoke a key, and all that it made, at once",
                query=RevocationQuery,
            ),
            Endpoint(
                "POST",
                "/v1/api-keys/{key_id}/rotate",
                self.rotate,
                "A successor with the same rights; shown once",
                RotateRequest,
                status=201,
                shown_once=True,
            ),
            Endpoint(
                "POST", "/v1/api-keys/verify", self.verify, "Whether a key is good", VerifyRequest
            ),
        ]

    async def create(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        request = await exchange.parse(KeyRequest)
        return json_response(issued_object(await self.issue(principal, request)), 201)

    async def issue(self, principal: Principal, request: KeyRequest) -> IssuedKey:
        """Make a key on behalf of `principal`."""
        return await self._directory.keys.create(principal, request.grant(), request.tenant_id)

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        after, limit = ordered_page_of(exchange)
        page = await self._directory.keys.list(principal.tenant_id, after, limit)
        data = [key_object(key) for key in page.items]
        return json_response(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": page.has_more,
            }
        )

    async def change(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        request = await exchange.parse(KeyChange)
        key_id = exchange.http.path_params["key_id"]
        key = await self._directory.keys.edit(principal, key_id, request.edit())
        return json_response(key_object(key))

    async def revoke(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        key_id = exchange.http.path_params["key_id"]
        ended = await self._directory.keys.revoke(
            principal, key_id, keep_successors=_keeps_successors(exchange)
        )
        return json_response(
            {
                "id": ended.key.id,
                "object": "api_key",
                "deleted": True,
                "made": [each.id for each in ended.made],
                "invitations": ended.invitations,
                "members": ended.members,
            }
        )

    async def rotate(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.KEYS)
        request = await exchange.parse(RotateRequest)
        key_id = exchange.http.path_params["key_id"]
        issued = await self._directory.keys.rotate(principal, key_id, request.grace_s)
        return json_response(issued_object(issued), 201)

    async def verify(self, exchange: Exchange) -> Response:
        """What one's own tenant's key may do; any tenant's for an admin."""
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        request = await exchange.parse(VerifyRequest)
        return json_response(await self.verdict(principal, request.api_key))

    async def verdict(self, principal: Principal, api_key: str) -> dict[str, Any]:
        found = await self._directory.principals.verify(api_key)
        foreign = found.valid and found.tenant_id != principal.tenant_id
        if foreign and Scope.ADMIN not in principal.scopes:
            found = Verification(valid=False, code=InvalidKey.code)  # as one that never was
        return {
            "valid": found.valid,
            "code": found.code,
            "key_id": found.key_id,
            "tenant_id": found.tenant_id,
            "tier": found.tier,
            "quota_requests_per_hour": found.requests_per_hour,
            "scopes": sorted(found.scopes),
            "expires_at": timestamp(found.expires_at),
        }


def key_object(key: ApiKey) -> dict[str, Any]:
    """A key as JSON, without its secret."""
    return {
        "id": key.id,
        "object": "api_key",
        "name": key.name,
        "prefix": key.prefix,
        "tenant_id": key.tenant_id,
        "user_id": key.user_id,
        "tier": key.tier,
        "requests_per_hour": key.requests_per_hour,
        "limits": limits_object(key.limits),
        "scopes": sorted(key.scopes),
        "allowed_models": None if key.allowed_models is None else sorted(key.allowed_models),
        "trusted": key.trusted,
        "is_active": key.is_active,
        "created_at": timestamp(key.created_at),
        "expires_at": timestamp(key.expires_at),
        "last_used_at": timestamp(key.last_used_at),
        "revoked_at": timestamp(key.revoked_at),
        "rotated_from": key.rotated_from,
        "parent_id": key.parent_id,
    }


def issued_object(issued: IssuedKey) -> dict[str, Any]:
    """A new key as JSON: the one time that its secret is shown."""
    return key_object(issued.key) | {"key": issued.secret.get_secret_value()}


def _keeps_successors(exchange: Exchange) -> bool:
    """`keep_successors` of a revocation. Raises InvalidRequest."""
    return exchange.query(RevocationQuery).keep_successors == "true"


def timestamp(moment: datetime | None) -> int | None:
    """Unix seconds, as every `created` and `_at` on this wire."""
    return None if moment is None else int(moment.timestamp())

"""Users over HTTP: who am I, another name or password, joining a tenant.

Place in the path: beside it; these requests are authenticated with an access token and cost no
units. Rules are `auth`'s; this module speaks JSON.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import Response

from auth.accounts import PlainText
from auth.identity import Identity
from auth.principal import Principal, Scope
from auth.users import Membership, User
from core.errors import Forbidden, InvalidRequest
from ingress.accounts import timestamp
from ingress.client_address import client_address
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.standing import limits_object

MAX_SECRET = 1024


class UserChange(BaseModel):
    """PUT /v1/users/me. What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText | None = None
    password: SecretStr | None = Field(None, max_length=MAX_SECRET)
    """Another one; the other sessions end."""
    current_password: SecretStr | None = Field(None, max_length=MAX_SECRET)
    """Needed for another password."""


class AcceptRequest(BaseModel):
    """POST /v1/invitations/accept."""

    model_config = ConfigDict(extra="forbid")

    invitation: SecretStr = Field(max_length=MAX_SECRET)
    """The token."""


class UserEndpoints:
    """Handlers over `auth.users`."""

    def __init__(self, path: RequestPath, identity: Identity) -> None:
        self._path = path
        self._identity = identity

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/v1/users/me", self.show, "Who is logged in"),
            Endpoint("PUT", "/v1/users/me", self.change, "Another name or password", UserChange),
            Endpoint(
                "POST",
                "/v1/invitations/accept",
                self.accept,
                "Join a tenant with this account",
                AcceptRequest,
            ),
        ]

    async def show(self, exchange: Exchange) -> Response:
        principal, user = await self._caller(exchange)
        return json_response(await self._described(principal, user))

    async def change(self, exchange: Exchange) -> Response:
        principal, user = await self._caller(exchange)
        request = await exchange.parse(UserChange)
        if request.password is not None:
            if request.current_password is None:
                raise InvalidRequest("the current password is needed too", "current_password")
            settings = self._identity.settings
            address = client_address(exchange.http, forwarded_for=settings.forwarded_for)
            await self._identity.sign_in.change_password(
                principal, request.current_password, request.password, address
            )
        if request.name is not None:
            user = await self._identity.users.rename(user.id, request.name)
        return json_response(await self._described(principal, user))

    async def accept(self, exchange: Exchange) -> Response:
        _, user = await self._caller(exchange)
        request = await exchange.parse(AcceptRequest)
        joined = await self._identity.invitations.join(request.invitation, user)
        return json_response({"tenant_id": joined.tenant_id, "role": joined.role})

    async def _caller(self, exchange: Exchange) -> tuple[Principal, User]:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        if principal.role is None or principal.user_id is None:
            raise Forbidden("this needs a user's access token; an API key is nobody")
        return principal, await self._identity.users.find(principal.user_id)

    async def _described(self, principal: Principal, user: User) -> dict[str, Any]:
        memberships = await self._identity.users.memberships(user.id)
        member = await self._identity.members.find(principal.tenant_id, user.id)
        return user_object(user) | {
            "tenant_id": principal.tenant_id,
            "role": principal.role,
            "scopes": sorted(principal.scopes),
            "limits": limits_object(member.limits),
            "tenants": [membership_object(membership) for membership in memberships],
        }


def user_object(user: User) -> dict[str, Any]:
    """A user as JSON."""
    return {
        "id": user.id,
        "object": "user",
        "email": user.email,
        "name": user.name,
        "is_active": user.is_active,
        "created_at": timestamp(user.created_at),
    }


def membership_object(membership: Membership) -> dict[str, Any]:
    """One of a user's tenants as JSON."""
    return {
        "tenant_id": membership.tenant_id,
        "name": membership.tenant_name,
        "role": membership.role,
    }

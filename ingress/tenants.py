"""One's own tenant over HTTP: its name, its members, its invitations.

Place in the path: beside it; these requests are authenticated and cost no units. Who may grant
what is `auth`'s to say; this module speaks JSON.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.accounts import PlainText, Tenant
from auth.email import normalized
from auth.identity import Identity
from auth.invitations import Invitation, IssuedInvitation
from auth.members import Member, MemberEdit
from auth.plans import LimitSet
from auth.principal import Role, Scope
from ingress.accounts import timestamp
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.paging import AscendingPage, ordered_page_of
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.standing import limits_object

MEMBER = "/v1/tenants/me/members/{user_id}"
INVITATIONS = "/v1/tenants/me/invitations"


class TenantChange(BaseModel):
    """PUT /v1/tenants/me. What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText | None = None
    time_zone: PlainText | None = None
    """IANA name, such as Europe/Vienna."""


class MemberChange(BaseModel):
    """PUT /v1/tenants/me/members/{user_id}. What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    limits: LimitSet | None = None
    """The member's own, over all its keys, in place of those before; null takes them away."""


class InvitationRequest(BaseModel):
    """POST /v1/tenants/me/invitations."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320)
    role: Role = Role.MEMBER


class TenantEndpoints:
    """Handlers over `auth.directory`, `auth.members` and `auth.invitations`."""

    def __init__(self, path: RequestPath, identity: Identity) -> None:
        self._path = path
        self._directory = identity.directory
        self._members = identity.members
        self._invitations = identity.invitations

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/v1/tenants/me", self.show, "This tenant"),
            Endpoint("PUT", "/v1/tenants/me", self.change, "Its name, its days", TenantChange),
            Endpoint(
                "GET", "/v1/tenants/me/members", self.members, "Its members", query=AscendingPage
            ),
            Endpoint("GET", MEMBER, self.member, "One member"),
            Endpoint("PUT", MEMBER, self.change_member, "Another role, own limits", MemberChange),
            Endpoint("DELETE", MEMBER, self.remove, "Remove a member at once, or leave"),
            Endpoint(
                "POST",
                INVITATIONS,
                self.invite,
                "Invite somebody; the token is shown once",
                InvitationRequest,
                status=201,
                shown_once=True,
            ),
            Endpoint("GET", INVITATIONS, self.invitations, "Its invitations", query=AscendingPage),
            Endpoint(
                "DELETE", INVITATIONS + "/{invitation_id}", self.revoke, "Take an invitation back"
            ),
        ]

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        return json_response(tenant_object(await self._directory.tenant(principal.tenant_id)))

    async def change(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        request = await exchange.parse(TenantChange)
        tenant = await self._directory.describe(
            principal.tenant_id, request.name, request.time_zone
        )
        return json_response(tenant_object(tenant))

    async def members(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        page = await self._members.list(principal.tenant_id, *ordered_page_of(exchange))
        data = [member_object(member) for member in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def member(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        found = await self._members.find(principal.tenant_id, _user_id(exchange))
        return json_response(member_object(found))

    async def change_member(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        request = await exchange.parse(MemberChange)
        edit = MemberEdit(request.role, request.limits, "limits" in request.model_fields_set)
        member = await self._members.change(principal, _user_id(exchange), edit)
        return json_response(member_object(member))

    async def remove(self, exchange: Exchange) -> Response:
        """Members without rights over others may still leave."""
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        user_id = _user_id(exchange)
        if principal.role is None or principal.user_id != user_id:
            principal.require(Scope.MEMBERS)
        await self._members.remove(principal, user_id)
        return json_response({"id": user_id, "object": "member", "deleted": True})

    async def invite(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        request = await exchange.parse(InvitationRequest)
        issued = await self._invitations.invite(principal, normalized(request.email), request.role)
        return json_response(issued_object(issued), 201)

    async def invitations(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        page = await self._invitations.list(principal.tenant_id, *ordered_page_of(exchange))
        data = [invitation_object(invitation) for invitation in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def revoke(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.MEMBERS)
        invitation_id = exchange.http.path_params["invitation_id"]
        revoked = await self._invitations.revoke(principal.tenant_id, invitation_id)
        return json_response({"id": revoked.id, "object": "invitation", "deleted": True})


def tenant_object(tenant: Tenant) -> dict[str, Any]:
    """A tenant as JSON."""
    return {
        "id": tenant.id,
        "object": "tenant",
        "name": tenant.name,
        "plan": tenant.plan,
        "time_zone": tenant.time_zone,
        "is_active": tenant.is_active,
        "created_at": timestamp(tenant.created_at),
    }


def member_object(member: Member) -> dict[str, Any]:
    """A member as JSON; its id is the user's."""
    return {
        "id": member.user_id,
        "object": "member",
        "email": member.email,
        "name": member.name,
        "role": member.role,
        "is_active": member.is_active,
        "limits": limits_object(member.limits),
        "joined_at": timestamp(member.joined_at),
    }


def invitation_object(invitation: Invitation) -> dict[str, Any]:
    """An invitation as JSON, without its token."""
    return {
        "id": invitation.id,
        "object": "invitation",
        "tenant_id": invitation.tenant_id,
        "email": invitation.email,
        "role": invitation.role,
        "is_open": invitation.is_open,
        "created_at": timestamp(invitation.created_at),
        "expires_at": timestamp(invitation.expires_at),
        "accepted_at": timestamp(invitation.accepted_at),
        "revoked_at": timestamp(invitation.revoked_at),
    }


def issued_object(issued: IssuedInvitation) -> dict[str, Any]:
    """A new invitation as JSON: the one time that its token is shown."""
    return invitation_object(issued.invitation) | {"token": issued.token.get_secret_value()}


def _user_id(exchange: Exchange) -> str:
    return str(exchange.http.path_params["user_id"])

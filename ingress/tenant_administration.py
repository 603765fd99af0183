"""Administration of tenants and users over HTTP.

Place in the path: beside it; every handler needs the `admin` scope, which no role has. The same
can be done with the command line.
"""

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.accounts import PlainText
from auth.directory import FIRST_PLAN
from auth.email import normalized
from auth.identity import Identity
from auth.principal import Role, Scope
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.paging import AscendingPage, ordered_page_of
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.tenants import issued_object, tenant_object
from ingress.users import user_object

TENANTS = "/v1/admin/tenants"
TENANT = TENANTS + "/{tenant_id}"
USER = "/v1/admin/users/{user_id}"


class NewTenant(BaseModel):
    """POST /v1/admin/tenants."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText
    plan: PlainText = FIRST_PLAN


class TenantAdministrationChange(BaseModel):
    """PUT /v1/admin/tenants/{tenant_id}. What is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: PlainText | None = None
    plan: PlainText | None = None
    is_active: bool | None = None
    """False switches off the tenant with all its keys and users."""


class OwnerInvitation(BaseModel):
    """POST /v1/admin/tenants/{tenant_id}/invitations."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320)
    role: Role = Role.OWNER


class UserAdministrationChange(BaseModel):
    """PUT /v1/admin/users/{user_id}."""

    model_config = ConfigDict(extra="forbid")

    is_active: bool


class TenantAdministration:
    """Handlers for operators."""

    def __init__(self, path: RequestPath, identity: Identity) -> None:
        self._path = path
        self._directory = identity.directory
        self._invitations = identity.invitations
        self._users = identity.users

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("POST", TENANTS, self.create, "Make a tenant", NewTenant, status=201),
            Endpoint("GET", TENANTS, self.list, "All tenants", query=AscendingPage),
            Endpoint("GET", TENANT, self.show, "One tenant"),
            Endpoint(
                "PUT",
                TENANT,
                self.change,
                "Another plan, on or off, at once",
                TenantAdministrationChange,
            ),
            Endpoint(
                "POST",
                TENANT + "/invitations",
                self.invite,
                "Invite somebody into any tenant",
                OwnerInvitation,
                status=201,
                shown_once=True,
            ),
            Endpoint("GET", USER, self.user, "One user"),
            Endpoint(
                "PUT",
                USER,
                self.change_user,
                "Let a user in or keep it out, at once",
                UserAdministrationChange,
            ),
        ]

    async def create(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        request = await exchange.parse(NewTenant)
        tenant = await self._directory.create_tenant(request.name, request.plan)
        return json_response(tenant_object(tenant), 201)

    async def list(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        page = await self._directory.tenants(*ordered_page_of(exchange))
        data = [tenant_object(tenant) for tenant in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        return json_response(tenant_object(await self._directory.tenant(_tenant_id(exchange))))

    async def change(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        request = await exchange.parse(TenantAdministrationChange)
        tenant = await self._directory.tenant(_tenant_id(exchange))
        if request.plan is not None:
            tenant = await self._directory.set_plan(tenant.id, request.plan)
        if request.name is not None:
            tenant = await self._directory.describe(tenant.id, request.name)
        if request.is_active is not None:
            tenant = await self._directory.set_active(tenant.id, active=request.is_active)
        return json_response(tenant_object(tenant))

    async def invite(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.ADMIN)
        request = await exchange.parse(OwnerInvitation)
        issued = await self._invitations.invite(
            principal, normalized(request.email), request.role, _tenant_id(exchange)
        )
        return json_response(issued_object(issued), 201)

    async def user(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        return json_response(user_object(await self._users.find(_user_id(exchange))))

    async def change_user(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        request = await exchange.parse(UserAdministrationChange)
        user = await self._users.set_active(_user_id(exchange), active=request.is_active)
        return json_response(user_object(user))


def _tenant_id(exchange: Exchange) -> str:
    return str(exchange.http.path_params["tenant_id"])


def _user_id(exchange: Exchange) -> str:
    return str(exchange.http.path_params["user_id"])

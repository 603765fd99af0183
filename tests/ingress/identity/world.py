"""A gateway's accounts in this process: real stores, every endpoint of identity, one echo model."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from argon2 import PasswordHasher
from pydantic import SecretStr

from auth.accounts import KeyGrant
from auth.database import Database
from auth.directory import OPERATOR, Directory
from auth.epochs import Epochs
from auth.identify import Identifier
from auth.identity import Identity
from auth.identity_settings import IdentitySettings
from auth.keys import KeyHasher
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.passwords import Passwords
from auth.pipeline import Pipeline
from auth.plans import read_plans
from auth.principal import Principal, Scope
from auth.storage import Storage
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from core.model import ModelCard
from core.settings import ROOT, SecretReference, StoreSettings
from ingress.accounts import Accounts
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.platform_aliases import PlatformAliases
from ingress.routes import Part
from ingress.sign_in import SignInEndpoints
from ingress.tenant_administration import TenantAdministration
from ingress.tenants import TenantEndpoints
from ingress.usage import UsageEndpoints
from ingress.users import UserEndpoints
from tests.fakes.dispatch import Salts, ScriptedDispatcher, SilentTelemetry

STORE_PATIENCE_S = 20.0
"""Two hundred callers at once, on a machine that does other work too."""
PASSWORD = "correct horse battery"
PEPPER = SecretStr("pepper-of-the-tests-0123456789")
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


def email(name: str = "ada") -> str:
    """An address that nobody has."""
    return f"{name}.{secrets.token_hex(4)}@example.com"


@dataclass
class World:
    """One gateway replica; `replica` makes another on the same stores."""

    identity: Identity
    directory: Directory
    identifier: Identifier
    application: Application
    database: Database
    store: Pipeline
    prefix: str
    operator: str
    """A key with every scope."""

    def client(self, credential: str | None = None, **headers: str) -> httpx.AsyncClient:
        if credential is not None:
            headers["authorization"] = f"Bearer {credential}"
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    async def post(self, path: str, body: Any = None, credential: str | None = None, **headers):
        async with self.client(credential, **headers) as client:
            return await client.post(path, json={} if body is None else body)

    async def get(self, path: str, credential: str | None = None):
        async with self.client(credential) as client:
            return await client.get(path)

    async def put(self, path: str, body: Any, credential: str | None = None):
        async with self.client(credential) as client:
            return await client.put(path, json=body)

    async def patch(self, path: str, body: Any, credential: str | None = None):
        async with self.client(credential) as client:
            return await client.patch(path, json=body)

    async def delete(self, path: str, credential: str | None = None):
        async with self.client(credential) as client:
            return await client.delete(path)

    async def invited(self, role: str, by: str, address: str | None = None) -> dict[str, Any]:
        """Somebody new in the tenant of `by`: the answer of registering, with `email`."""
        address = address or email(role)
        invited = await self.post(
            "/v1/tenants/me/invitations", {"email": address, "role": role}, by
        )
        assert invited.status_code == 201, invited.text
        made = await self.post(
            "/v1/auth/register",
            {
                "email": address,
                "password": PASSWORD,
                "name": role,
                "invitation": invited.json()["token"],
            },
        )
        assert made.status_code == 201, made.text
        return dict(made.json(), email=address)

    async def owner(self, plan: str = "pro") -> dict[str, Any]:
        """The owner of a new tenant, invited by the operator."""
        tenant = await self.directory.create_tenant("Ada & Sons", plan)
        address = email()
        invited = await self.post(
            f"/v1/admin/tenants/{tenant.id}/invitations", {"email": address}, self.operator
        )
        token = invited.json()["token"]
        body = {"email": address, "password": PASSWORD, "name": "Ada", "invitation": token}
        made = await self.post("/v1/auth/register", body)
        assert made.status_code == 201, made.text
        return dict(made.json(), email=address)

    async def log_in(self, address: str, password: str = PASSWORD, **more: Any):
        return await self.post("/v1/auth/token", {"username": address, "password": password} | more)


@asynccontextmanager
async def world(
    database_url: str, valkey_url: str, prefix: str, pepper: SecretReference, **settings: Any
) -> AsyncIterator[World]:
    """A replica. Those with the same `prefix` are one cluster."""
    stores = StoreSettings(pepper=pepper, prefix=prefix)
    store, database = (
        Pipeline(SecretStr(valkey_url), STORE_PATIENCE_S),
        Database(SecretStr(database_url), STORE_PATIENCE_S),
    )
    hasher = KeyHasher(pepper.resolve())
    plans = read_plans(ROOT / "plans.yaml")
    directory = Directory(database, Epochs(store, prefix), hasher, plans)
    identity = Identity(
        IdentitySettings.model_validate(settings),
        stores,
        database,
        store,
        hasher,
        directory,
        Passwords(CHEAP),
    )
    identifier = Identifier(identity.callers, hasher, forwarded=identity.forwarded)
    admission = ValkeyAdmission(store, prefix)
    limits = Limits(plans)
    path = RequestPath(
        identifier, admission, limits, ScriptedDispatcher(), Salts(), SilentTelemetry()
    )
    await directory.bootstrap()
    everything = Principal(OPERATOR, "tests", "enterprise", "", frozenset(Scope))
    issued = await directory.keys.create(everything, KeyGrant(scopes=frozenset(Scope)))
    yield World(
        identity,
        directory,
        identifier,
        Application(_endpoints(path, identity, directory, database, admission, limits), "test"),
        database,
        store,
        prefix,
        issued.secret.get_secret_value(),
    )
    await store.aclose()
    await database.aclose()


def _endpoints(path, identity, directory, database, admission, limits) -> list[Endpoint]:
    catalog = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC")])
    storage = Storage(MediaOwnership(database), directory.plans)
    parts: list[Part] = [
        OpenAI(path, catalog),
        Accounts(path, directory),
        UsageEndpoints(path, Usage(database), admission, limits, storage),
        SignInEndpoints(path, identity),
        UserEndpoints(path, identity),
        TenantEndpoints(path, identity),
        TenantAdministration(path, identity),
    ]
    parts += [PlatformAliases(part.endpoints()) for part in parts[1:]]
    return [endpoint for part in parts for endpoint in part.endpoints()]

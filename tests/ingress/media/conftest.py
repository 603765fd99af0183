"""A media store on real PostgreSQL and in a directory, and the gateway's routes over it."""

import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.limits import Limits
from auth.media import MediaOwnership, OwnedMedia
from auth.plans import Plan
from auth.principal import Principal
from core.errors import InvalidKey
from ingress.application import Application
from ingress.media.blobs import Blobs
from ingress.media.delivery import Delivery
from ingress.media.library import Library
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import Salts, ScriptedDispatcher, SilentTelemetry, principal

PEPPER = SecretStr("pepper-of-the-tests-0123456789")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
UPLOAD_BYTES = 100_000
PLANS = {
    "small": Plan("small", (), storage_bytes=10_000, retention_days=30),
    "open": Plan("open", ()),
}
numbers = itertools.count()


def png(size: int = len(PNG)) -> bytes:
    """A picture's first bytes and then random ones: content that no other test has."""
    return (PNG[:8] + secrets.token_bytes(size))[:size]


class Identifier:
    """A key is its tenant's name."""

    def __init__(self) -> None:
        self.plans: dict[str, str] = {}

    async def identify(self, key: str) -> Principal:
        if key not in self.plans:
            raise InvalidKey("the API key is not valid")
        return principal(tenant_id=key, plan=self.plans[key])

    async def is_current(self, principal: Principal) -> bool:
        return True

    def forget(self, key: str, stale: Principal) -> None: ...


@dataclass
class Clock:
    now: float = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Media:
    """Everything a test may want to reach."""

    store: MediaStore
    ownership: MediaOwnership
    blobs: Blobs
    signer: UrlSigner
    clock: Clock
    database: Database
    identifier: Identifier
    client: httpx.AsyncClient
    application: Application
    path: RequestPath
    purged: list[OwnedMedia] = field(default_factory=list)

    async def tenant(self, plan: str = "small") -> str:
        """A new tenant's id, which is its key."""
        tenant = f"media-{secrets.token_hex(6)}"
        await self.database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, $2)", tenant, plan
        )
        self.identifier.plans[tenant] = plan
        return tenant

    async def put(self, tenant: str, plan: str, data: bytes, media_type: str) -> OwnedMedia:
        return await self.store.put(principal(tenant_id=tenant, plan=plan), data, media_type)

    async def used(self, tenant: str, plan: str) -> tuple[int, int | None]:
        """Bytes that the tenant keeps, and that it may keep."""
        (state, *_) = await self.store.storage.standing(principal(tenant_id=tenant, plan=plan))
        return state.used, state.limit

    async def publish(self, tenant: str, data: bytes, media_type: str = "image/png") -> str:
        who = principal(tenant_id=tenant, plan=self.identifier.plans[tenant])
        return await self.store.publish(who, data, media_type)

    async def expire(self, tenant: str, blob: str) -> None:
        await self.database.execute(
            "UPDATE media SET expires_at = now() - interval '1 s'"
            " WHERE tenant_id = $1 AND hash = $2",
            tenant,
            blob,
        )


@pytest.fixture(params=["directory"])
def blobs_url(request, tmp_path) -> str:
    """Tests that ask for it indirectly run on other file systems too."""
    return str(tmp_path / "media") if request.param == "directory" else request.param


@pytest.fixture
async def media(database_url: str, blobs_url: str) -> AsyncIterator[Media]:
    database = Database(SecretStr(database_url))
    ownership, blobs, clock = MediaOwnership(database), Blobs(blobs_url), Clock()
    signer = UrlSigner(PEPPER, 3600, clock)
    purged: list[OwnedMedia] = []

    async def purge(media: OwnedMedia) -> None:
        purged.append(media)

    store = MediaStore(blobs, ownership, signer, PLANS, purges=(purge,))
    identifier = Identifier()
    path = RequestPath(
        identifier,
        InMemoryAdmission(),
        Limits(PLANS),
        ScriptedDispatcher(),
        Salts(),
        SilentTelemetry(),
    )
    library = Library(path, store, UPLOAD_BYTES)
    endpoints = (*Delivery(store).endpoints(), *library.endpoints())
    application = Application(endpoints, "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Media(
            store,
            ownership,
            blobs,
            signer,
            clock,
            database,
            identifier,
            client,
            application,
            path,
            purged,
        )
    await database.aclose()

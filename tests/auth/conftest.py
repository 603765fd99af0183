"""Fixtures of the accounting tests: worlds, stores and a directory."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.accounts import KeyGrant, Tenant
from auth.database import Database
from auth.directory import Directory
from auth.epochs import Epochs
from auth.keys import KeyHasher
from auth.pipeline import Pipeline
from auth.plans import Plans, read_plans
from auth.principal import Principal, Scope
from auth.valkey import ValkeyAdmission
from core.settings import ROOT
from tests.auth.servers import Valkey
from tests.auth.worlds import FakeWorld, ValkeyWorld, World
from tests.fakes.admission import EPOCH, InMemoryAdmission

PEPPER = SecretStr("pepper-of-the-tests-0123456789")


@pytest.fixture
def prefix() -> str:
    """Valkey keys of one test."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
async def store(valkey_server: Valkey) -> AsyncIterator[Pipeline]:
    pipeline = Pipeline(SecretStr(valkey_server.url))
    yield pipeline
    await pipeline.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(SecretStr(database_url))
    yield database
    await database.aclose()


@pytest.fixture
async def valkey_world(store: Pipeline, prefix: str) -> ValkeyWorld:
    world = ValkeyWorld(ValkeyAdmission(store, prefix), store, prefix)
    for tenant in ("t1", "t2"):
        await world.set_epoch(tenant, EPOCH)
    return world


@pytest.fixture(params=["fake", "valkey"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Every test that takes this runs on the fake and on real Valkey."""
    if request.param == "fake":
        yield FakeWorld(InMemoryAdmission())
        return
    server: Valkey = request.getfixturevalue("valkey_server")
    pipeline = Pipeline(SecretStr(server.url))
    own = f"test-{secrets.token_hex(4)}"
    valkey = ValkeyWorld(ValkeyAdmission(pipeline, own), pipeline, own)
    for tenant in ("t1", "t2"):
        await valkey.set_epoch(tenant, EPOCH)
    yield valkey
    await pipeline.aclose()


@pytest.fixture
def plans() -> Plans:
    return read_plans(Path(ROOT / "plans.yaml"))


@pytest.fixture
def hasher() -> KeyHasher:
    return KeyHasher(PEPPER)


@pytest.fixture
def epochs(store: Pipeline, prefix: str) -> Epochs:
    return Epochs(store, prefix)


@pytest.fixture
def directory(database: Database, epochs: Epochs, hasher: KeyHasher, plans: Plans) -> Directory:
    return Directory(database, epochs, hasher, plans)


@pytest.fixture
async def tenant(directory: Directory) -> Tenant:
    return await directory.create_tenant("Ada & Sons", "pro")


@pytest.fixture
def owner(tenant: Tenant) -> Principal:
    """A principal of `tenant` with every right but administration."""
    scopes = frozenset(Scope) - {Scope.ADMIN}
    return Principal(tenant.id, "owner-key", tenant.plan, EPOCH, scopes)


@pytest.fixture
async def key(directory: Directory, owner: Principal) -> str:
    """A working key of `tenant`."""
    issued = await directory.keys.create(owner, KeyGrant(name="app"))
    return issued.secret.get_secret_value()

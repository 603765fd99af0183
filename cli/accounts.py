"""Tenants and keys from the operator's side: straight to the stores, without the gateway.

Place: `carillon keys`, `carillon tenants`, and the first key that `up` makes. Whoever can read
the state directory or the stores' URLs is the operator; the rules of granting hold all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from auth.accounts import KeyGrant
from auth.database import Database
from auth.directory import OPERATOR, OPERATOR_PLAN, Directory
from auth.epochs import Epochs
from auth.keys import KeyHasher, create_pepper
from auth.pipeline import Pipeline
from auth.plans import read_plans
from auth.principal import Principal, Scope
from cli.secrets_files import write_secret
from cli.short_paths import ShortPaths
from cli.stores import embedded
from core.settings import ROOT, StoreSettings, set_environment

T = TypeVar("T")

API_KEY = "api-key"
"""File in the state directory that holds the operator's first key."""


def operator() -> Principal:
    """The principal of whoever runs this command on the operator's machine."""
    return Principal(
        tenant_id=OPERATOR,
        key_id="cli",
        plan=OPERATOR_PLAN,
        epoch="",
        scopes=frozenset(Scope),
    )


def with_directory(work: Callable[[Directory], Awaitable[T]], state: Path) -> T:
    """Run `work` on this installation's directory. Raises StoreUnavailable, SettingsError."""
    choose_embedded(state)
    return asyncio.run(_with_directory(work))


def choose_embedded(state: Path) -> None:
    """Have this process use the embedded stores where no others are named."""
    for variable, store in list(embedded(state, ShortPaths(state))):
        set_environment(variable, store.url)


async def _with_directory(work: Callable[[Directory], Awaitable[T]]) -> T:
    stores = StoreSettings()
    valkey = Pipeline(stores.redis_url.resolve(), stores.timeout_s)
    database = Database(stores.database_url.resolve(), stores.timeout_s)
    hasher = KeyHasher(stores.pepper.resolve())
    plans = read_plans(ROOT / "plans.yaml")
    try:
        return await work(Directory(database, Epochs(valkey, stores.prefix), hasher, plans))
    finally:
        await valkey.aclose()
        await database.aclose()


def prepare(state: Path) -> Path:
    """Make what accounts need: tables, pepper, the operator and its first key; the key's file.

    Everything that is there already stays. Raises StoreUnavailable, SettingsError.
    """
    from auth.migrate import migrate  # alembic is slow to import, and only needed here

    choose_embedded(state)
    migrate(StoreSettings().database_url.resolve().get_secret_value())
    create_pepper(state / "pepper")
    return ensure_first_key(state)


def ensure_first_key(state: Path) -> Path:
    """The file with the operator's first key; made when it is not there."""
    path = state / API_KEY
    if not path.exists():
        with_directory(lambda directory: _write_first_key(directory, path), state)
    path.chmod(0o600)
    return path


async def _write_first_key(directory: Directory, path: Path) -> None:
    issued = await directory.bootstrap()
    if issued is None:  # the tenant has keys, but nobody has the file any more
        grant = KeyGrant(name="key of this machine", scopes=frozenset(Scope))
        issued = await directory.keys.create(operator(), grant)
    write_secret(path, issued.secret.get_secret_value())

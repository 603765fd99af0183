"""Fixtures of the identity tests: gateway replicas over real stores."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from core.settings import SecretReference
from tests.auth.servers import Valkey
from tests.ingress.identity import world as worlds
from tests.ingress.identity.world import World

Make = Callable[..., Awaitable[World]]


@pytest.fixture
def pepper(tmp_path) -> SecretReference:
    path = tmp_path / "pepper"
    path.write_text(worlds.PEPPER.get_secret_value())
    return SecretReference(f"file:{path}")


@pytest.fixture
async def replica(
    database_url: str, valkey_server: Valkey, pepper: SecretReference
) -> AsyncIterator[Make]:
    """Makes gateway replicas of one cluster, each with its settings."""
    prefix = f"test-{secrets.token_hex(4)}"
    opened: list[Any] = []

    async def make(**settings: Any) -> World:
        context = worlds.world(database_url, valkey_server.url, prefix, pepper, **settings)
        opened.append(context)
        return await context.__aenter__()

    yield make
    for context in opened:
        await context.__aexit__(None, None, None)


@pytest.fixture
async def here(replica: Make) -> World:
    return await replica()


@pytest.fixture
async def there(replica: Make) -> World:
    """Another replica of the same cluster."""
    return await replica()


@pytest.fixture
async def owner(here: World) -> dict[str, Any]:
    return await here.owner()


@pytest.fixture
async def stranger(here: World) -> dict[str, Any]:
    """The owner of another tenant."""
    return await here.owner()

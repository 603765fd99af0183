"""Fixtures that several directories share: real stores, once per test session."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.auth.servers import PostgreSQL, Valkey
from tests.e2e.cluster import Cluster, attach, start, stop


@pytest.fixture(scope="session", autouse=True)
def _no_cluster_by_accident() -> Iterator[None]:
    """Ray starts a cluster for whoever asks for one without an address, on the ports of the one
    under test.
    """
    join = ray.init

    def init(address: str | None = None, **options: Any) -> Any:
        if address is None and "RAY_ADDRESS" not in os.environ:
            raise AssertionError("a test is about to start a Ray cluster of its own")
        return join(address, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", init)
        yield


@pytest.fixture(scope="session")
def store_directory() -> Iterator[Path]:
    """A short path (unix sockets allow about 100 characters) that PostgreSQL's user can enter."""
    directory = Path(tempfile.mkdtemp(prefix="carillon-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server(store_directory: Path) -> Iterator[Valkey]:
    """A running Valkey; its URL is `.url`. Use a prefix of your own."""
    server = Valkey(store_directory / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_server(store_directory: Path) -> Iterator[PostgreSQL]:
    """A running PostgreSQL; `create_database(name)` gives a URL."""
    server = PostgreSQL(store_directory / "pg")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def database_url(postgres_server: PostgreSQL) -> str:
    """The URL of one migrated database, shared by the session: name rows uniquely."""
    from auth.migrate import migrate

    url = postgres_server.create_database("carillon")
    migrate(url)
    return url


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", help="state directory of a running cluster to test against")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The one cluster of a test session, with every model of `serve_config.yaml`."""
    running_state = request.config.getoption("--cluster")
    if running_state:
        yield attach(Path(running_state))
        return
    running = start()
    yield running
    stop(running)
    shutil.rmtree(running.state, ignore_errors=True)

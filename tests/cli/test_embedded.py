"""The embedded stores, really started: sockets only, data kept, killed ones revived."""

import asyncio
import contextlib
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from cli import processes
from cli.embedded import EmbeddedStore, PostgreSQL, Valkey
from cli.processes import ProcessRecord
from cli.short_paths import ShortPaths
from cli.stores import Stores


@pytest.fixture
def state() -> Iterator[Path]:
    """Not pytest's own directory: PostgreSQL's account could not enter that under root."""
    directory = Path(tempfile.mkdtemp(prefix="carillon-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


def query(url: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def listening(pid: int) -> list[object]:
    process = psutil.Process(pid)
    found: list[object] = []
    for each in (process, *process.children()):
        with contextlib.suppress(psutil.NoSuchProcess):  # PostgreSQL's workers come and go
            found += each.net_connections("inet")
    return found


@pytest.mark.parametrize("kind", [PostgreSQL, Valkey])
def test_a_store_listens_on_a_private_socket_and_on_no_port(state, kind):
    store: EmbeddedStore = kind(state, ShortPaths(state))
    child = store.start()
    try:
        assert listening(child.pid) == []
        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(store.socket_path.stat().st_mode) == 0o700
    finally:
        child.send_signal(store.stop_signal)
        child.wait(20)


@pytest.mark.usefixtures("no_urls")
def test_data_survive_kill_and_restart(state):
    started: list[ProcessRecord] = []

    def remember(records: list[ProcessRecord]) -> None:
        started[:] = records

    stores = Stores(state, ShortPaths(state), remember)
    url = stores.start()["DATABASE_URL"]
    try:
        query(url, "CREATE TABLE kept AS SELECT 42 AS x")
        for known in started:
            server = psutil.Process(known.pid)
            server.kill()
            server.wait(10)
        assert sorted(stores.revive()) == ["postgres", "valkey"]
        assert query(url, "SELECT x FROM kept") == 42
        assert query(url, "CREATE EXTENSION vector") is None
    finally:
        stores.stop(20)
    again = Stores(state, ShortPaths(state), remember)
    try:
        assert query(again.start()["DATABASE_URL"], "SELECT x FROM kept") == 42
    finally:
        again.stop(20)


@pytest.mark.usefixtures("no_urls")
@pytest.mark.parametrize("kind", [PostgreSQL, Valkey])
def test_a_server_that_is_interrupted_while_it_starts_is_known_and_ended(state, kind, monkeypatch):
    def interrupted(_: EmbeddedStore) -> bool:
        raise KeyboardInterrupt

    started: list[ProcessRecord] = []
    stores = Stores(state, ShortPaths(state), started.extend)
    monkeypatch.setattr(kind, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stores.start()
    server = processes.find(started[-1])
    assert server is not None
    assert server.cwd() == str(state / kind.name)
    stores.stop(20)
    assert not [known for known in started if processes.find(known)]


@pytest.mark.usefixtures("no_urls")
def test_servers_that_are_named_are_used_instead(state, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379")
    stores = Stores(state, ShortPaths(state), lambda records: pytest.fail("nothing was started"))
    assert stores.start() == {
        "DATABASE_URL": "postgresql://elsewhere/db",
        "REDIS_URL": "redis://elsewhere:6379",
    }


def test_a_lock_file_whose_pid_is_somebody_elses_does_not_prevent_a_start(state):
    store = PostgreSQL(state, ShortPaths(state))
    store.prepare()
    (store.data / "postmaster.pid").write_text("1\n")
    store.prepare()
    assert not (store.data / "postmaster.pid").exists()

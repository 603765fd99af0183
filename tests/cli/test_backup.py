"""Backups of real databases, restored elsewhere; months of the ledger taken out into files."""

import asyncio
import csv
import gzip
import io
import secrets
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.migrate import migrate
from auth.months import Months
from cli import ledger_archive
from cli.backup import back_up, restore
from cli.embedded import PostgreSQL
from cli.failure import Failure
from cli.secrets_files import write_secret
from cli.short_paths import ShortPaths
from tests.auth.servers import PostgreSQL as SharedServer

ROW = (
    "INSERT INTO usage_records (request_id, tenant_id, api_key_id, status, admitted_at, money)"
    " VALUES ('{}', 't', 'k', 'settled', '{}', 0.000000155)"
)
POLICIES = "SELECT tablename, policyname, qual FROM pg_policies ORDER BY 1"
PEPPER = "a pepper that nobody else has"


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Not pytest's own: PostgreSQL's account could not enter that under root."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    directory = Path(tempfile.mkdtemp(prefix="carillon-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(state: Path) -> Iterator[str]:
    server = PostgreSQL(state, ShortPaths(state))
    child = server.start()
    try:
        yield server.url
    finally:
        child.send_signal(server.stop_signal)
        child.wait(20)


def query(url: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def installation(directory: Path) -> Path:
    """A state directory with a row, secrets and a blob; its server is stopped."""
    state = directory / "here"
    with running(state) as url:
        migrate(url)
        query(url, ROW.format("r1", "2026-11-05"))
    write_secret(state / "pepper", PEPPER)
    write_secret(state / "api-key", "ck-first")
    blob = state / "media" / "ab" / "abcd"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"\0picture")
    return state


def test_what_was_backed_up_is_what_is_restored(installation: Path, directory: Path):
    backup = back_up(installation, directory / "carillon.tar.gz")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    there = directory / "there"
    made = restore(there, backup)
    assert (datetime.now(UTC) - made).total_seconds() < 60
    assert (there / "pepper").read_text() == PEPPER
    assert (there / "api-key").read_text() == "ck-first"
    assert stat.S_IMODE((there / "pepper").stat().st_mode) == 0o600
    assert (there / "media" / "ab" / "abcd").read_bytes() == b"\0picture"
    with running(there) as url:
        (row,) = query(url, "SELECT * FROM usage_records")
        assert (row["request_id"], row["money"]) == ("r1", Decimal("0.000000155"))
        query(url, ROW.format("r2", "2026-11-06"))
        versions = query(url, "SELECT version_num FROM alembic_version")
    with running(installation) as url:
        assert query(url, "SELECT version_num FROM alembic_version") == versions


def test_a_restored_database_keeps_tenants_apart_on_a_server_that_was_new(
    installation: Path, directory: Path
):
    there = directory / "there"
    restore(there, back_up(installation, directory / "carillon.tar.gz"))

    async def seen(url: str) -> list[int]:
        database = Database(SecretStr(url))
        rows = "SELECT 1 FROM usage_records"
        counts = [len(await database.fetch(rows))]
        counts += [len(await database.of(tenant).fetch(rows)) for tenant in ("t", "other", "")]
        await database.aclose()
        return counts

    with running(there) as url:
        assert asyncio.run(seen(url)) == [1, 1, 0, 0]
        policies = query(url, POLICIES)
    with running(installation) as url:
        assert len(policies) > 10
        assert query(url, POLICIES) == policies


def test_a_backup_is_taken_while_the_server_runs_and_leaves_it_running(
    installation: Path, directory: Path
):
    with running(installation) as url:
        back_up(installation, directory / "one.tar.gz")
        assert len(query(url, "SELECT 1 FROM usage_records")) == 1


def test_nothing_is_ever_overwritten(installation: Path, directory: Path):
    backup = back_up(installation, directory / "one.tar.gz")
    before = backup.read_bytes()
    with pytest.raises(Failure, match="there already"):
        back_up(installation, backup)
    assert backup.read_bytes() == before
    with pytest.raises(Failure, match="not empty"):
        restore(installation, backup)
    assert (installation / "pepper").read_text() == PEPPER


@pytest.mark.parametrize("kind", ["garbage", "cut", "foreign", "escaping"])
def test_what_is_no_backup_is_refused_and_makes_nothing(
    installation: Path, directory: Path, kind: str
):
    broken = directory / "broken.tar.gz"
    if kind == "garbage":
        broken.write_bytes(b"not a tar")
    elif kind == "cut":
        whole = back_up(installation, directory / "whole.tar.gz").read_bytes()
        broken.write_bytes(whole[: len(whole) // 2])
    else:
        name = "manifest.json" if kind == "foreign" else "../outside"
        with tarfile.open(broken, "w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(Failure, match="no backup"):
        restore(directory / "there", broken)
    assert not (directory / "there" / "pepper").exists()
    assert not (directory / "outside").exists()


NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def ledger(postgres_server: SharedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with rows in August and in November; `DATABASE_URL` names it."""
    url = postgres_server.create_database(f"archived{secrets.token_hex(4)}")
    migrate(url)

    async def months() -> None:
        database = Database(SecretStr(url))
        await Months(database).prepare(datetime(2026, 8, 1, tzinfo=UTC))
        await database.aclose()

    asyncio.run(months())
    for number in range(3):
        query(url, ROW.format(f"old{number}", f"2026-08-0{number + 1}"))
    query(url, ROW.format("new", "2026-11-05"))
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def test_a_month_goes_into_a_file_and_out_of_the_database(ledger: str, tmp_path: Path):
    kept, moved = tmp_path / "kept.csv.gz", tmp_path / "moved.csv.gz"
    assert ledger_archive.archive("2026-08", kept, keep=True, now=NOW) == 3
    assert len(query(ledger, "SELECT 1 FROM usage_records")) == 4
    assert ledger_archive.archive("2026-08", moved, keep=False, now=NOW) == 3
    assert [row["request_id"] for row in query(ledger, "SELECT * FROM usage_records")] == ["new"]
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(moved.read_bytes()).decode())))
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600, "it has every tenant's rows"
    assert sorted(row["request_id"] for row in rows) == ["old0", "old1", "old2"]
    assert rows[0]["money"] == "0.000000155"
    with pytest.raises(Failure, match="no partition"):
        ledger_archive.archive("2026-08", tmp_path / "again.csv.gz", keep=False, now=NOW)
    for month, said in (("2026-11", "not over"), ("august", "2026-08"), ("2026-13", "2026-08")):
        with pytest.raises(Failure, match=said):
            ledger_archive.archive(month, tmp_path / "x.csv.gz", keep=False, now=NOW)
    with pytest.raises(Failure, match="there already"):
        ledger_archive.archive("2026-09", kept, keep=False, now=NOW)
    assert not (tmp_path / "again.csv.gz").exists()


def test_a_month_is_whole_for_a_day_after_its_end(ledger: str, tmp_path: Path):
    """A request of the last minute ends in the first minutes of the next month."""
    too_early = datetime(2026, 9, 1, 23, 59, tzinfo=UTC)
    with pytest.raises(Failure, match="may still run"):
        ledger_archive.archive("2026-08", tmp_path / "x.csv.gz", keep=False, now=too_early)
    late = datetime(2026, 9, 2, tzinfo=UTC)
    assert ledger_archive.archive("2026-08", tmp_path / "x.csv.gz", keep=False, now=late) == 3


async def test_a_row_that_is_written_while_a_month_is_archived_is_in_the_file(
    ledger: str, tmp_path: Path
):
    writer = await asyncpg.connect(ledger)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(ROW.format("late", "2026-08-31"))
    to = tmp_path / "august.csv.gz"
    work = asyncio.to_thread(ledger_archive.archive, "2026-08", to, keep=False, now=NOW)
    archiving = asyncio.ensure_future(work)
    while not await writer.fetchval("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await transaction.commit()
    await writer.close()
    assert await archiving == 4
    assert b"late" in gzip.decompress(to.read_bytes())


def test_a_file_that_cannot_be_written_costs_no_row(ledger: str, tmp_path: Path):
    with pytest.raises(OSError):  # noqa: PT011  # whatever the system says
        ledger_archive.archive("2026-08", tmp_path / "nowhere" / "x", keep=False, now=NOW)
    assert len(query(ledger, "SELECT 1 FROM usage_records")) == 4
    assert not list(tmp_path.iterdir())

"""The ledger writer: drains usage events into PostgreSQL, exactly one row per request id.

Place in the path: after it. Admission and settlement append events to a stream in the same
atomic step that charges the windows. Events leave the stream only after their rows are
committed, and writing one twice changes nothing, so neither a killed writer nor an outage of
PostgreSQL loses or doubles a row. The writer also does the chores that must happen though nobody
asks: it sweeps expired leases and announces account changes. It does not know prices.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
import hiredis

from auth.database import Database
from auth.pipeline import Pipeline, Reply
from auth.records import Event, Row, merged, row_of, without_text, write
from core.errors import StoreUnavailable

log = logging.getLogger(__name__)

GROUP = "ledger"
BATCH = 500
LONGEST_BACKOFF_S = 5.0
MOST_REJECTED = 1_000
"""Events that are kept for a person to look at, the latest ones."""
LONGEST_REJECTED = 20_000

Chore = Callable[[], Awaitable[object]]
Entry = tuple[bytes, Event | None]
"""Id and fields; None for an entry that was deleted while it was pending."""


@dataclass(frozen=True, slots=True)
class LedgerLag:
    """Events that are not in PostgreSQL yet."""

    events: int
    oldest_age_s: float
    rejected: int = 0
    """Events set aside because PostgreSQL cannot take them."""


class LedgerWriter:
    """Moves usage events from the stream to `usage_records`.

    One is enough; several do no harm, because rows are written idempotently.

    Args:
        store: connection to Valkey.
        database: PostgreSQL, migrated.
        prefix: begins every Valkey key.
        chores: run every `chore_interval_s`: `ValkeyAdmission.sweep`, `Directory.announce`.
        consumer: name in the consumer group; a restarted writer of the same name takes up what
            it had read and not finished.
        poll_s: pause when the stream is empty; rows are at most about this late.
    """

    def __init__(
        self,
        store: Pipeline,
        database: Database,
        prefix: str = "carillon",
        chores: Sequence[Chore] = (),
        chore_interval_s: float = 2.0,
        consumer: str = "writer",
        poll_s: float = 0.25,
    ) -> None:
        self._store = store
        self._database = database
        self._stream = f"{prefix}:usage"
        self._rejected = f"{prefix}:usage-rejected"
        self._chores = chores
        self._chore_interval_s = chore_interval_s
        self._consumer = consumer
        self._poll_s = poll_s
        self._stopping = asyncio.Event()
        self._next_chores = 0.0
        self._must_recover = True

    async def run(self) -> None:
        """Write until `stop`. Outages of either store are waited out with growing pauses."""
        backoff_s = self._poll_s
        while not self._stopping.is_set():
            try:
                await self._do_chores()
                pause_s = 0.0 if await self.drain() else self._poll_s
                backoff_s = self._poll_s
            except StoreUnavailable as error:
                log.warning("the ledger waits %.1f s: %s", backoff_s, error)
                self._must_recover = True
                pause_s, backoff_s = backoff_s, min(2 * backoff_s, LONGEST_BACKOFF_S)
            await self._sleep(pause_s)
        await self._finish()

    def stop(self) -> None:
        """End `run` after a last attempt to empty the stream."""
        self._stopping.set()

    async def drain(self) -> int:
        """Write one batch; how many events it had. Raises StoreUnavailable."""
        if self._must_recover:
            await self._ensure_group()
            while entries := await self._read("0"):
                await self._store_entries(entries)
            self._must_recover = False
        entries = await self._read(">")
        if entries:
            await self._store_entries(entries)
        return len(entries)

    async def lag(self) -> LedgerLag:
        """How far PostgreSQL is behind. Raises StoreUnavailable."""
        events = await self._store.call("XLEN", self._stream)
        rejected = await self._store.call("XLEN", self._rejected)
        oldest = await self._store.call("XRANGE", self._stream, "-", "+", "COUNT", 1)
        if not oldest:
            return LedgerLag(0, 0.0, rejected)
        written_ms = int(oldest[0][0].partition(b"-")[0])
        return LedgerLag(events, max(0.0, time.time() - written_ms / 1000), rejected)

    async def _finish(self) -> None:
        try:
            while await self.drain():
                pass
        except StoreUnavailable as error:
            log.warning("the ledger stops with events waiting in the stream: %s", error)

    async def _do_chores(self) -> None:
        now = time.monotonic()
        if now >= self._next_chores:
            self._next_chores = now + self._chore_interval_s
            for chore in self._chores:
                await chore()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _ensure_group(self) -> None:
        reply = await self._store.send("XGROUP", "CREATE", self._stream, GROUP, "0", "MKSTREAM")
        if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith("BUSYGROUP"):
            raise StoreUnavailable("the usage stream cannot be read", retry_after_s=1.0)

    async def _read(self, since: str) -> list[Entry]:
        """A batch: new entries (">"), or the ones read before and never finished ("0")."""
        reply: Reply = await self._store.call(
            *("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", BATCH),
            *("STREAMS", self._stream, since),
        )
        if reply is None:
            return []
        return [(entry, _fields(values)) for entry, values in reply[0][1]]

    async def _store_entries(self, entries: Sequence[Entry]) -> None:
        rows, unreadable = [], []
        for entry, event in entries:
            try:
                if event is not None:
                    rows.append(row_of(event))
            except (KeyError, ValueError, TypeError, AttributeError):
                unreadable.append(entry)
        await self._write(merged(rows))
        await self._set_aside(entries, unreadable)
        ids = [entry for entry, _ in entries]
        await self._store.call("XACK", self._stream, GROUP, *ids)
        await self._store.call("XDEL", self._stream, *ids)

    async def _write(self, rows: Sequence[Row]) -> None:
        """All rows in one transaction; where PostgreSQL cannot take one, each on its own."""
        try:
            async with self._database.transaction() as connection:
                await write(connection, rows)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            if len(rows) > 1:
                for row in rows:
                    await self._write([row])
            elif rows[0] != (bare := without_text(rows[0])):
                await self._write([bare])  # what was done must be known, whatever was said of it
            else:
                await self._reject(bare)
        except asyncpg.PostgresError as error:  # a deadlock, a missing table: try again later
            raise StoreUnavailable("the ledger cannot be written", retry_after_s=1.0) from error

    async def _reject(self, row: Row) -> None:
        log.error("PostgreSQL cannot take the usage record of request %r", row["request_id"])
        await self._keep_rejected("row", repr(row))

    async def _set_aside(self, entries: Sequence[Entry], unreadable: Sequence[bytes]) -> None:
        """Keep what cannot be read where a person can look at it, out of the way of the rest."""
        for entry, event in entries:
            if entry in unreadable:
                log.error("usage event %s is unreadable", entry.decode())
                await self._keep_rejected("event", repr(event))

    async def _keep_rejected(self, name: str, text: str) -> None:
        limit = ("MAXLEN", "~", MOST_REJECTED)
        await self._store.call("XADD", self._rejected, *limit, "*", name, text[:LONGEST_REJECTED])


def _fields(values: list[bytes] | None) -> Event | None:
    return None if values is None else dict(zip(values[::2], values[1::2], strict=True))

"""A listener: one connection on which PostgreSQL tells what happened.

Place in the path: under whoever waits for changes of rows (`auth.job_news`, `graphs.job_starter`).
Triggers tell (https://www.postgresql.org/docs/current/sql-notify.html). What happened while nobody
listened, with a lost connection or behind a pooler, is told to nobody: who listens looks besides.
It reads no rows.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from auth.database import Database
from core.errors import StoreUnavailable

DEAF_S = 1.0
"""Between tries to listen."""
ASK_S = 60.0
"""Between questions whether PostgreSQL is still there."""
logger = logging.getLogger("ray.serve")


class Listener:
    """Runs for ever.

    Args:
        database: of one connection, which is kept.
        heard: takes what was said on the channel.
    """

    def __init__(self, database: Database, channel: str, heard: Callable[[str], None]) -> None:
        self._database = database
        self._channel = channel
        self._heard = heard

    async def run(self) -> None:
        """Listen; after a loss, again."""
        while True:
            try:
                await self._listen()
            except (StoreUnavailable, asyncpg.PostgresError) as error:  # a standby refuses to
                logger.info("nothing is heard on %s: %s", self._channel, error)
            await asyncio.sleep(DEAF_S)

    async def _listen(self) -> None:
        """Until the connection ends. Raises StoreUnavailable, asyncpg.PostgresError."""
        ended = asyncio.Event()
        async with self._database.connection() as connection:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(self._channel, self._told)
            try:
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ASK_S):
                            await ended.wait()
                    await connection.execute("SELECT 1")  # raises when it has gone without a word
            finally:
                with suppress(asyncpg.InterfaceError):  # it has ended
                    connection.terminate()

    def _told(self, connection: Any, pid: int, channel: str, words: object) -> None:
        self._heard(str(words))

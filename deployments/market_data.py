"""Market data: daily closes of coins, from the first configured source that answers.

Place in the path: step 4, called by `deployments.forecast`. A source is anything with the three
members of `MarketSource`; this module holds the chain over them and the file source. The public
APIs are in `deployments.market_http`. It does not know forecasts.
"""

import asyncio
import csv
import gzip
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TextIO

from core.errors import DataSourceUnavailable, NotFound, SettingsError
from core.forecast import LARGEST_PRICE, SMALLEST_PRICE

RETRY_AFTER_S = 30.0
KEEP_FAILURE_S = 10.0
"""How long a source that failed is not asked again for the same coin: its time-out is long, and
everybody who waits for that coin would wait for one of their own."""
COLUMNS = ("symbol", "time", "close")
SHOWN_SYMBOLS = 20


class SourceFailure(Exception):
    """One source did not give usable data; the next one may. The text is safe for callers."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day's close in the quote currency, and its volume where it is known."""

    day: date
    close: float
    volume: float | None


@dataclass(frozen=True, slots=True)
class History:
    """Daily closes of one coin, oldest first, and where they came from."""

    symbol: str
    source: str
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a source said about a coin, and until when that stands."""

    until: float
    outcome: tuple[Day, ...] | SourceFailure


class MarketSource(Protocol):
    """Where prices come from."""

    name: str
    caches: bool
    """Whether answers should be kept for a while, because asking is slow or rationed."""

    async def symbols(self) -> frozenset[str]:
        """What it can be asked for. Raises SourceFailure."""
        ...

    async def history(self, symbol: str) -> tuple[Day, ...]:
        """As many days as it has, oldest first. Raises SourceFailure."""
        ...


class MarketData:
    """Sources in order of preference.

    Args:
        keep_s: how long answers of sources that want it are kept.
    """

    def __init__(
        self,
        sources: Sequence[MarketSource],
        keep_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._keep_s = keep_s
        self._clock = clock
        self._kept: dict[tuple[str, str], Kept] = {}
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def coins(self) -> dict[str, list[str]]:
        """Every supported symbol, with the names of the sources that know it.

        Raises:
            DataSourceUnavailable: no source can say.
        """
        known: dict[str, list[str]] = defaultdict(list)
        failures = []
        for source in self._sources:
            try:
                for symbol in await source.symbols():
                    known[symbol].append(source.name)
            except SourceFailure as error:
                failures.append(f"{source.name}: {error}")
        if failures and not known:
            raise _unavailable(failures)
        return dict(sorted(known.items()))

    async def require(self, symbol: str) -> None:
        """Raises NotFound when no source knows `symbol`."""
        known = await self.coins()
        if symbol not in known:
            listed = ", ".join(list(known)[:SHOWN_SYMBOLS])
            raise NotFound(
                f"no configured source knows the coin '{symbol}'; GET /v1/forecasts/coins "
                f"lists what there is: {listed}",
                "symbol",
            )

    async def history(self, symbol: str) -> History:
        """Daily closes of `symbol` from the first source that answers.

        Raises:
            NotFound: no source knows the coin.
            DataSourceUnavailable: those that know it do not answer.
        """
        await self.require(symbol)
        failures = []
        for source in self._sources:
            try:
                if symbol in await source.symbols():
                    return History(symbol, source.name, await self._ask(source, symbol))
            except SourceFailure as error:
                failures.append(f"{source.name}: {error}")
        raise _unavailable(failures)

    async def _ask(self, source: MarketSource, symbol: str) -> tuple[Day, ...]:
        """What `source` says, or said lately. Callers of one coin share one question."""
        if not source.caches:
            return await source.history(symbol)
        async with self._asking[symbol]:
            kept = self._kept.get((source.name, symbol))
            if kept is None or self._clock() >= kept.until:
                kept = self._kept[source.name, symbol] = await self._fetch(source, symbol)
        if isinstance(kept.outcome, SourceFailure):
            raise SourceFailure(str(kept.outcome))
        return kept.outcome

    async def _fetch(self, source: MarketSource, symbol: str) -> Kept:
        try:
            days = await source.history(symbol)
        except SourceFailure as error:
            return Kept(self._clock() + KEEP_FAILURE_S, error)
        return Kept(self._clock() + self._keep_s, days)


def _unavailable(failures: Iterable[str]) -> DataSourceUnavailable:
    message = "data source unavailable: " + "; ".join(failures)
    return DataSourceUnavailable(message, None, RETRY_AFTER_S)


class FileSource:
    """Prices of a CSV file (`.csv`, `.csv.gz`) or a Parquet file (`.parquet`).

    Columns: symbol, time (a date, ISO 8601), close and, if there is one, volume. The file is read
    again when it changes, so a job of one's own can keep it current.
    """

    name = "file"
    caches = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: float | None = None
        self._table: dict[str, tuple[Day, ...]] = {}
        try:
            self._refresh()
        except SourceFailure as error:
            raise SettingsError(f"prices {path}: {error}", "prices") from error

    async def symbols(self) -> frozenset[str]:
        return frozenset(await asyncio.to_thread(self._refresh))

    async def history(self, symbol: str) -> tuple[Day, ...]:
        return (await asyncio.to_thread(self._refresh))[symbol]

    def _refresh(self) -> dict[str, tuple[Day, ...]]:
        """The table, read again if the file changed."""
        try:
            changed_at = self.path.stat().st_mtime
            if changed_at != self._read_at:
                self._table = _table(_rows(self.path))
                self._read_at = changed_at
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise SourceFailure(f"the price file cannot be read: {type(error).__name__}") from error
        return self._table


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    with _opened(path) as file:
        yield from csv.DictReader(file)


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="")
    return path.open(newline="")


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pandas as pd  # type: ignore[import-untyped]

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise SourceFailure("Parquet needs the package pyarrow: add the extra 'parquet'") from error
    except ValueError as error:  # what pyarrow raises for a file that is not Parquet
        raise SourceFailure("the price file is not Parquet") from error
    yield from frame.to_dict("records")


def _table(rows: Iterable[dict[str, Any]]) -> dict[str, tuple[Day, ...]]:
    found: dict[str, dict[date, Day]] = defaultdict(dict)
    for number, row in enumerate(rows, start=1):
        try:
            day = parse_day(str(row["time"])[:10], row["close"], row.get("volume"))
            found[str(row["symbol"]).strip().upper()][day.day] = day
        except KeyError as error:
            raise SourceFailure(f"the price file has no column {error}") from error
        except (ValueError, TypeError) as error:
            raise SourceFailure(f"row {number} of the price file: {error}") from error
    if not found:
        raise SourceFailure("the price file is empty")
    return {s: tuple(days[d] for d in sorted(days)) for s, days in sorted(found.items())}


def parse_day(day: str, close: Any, volume: Any) -> Day:
    """Checked values of one day. Raises ValueError or TypeError."""
    price = float(close)
    if not SMALLEST_PRICE <= price <= LARGEST_PRICE:
        raise ValueError(f"{price} is not a price")
    traded = math.nan if volume in (None, "") else float(volume)
    return Day(date.fromisoformat(day), price, traded if 0 < traded < math.inf else None)

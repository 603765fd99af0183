"""Market data from two public APIs: CoinGecko and Binance.

Place in the path: sources of `deployments.market_data`. They ask these two hosts and no other,
follow no redirect, take no compressed and no long answer, and trust nothing in it: whatever is
odd is a `SourceFailure`, and the next source is asked. No key is needed or sent.

    CoinGecko  https://docs.coingecko.com/v3.0.1/reference/coins-id-market-chart
    Binance    https://developers.binance.com/docs/binance-spot-api-docs/rest-api
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson

from deployments.market_data import Day, SourceFailure, parse_day

LONGEST_ANSWER_BYTES = 2 * 2**20
MS_PER_DAY = 86_400_000
COINGECKO_DAYS = 365
"""As far back as CoinGecko tells without a key."""
BINANCE_DAYS = 1000
"""Most candles of one Binance answer."""

COINGECKO_IDS = {
    "ADA": "cardano",
    "ATOM": "cosmos",
    "AVAX": "avalanche-2",
    "BCH": "bitcoin-cash",
    "BNB": "binancecoin",
    "BTC": "bitcoin",
    "DOGE": "dogecoin",
    "DOT": "polkadot",
    "ETH": "ethereum",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "NEAR": "near",
    "SOL": "solana",
    "TRX": "tron",
    "UNI": "uniswap",
    "XLM": "stellar",
    "XRP": "ripple",
}


def _now() -> datetime:
    return datetime.now(UTC)


class PublicApi(ABC):
    """One host, asked with limits.

    Args:
        timeout_s: longest wait for a whole answer.
        transport: stands in for the network in tests.
    """

    name: str
    url: str
    caches = True
    coins: Mapping[str, str]

    def __init__(
        self,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._timeout_s = timeout_s
        self._transport = transport
        self._now = now

    async def symbols(self) -> frozenset[str]:
        return frozenset(self.coins)

    async def history(self, symbol: str) -> tuple[Day, ...]:
        path, query = self._question(self.coins[symbol])
        document = await self._get(path, query)
        try:
            days = self._days(document)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise SourceFailure("the answer is not understood") from error
        if not days:
            raise SourceFailure("the answer has no prices")
        return tuple(days[day] for day in sorted(days))

    @abstractmethod
    def _question(self, coin: str) -> tuple[str, dict[str, str]]:
        """Path and query of a coin's daily history."""

    @abstractmethod
    def _days(self, document: Any) -> dict[str, Day]:
        """Closed days by their ISO date. May raise whatever odd documents cause."""

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return orjson.loads(await self._body(path, query))
        except TimeoutError as error:
            raise SourceFailure(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise SourceFailure(f"cannot be reached ({type(error).__name__})") from error
        except orjson.JSONDecodeError as error:
            raise SourceFailure("the answer is not JSON") from error

    async def _body(self, path: str, query: dict[str, str]) -> bytes:
        pieces, size = [], 0
        # Uncompressed, so that the size limit is one of memory too.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(transport=self._transport, timeout=self._timeout_s) as client,
            client.stream("GET", self.url + path, params=query, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise SourceFailure(f"HTTP {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise SourceFailure("the answer is compressed")
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > LONGEST_ANSWER_BYTES:
                    raise SourceFailure("the answer is too long")
                pieces.append(piece)
        return b"".join(pieces)


class CoinGecko(PublicApi):
    """Prices in US dollars over many exchanges."""

    name = "coingecko"
    url = "https://api.coingecko.com"
    coins = COINGECKO_IDS

    def _question(self, coin: str) -> tuple[str, dict[str, str]]:
        query = {"vs_currency": "usd", "days": str(COINGECKO_DAYS), "interval": "daily"}
        return f"/api/v3/coins/{coin}/market_chart", query

    def _days(self, document: Any) -> dict[str, Day]:
        """A price at midnight closes the day before; the last one, of this minute, closes none."""
        volumes = {int(at): volume for at, volume in document["total_volumes"]}
        days = {}
        for at, price in document["prices"]:
            if int(at) % MS_PER_DAY == 0:
                day = (_moment(at) - timedelta(days=1)).date().isoformat()
                days[day] = parse_day(day, price, volumes.get(int(at)))
        return days


class Binance(PublicApi):
    """Prices in Tether on Binance's spot market."""

    name = "binance"
    url = "https://api.binance.com"
    coins = {symbol: f"{symbol}USDT" for symbol in COINGECKO_IDS}  # noqa: RUF012

    def _question(self, coin: str) -> tuple[str, dict[str, str]]:
        return "/api/v3/klines", {"symbol": coin, "interval": "1d", "limit": str(BINANCE_DAYS)}

    def _days(self, document: Any) -> dict[str, Day]:
        """The closed candles; the last one is still open.

        A candle is [open time, open, high, low, close, volume, close time, quote volume, ...].
        """
        now = self._now()
        days = {}
        for candle in document:
            if _moment(candle[6]) < now:
                day = _moment(candle[0]).date().isoformat()
                days[day] = parse_day(day, candle[4], candle[7])
        return days


def _moment(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)

"""Where prices come from: the order of sources, files, and public APIs that misbehave."""

import asyncio
import gzip
import json
import os
import sys
from datetime import UTC, date, datetime

import httpx
import orjson
import pandas as pd  # type: ignore[import-untyped]
import pytest

from core.errors import DataSourceUnavailable, NotFound, SettingsError
from deployments.market_data import Day, FileSource, MarketData, SourceFailure
from deployments.market_http import LONGEST_ANSWER_BYTES, Binance, CoinGecko

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
MIDNIGHT_MS = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000


class Scripted:
    """A source that says what a test wants."""

    def __init__(self, name, coins=("BTC",), price=1.0, *, caches=False, broken=False):
        self.name, self.caches = name, caches
        self.coins, self.price, self.broken = coins, price, broken
        self.asked = 0

    async def symbols(self):
        return frozenset(self.coins)

    async def history(self, symbol):
        self.asked += 1
        await asyncio.sleep(0)
        if self.broken:
            raise SourceFailure("HTTP 500")
        return (Day(date(2026, 1, 1), self.price, None),)


# --- the chain --------------------------------------------------------------------------------


async def test_the_first_source_that_knows_a_coin_answers():
    market = MarketData([Scripted("a", ("ETH",)), Scripted("b", price=2.0), Scripted("c")], 0)
    history = await market.history("BTC")
    assert (history.source, history.days[0].close) == ("b", 2.0)


async def test_a_source_that_fails_is_followed_by_the_next():
    market = MarketData([Scripted("a", broken=True), Scripted("b")], 0)
    assert (await market.history("BTC")).source == "b"


async def test_when_all_fail_the_error_says_what_each_of_them_said():
    market = MarketData([Scripted("a", broken=True), Scripted("b", broken=True)], 0)
    with pytest.raises(DataSourceUnavailable) as caught:
        await market.history("BTC")
    assert str(caught.value) == "data source unavailable: a: HTTP 500; b: HTTP 500"
    assert caught.value.retry_after_s


async def test_a_coin_that_nobody_knows_is_not_found_even_when_sources_are_down():
    market = MarketData([Scripted("a", broken=True)], 0)
    with pytest.raises(NotFound):
        await market.history("ETH")


async def test_coins_are_those_of_all_sources():
    market = MarketData([Scripted("a", ("ETH", "BTC")), Scripted("b", ("BTC",))], 0)
    assert await market.coins() == {"BTC": ["a", "b"], "ETH": ["a"]}


async def test_answers_are_kept_for_a_while_by_those_who_want_it():
    now = [0.0]
    kept, fresh = Scripted("a", caches=True), Scripted("b", ("ETH",))
    market = MarketData([kept, fresh], 300, clock=lambda: now[0])
    for _ in range(3):
        await market.history("BTC")
        await market.history("ETH")
    assert (kept.asked, fresh.asked) == (1, 3)
    now[0] = 301
    await market.history("BTC")
    assert kept.asked == 2


async def test_a_herd_asks_once():
    source = Scripted("a", caches=True)
    market = MarketData([source], 300)
    await asyncio.gather(*(market.history("BTC") for _ in range(50)))
    assert source.asked == 1


async def test_a_herd_at_a_dead_source_waits_for_one_time_out_and_later_asks_again():
    now = [0.0]
    source = Scripted("a", caches=True, broken=True)
    market = MarketData([source], 300, clock=lambda: now[0])
    told = await asyncio.gather(*(market.history("BTC") for _ in range(50)), return_exceptions=True)
    assert {str(error) for error in told} == {"data source unavailable: a: HTTP 500"}
    assert source.asked == 1
    source.broken, now[0] = False, 11.0
    assert (await market.history("BTC")).source == "a"


# --- files ------------------------------------------------------------------------------------

CSV = """symbol,time,close,volume
btc,2026-01-02,2.5,
BTC,2026-01-01T00:00:00Z,2,10
ETH,2026-01-01,1,-1
"""


async def test_a_csv_file_is_sorted_and_its_gaps_are_unknown(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    source = FileSource(path)
    assert await source.symbols() == {"BTC", "ETH"}
    assert await source.history("BTC") == (
        Day(date(2026, 1, 1), 2.0, 10.0),
        Day(date(2026, 1, 2), 2.5, None),
    )
    assert (await source.history("ETH"))[0].volume is None


async def test_a_compressed_csv_file_is_read(tmp_path):
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    assert await FileSource(path).symbols() == {"BTC", "ETH"}


async def test_a_parquet_file_is_read(tmp_path):
    path = tmp_path / "prices.parquet"
    pd.DataFrame({"symbol": ["BTC"], "time": [date(2026, 1, 1)], "close": [2.0]}).to_parquet(path)
    assert await FileSource(path).history("BTC") == (Day(date(2026, 1, 1), 2.0, None),)


def test_parquet_without_its_package_names_it_and_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "prices.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(SettingsError, match="package pyarrow: add the extra 'parquet'"):
        FileSource(path)


async def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    source = FileSource(path)
    path.write_text("symbol,time,close\nSOL,2026-01-01,3\n")
    os.utime(path, (1, 1))
    assert await source.symbols() == {"SOL"}


async def test_a_file_that_breaks_later_is_a_failure_of_this_source(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    source = FileSource(path)
    path.unlink()
    with pytest.raises(DataSourceUnavailable, match="data source unavailable: file"):
        await MarketData([source], 0).history("BTC")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"symbol,time,close\n",
        b"coin,day,price\nBTC,2026-01-01,2\n",
        b"symbol,time,close\nBTC,yesterday,2\n",
        b"symbol,time,close\nBTC,2026-01-01,0\n",
        b"symbol,time,close\nBTC,2026-01-01,nan\n",
        b"symbol,time,close\nBTC,2026-01-01,inf\n",
        b"symbol,time,close\nBTC,2026-01-01\n",
        b"symbol,time,close,volume\nBTC,2026-01-01,1,much\n",
        b"\xff\xfe\x00\x00",
        b'symbol,time,close\n"' + b"x" * 200_000,
    ],
)
def test_a_file_that_cannot_be_used_fails_at_the_start(tmp_path, content):
    path = tmp_path / "prices.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        FileSource(path)
    assert caught.value.param == "prices"


@pytest.mark.parametrize("name", ["missing.csv", "not.csv.gz", "not.parquet"])
def test_a_file_that_is_missing_or_something_else_fails_at_the_start(tmp_path, name):
    if name.startswith("not"):
        (tmp_path / name).write_text(CSV)
    with pytest.raises(SettingsError):
        FileSource(tmp_path / name)


# --- public APIs ------------------------------------------------------------------------------


def coingecko_answer():
    """Two closed days, and the price of this minute."""
    moments = [MIDNIGHT_MS - DAY_MS, MIDNIGHT_MS, MIDNIGHT_MS + 55_000_123]
    return {
        "prices": [[at, 100.0 + i] for i, at in enumerate(moments)],
        "market_caps": [],
        "total_volumes": [[at, 7.0] for at in moments[:2]],
    }


def binance_answer():
    """One closed candle, and the one of today."""
    return [
        [start, "1", "9", "1", close, "3", start + DAY_MS - 1, "400.5", 10, "1", "1", "0"]
        for start, close in ((MIDNIGHT_MS - DAY_MS, "101.25"), (MIDNIGHT_MS, "99"))
    ]


APIS = {CoinGecko: coingecko_answer, Binance: binance_answer}


def api(kind, handler, timeout_s=5.0):
    return kind(timeout_s, httpx.MockTransport(handler), lambda: NOW)


def answering(content, status=200, headers=None):
    return lambda request: httpx.Response(status, content=content, headers=headers)


async def test_coingecko_tells_the_close_of_the_day_before_each_midnight():
    asked = []

    def handler(request):
        asked.append(request.url)
        return httpx.Response(200, json=coingecko_answer())

    days = await api(CoinGecko, handler).history("BTC")
    assert days == (
        Day(date(2026, 11, 18), 100.0, 7.0),
        Day(date(2026, 11, 19), 101.0, 7.0),
    )
    assert (asked[0].scheme, asked[0].host) == ("https", "api.coingecko.com")
    assert asked[0].path == "/api/v3/coins/bitcoin/market_chart"
    assert dict(asked[0].params) == {"vs_currency": "usd", "days": "365", "interval": "daily"}


async def test_binance_tells_closed_candles_only():
    asked = []

    def handler(request):
        asked.append(request.url)
        return httpx.Response(200, json=binance_answer())

    days = await api(Binance, handler).history("SOL")
    assert days == (Day(date(2026, 11, 19), 101.25, 400.5),)
    assert (asked[0].scheme, asked[0].host) == ("https", "api.binance.com")
    assert dict(asked[0].params) == {"symbol": "SOLUSDT", "interval": "1d", "limit": "1000"}


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>busy</html>",
        b"null",
        b"{}",
        b"[]",
        b"[[]]",
        b"[1]",
        b'"text"',
        b"[" * 100_000,
        b'{"prices": [], "total_volumes": []}',
        b'{"prices": [[0, 0]], "total_volumes": []}',
        b'{"prices": [[0, -1.5]], "total_volumes": []}',
        b'{"prices": [[0, null]], "total_volumes": []}',
        b'{"prices": [[1e300, 1]], "total_volumes": []}',
        b'{"prices": [["x", 1]], "total_volumes": []}',
        b'{"prices": 1, "total_volumes": 1}',
        b'[[0,"1","1","1","-5","1",1,"1"]]',
        b'[[0,"1","1","1","nan","1",1,"1"]]',
        b'[[99999999999999999,"1","1","1","1","1",1,"1"]]',
        b"\xff\xfe",
    ],
)
async def test_garbage_is_a_failure_of_this_source_only(kind, content):
    with pytest.raises(SourceFailure):
        await api(kind, answering(content)).history("BTC")


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize("status", [204, 301, 302, 400, 403, 418, 429, 451, 500, 503])
async def test_any_other_status_is_a_failure_and_no_redirect_is_followed(kind, status):
    asked = []

    def handler(request):
        asked.append(request.url.host)
        return httpx.Response(status, headers={"location": "http://169.254.169.254/"})

    with pytest.raises(SourceFailure, match=f"HTTP {status}"):
        await api(kind, handler).history("BTC")
    assert len(asked) == 1


@pytest.mark.parametrize("kind", APIS)
async def test_an_answer_without_end_is_cut(kind):
    sent = []

    async def endless():
        while True:
            sent.append(1)
            yield b"[" + b"0" * 65_535

    def handler(request):
        return httpx.Response(200, content=endless())

    with pytest.raises(SourceFailure, match="too long"):
        await api(kind, handler).history("BTC")
    assert len(sent) <= LONGEST_ANSWER_BYTES / 65_536 + 2


async def test_a_compressed_answer_is_not_unpacked():
    bomb = gzip.compress(b"0" * 10_000_000)
    handler = answering(bomb, headers={"content-encoding": "gzip"})
    with pytest.raises(SourceFailure, match="compressed"):
        await api(CoinGecko, handler).history("BTC")


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
async def test_a_host_that_cannot_be_reached_is_a_failure(error):
    def handler(request):
        raise error("no")

    with pytest.raises(SourceFailure, match=error.__name__):
        await api(Binance, handler).history("BTC")


async def test_a_host_that_never_answers_is_given_up():
    async def handler(request):
        await asyncio.Event().wait()

    with pytest.raises(SourceFailure, match="no answer within"):
        await api(Binance, handler, timeout_s=0.05).history("BTC")


async def test_a_real_server_that_dribbles_is_given_up_too():
    """Each byte comes in time; the whole answer does not."""

    async def dribble(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(dribble, "127.0.0.1", 0)
    source = Binance(0.3)
    source.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(SourceFailure, match="no answer within"):
            await source.history("BTC")
    finally:
        server.close()


async def test_a_dead_api_falls_back_to_the_file(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    dead = [api(kind, answering(b"", 503)) for kind in APIS]
    market = MarketData([*dead, FileSource(path)], 300)
    assert (await market.history("BTC")).source == "file"
    with pytest.raises(DataSourceUnavailable) as caught:
        await market.history("XRP")
    assert "coingecko: HTTP 503; binance: HTTP 503" in str(caught.value)


def test_the_scripted_answers_are_json():
    assert orjson.loads(json.dumps(coingecko_answer()))
    assert orjson.loads(json.dumps(binance_answer()))

"""Plans and prices that change while gateways run: taken over whole, or not at all."""

import os
from pathlib import Path

import pytest

from auth.limits import Limits
from auth.live_files import LiveFile, live_plans, live_prices
from auth.plans import DAY_S, HOUR_S, Meter, Window, read_plans
from auth.prices import read_prices
from auth.principal import Principal
from core.errors import StoreUnavailable

PLANS = "plans: {pro: {requests: {day: %d}, per_key: {requests: {hour: 9}}}}"
PRICES = "version: '%s'\ncurrency: EUR\nmodels: {echo: {input_tokens: %s}}\n"
WHO = Principal("t1", "k1", "pro", "e", frozenset(), tier="pro")


class Written:
    """A file that a test edits; every edit has a time of its own."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._time = path, 1_000_000_000
        self.write(text)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self._time += 1
        os.utime(self.path, (self._time, self._time))


async def looked(file: LiveFile) -> LiveFile:
    """Twice: what still changes from look to look is not read."""
    await file.look()
    await file.look()
    return file


@pytest.fixture
def plans(tmp_path: Path):
    written = Written(tmp_path / "plans.yaml", PLANS % 10)
    held = read_plans(written.path)

    async def in_use() -> set[str]:
        return {"pro"}

    return written, held, live_plans(written.path, held, in_use)


@pytest.fixture
def prices(tmp_path: Path):
    written = Written(tmp_path / "prices.yaml", PRICES % ("1", 2))
    held = read_prices(written.path)
    return written, held, live_prices(written.path, held)


def windows(limits: Limits) -> dict[str, tuple[Window, ...]]:
    return {name.partition(":")[0]: found for name, found in limits.scopes(WHO)}


async def test_another_limit_holds_for_who_was_known_before(plans):
    written, held, file = plans
    limits = Limits(held)
    assert windows(limits)["tenant"] == (Window(Meter.REQUESTS, DAY_S, 10),)
    written.write("plans: {pro: {requests: {day: 20}, per_key: {requests: {hour: 5}}}}")
    await looked(file)
    assert file.is_current
    found = windows(limits)
    assert found["tenant"] == (Window(Meter.REQUESTS, DAY_S, 20),)
    assert set(found["key"]) == {
        Window(Meter.REQUESTS, HOUR_S, 5),
        Window(Meter.REQUESTS, DAY_S, 20),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plans: {pro: {requests: {day: -1}}}", "plans.pro.requests.day"),
        ("plans: [", "not valid YAML"),
        ("plans: {free: {}}", "plans that tenants or keys have are not in it: pro"),
        ("", "plans.yaml"),
    ],
)
async def test_a_file_that_cannot_hold_changes_nothing_and_says_why(plans, text, says):
    written, held, file = plans
    before = dict(held)
    written.write(text)
    await looked(file)
    assert (held, file.is_current) == (before, False)
    assert says in file.error
    written.write(PLANS % 30)
    await looked(file)
    assert file.is_current
    assert held["pro"].windows[0].limit == 30


async def test_a_file_that_is_gone_changes_nothing(plans):
    written, held, file = plans
    before = dict(held)
    written.path.unlink()
    await looked(file)
    assert held == before
    assert "does not exist" in file.error


async def test_a_file_that_is_still_being_written_is_not_read(plans):
    written, held, file = plans
    for limit in (21, 22, 23):
        written.write(PLANS % limit)
        await file.look()
        assert held["pro"].windows[0].limit == 10
    await file.look()
    assert held["pro"].windows[0].limit == 23


async def test_what_cannot_be_checked_now_is_checked_later(tmp_path: Path):
    written = Written(tmp_path / "plans.yaml", PLANS % 10)
    held = read_plans(written.path)
    away = True

    async def in_use() -> set[str]:
        if away:
            raise StoreUnavailable("the database does not answer")
        return {"pro"}

    file = live_plans(written.path, held, in_use)
    written.write(PLANS % 40)
    await looked(file)
    assert (held["pro"].windows[0].limit, file.is_current) == (10, True)
    away = False
    await file.look()
    assert held["pro"].windows[0].limit == 40


async def test_other_prices_have_another_version(prices):
    written, held, file = prices
    written.write(PRICES % ("1", 3))
    await looked(file)
    assert (held.of("echo")["input_tokens"], held.version) == (2_000_000, "1")
    assert "the version is still '1'" in file.error
    written.write(PRICES % ("2", 3))
    await looked(file)
    assert file.is_current
    assert (held.of("echo")["input_tokens"], held.version) == (3_000_000, "2")
    written.write(PRICES % ("3", 3))
    await looked(file)
    assert held.version == "3"

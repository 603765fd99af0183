"""Valkey and the model in memory keep the same books, whatever happens: a stateful property test.

Every rule of admission is here: budgets and rates, money, concurrency, watched windows, users, keys
that keys made, cached answers, identical requests in flight, work that is charged once, leases that
run out and holders that come back, and days that pass. The scripts and the model were written
apart, so what they agree on is what was meant. What balances besides is in `test_invariants.py`.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from auth.admission import Admitted, Ask, Settlement
from auth.pipeline import Pipeline
from auth.plans import DAY_S, HOUR_S, Meter, ScopedWindows, Window
from auth.principal import Maker
from auth.valkey import ValkeyAdmission
from core.errors import Conflict
from core.work import WorkUnits
from tests.auth.servers import Valkey
from tests.auth.worlds import REPLY, FakeWorld, ValkeyWorld, World, ask_of, requests, tokens
from tests.fakes.admission import EPOCH, InMemoryAdmission

T = TypeVar("T")
TENANT = (
    "tenant:t1",
    (
        requests(12),
        tokens(200),
        tokens(160, HOUR_S),
        Window(Meter.MONEY, DAY_S, 300),
        Window(Meter.CONCURRENCY, 0, 4),
        Window(Meter.ROWS, DAY_S, 5, watched=True),
    ),
)
USER = ("user:t1:ada", (tokens(150), Window(Meter.CONCURRENCY, 0, 3)))
OWN = (tokens(120), requests(9, HOUR_S))
BY_MAKER: ScopedWindows = (TENANT, ("key:k1", OWN))
BY_MADE: ScopedWindows = (TENANT, USER, ("key:k2", (requests(6),)), ("maker:k1", OWN))
PRICES = {"input_tokens": 2_000, "output_tokens": 500}
amounts = st.integers(0, 25)
units = st.builds(WorkUnits, input_tokens=amounts, output_tokens=amounts, rows=st.integers(0, 3))
names = st.sampled_from([None, None, None, "a", "b"])
choices = st.integers(0, 10)
mostly = st.sampled_from([True, True, True, False])
statuses = st.sampled_from([200, 200, 200, 400, 429, 499, 503])

A_DAY_LATER = """
local day = 86400
local function later(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if field:match(':86400$') then redis.call('HINCRBY', key, field, -day) end
  end
end
local function moved(key)
  local charges = cmsgpack.unpack(redis.call('HGET', key, 'charges'))
  for _, charge in ipairs(charges) do
    if charge[6] == day then charge[3] = charge[3] - day end
  end
  redis.call('HSET', key, 'charges', cmsgpack.pack(charges))
end
for _, key in ipairs(KEYS) do
  if key:match(':window:') then later(key) else moved(key) end
end
"""


class TwoBooks(RuleBasedStateMachine):
    """The same calls of both, and the same answers."""

    url: str
    asked: Bundle[Ask] = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pipeline = Pipeline(SecretStr(self.url))
        prefix = f"two-{secrets.token_hex(6)}"
        self.valkey = ValkeyWorld(ValkeyAdmission(self.pipeline, prefix), self.pipeline, prefix)
        self.memory = FakeWorld(InMemoryAdmission(clock=lambda: int(time.time() * 1000)))
        self.run(self.valkey.set_epoch("t1", EPOCH))
        self.ids: list[str] = []
        self.hour = time.time() // HOUR_S

    def run(self, call: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await call

        return self.runner.run(awaited())

    def teardown(self) -> None:
        self.run(self.pipeline.aclose())
        self.runner.close()

    def both(self, call: Callable[[World], Awaitable[Any]]) -> Any:
        """What both say, if it is the same."""
        said = [self._said(call, world) for world in (self.valkey, self.memory)]
        assume(time.time() // HOUR_S == self.hour)
        assert said[0] == said[1]
        return said[0]

    def _said(self, call: Callable[[World], Awaitable[Any]], world: World) -> Any:
        try:
            return self.run(call(world))
        except Conflict:
            return Conflict

    @rule(
        target=asked,
        usual=units,
        more=amounts,
        made=st.booleans(),
        cache_key=names,
        once=names,
        read_cache=mostly,
        share=mostly,
    )
    def admit(self, usual: WorkUnits, more: int, made: bool, **how: Any) -> Ask:
        scopes = BY_MADE if made else BY_MAKER
        ask = ask_of(scopes=scopes, prices=PRICES, bound=usual + WorkUnits(0, 0, more), **how)
        makers = (Maker("k1"),) if made else ()
        ask = replace(ask, units=usual, principal=replace(ask.principal, makers=makers))
        self.ids.append(ask.request_id)

        async def verdict(world: World) -> Any:
            said = await world.admission.admit(ask)
            used = [state.used for state in getattr(said, "windows", ())]
            watched = [w.window for w in said.would_refuse] if isinstance(said, Admitted) else []
            return type(said), used, watched, getattr(said, "reply", None)

        self.both(verdict)
        return ask

    @rule(choice=choices, done=units)
    def renew(self, choice: int, done: WorkUnits) -> None:
        """Also what had its lease run out: then it is open again."""
        request_id = self.one_of_the_living(choice)
        self.both(lambda world: world.admission.renew(request_id, done))

    @rule(choice=choices, done=units, status=statuses, kept=mostly)
    def end(self, choice: int, done: WorkUnits, status: int, kept: bool) -> None:
        cache = REPLY if kept and status == 200 else None
        settlement = Settlement(self.one_of_the_living(choice), done, status, cache=cache)
        assert self.both(lambda world: world.admission.settle(settlement))

    @rule(ask=asked, done=units, status=statuses, kept=st.booleans())
    def settle(self, ask: Ask, done: WorkUnits, status: int, kept: bool) -> None:
        """Also what was refused, or was settled before."""
        cache = REPLY if kept and status == 200 else None
        settlement = Settlement(ask.request_id, done, status, cache=cache)
        self.both(lambda world: world.admission.settle(settlement))

    @rule(choice=choices, swept=mostly)
    def lease_runs_out(self, choice: int, swept: bool) -> None:
        request_id = self.one_of_the_living(choice)
        if request_id in self.memory.admission.reservations:
            self.both(lambda world: world.expire(request_id))
        if swept:
            self.both(lambda world: world.admission.sweep())

    def one_of_the_living(self, choice: int) -> str:
        """A request that was admitted and that nobody has settled but a lease."""
        fake = self.memory.admission
        living = [*fake.reservations, *fake.guessed]
        assume(living)
        return living[choice % len(living)]

    @rule()
    def a_day_passes(self) -> None:
        """Of days; hours, leases and what is kept stand still."""
        kinds = (b":window:", b":reservation:", b":guessed:")
        keys = [k for k in self.run(self.valkey.keys()) if any(kind in k for kind in kinds)]
        self.run(self.pipeline.call("EVAL", A_DAY_LATER, len(keys), *keys))
        fake = self.memory.admission
        for (scope, meter, seconds), (began, count) in list(fake.counters.items()):
            if seconds == DAY_S:
                fake.counters[scope, meter, seconds] = (began - DAY_S, count)
        for held in (*fake.reservations.values(), *fake.guessed.values()):
            held.charges = [
                (cell, bucket - DAY_S if cell[1].seconds == DAY_S else bucket, amount)
                for cell, bucket, amount in held.charges
            ]

    @invariant()
    def windows_stand_where_they_should(self) -> None:
        async def used(world: World) -> list[int]:
            standing = await world.admission.standing((*BY_MADE, ("key:k1", OWN)))
            return [state.used for state in standing]

        assert min(self.both(used)) >= 0

    @invariant()
    def the_same_is_open_and_was_told(self) -> None:
        async def known(world: World) -> Any:
            open_ids = [await world.admission.is_open(each) for each in self.ids[-5:]]
            return open_ids, sorted(await world.events())

        self.both(known)


@pytest.mark.filterwarnings("ignore")
def test_both_keep_the_same_books(valkey_server: Valkey):
    TwoBooks.url = valkey_server.url
    run_state_machine_as_test(
        TwoBooks,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

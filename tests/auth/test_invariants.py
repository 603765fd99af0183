"""Whatever callers do and in whatever order, the books balance: a stateful property test.

The model is a dictionary; the store is real Valkey. Windows are a day long, so that no window
turns while an example runs (one that crosses midnight UTC is discarded).
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from auth.admission import Admitted, Ask, Refused
from auth.pipeline import Pipeline
from auth.plans import DAY_S
from auth.valkey import ValkeyAdmission
from core.work import WorkUnits
from tests.auth.servers import Valkey
from tests.auth.worlds import ValkeyWorld, ask_of, requests, settled, tokens
from tests.fakes.admission import EPOCH

T = TypeVar("T")
REQUEST_LIMIT, TOKEN_LIMIT = 6, 100
SCOPES = (
    ("tenant:t1", (requests(REQUEST_LIMIT), tokens(TOKEN_LIMIT))),
    ("key:k1", (tokens(TOKEN_LIMIT),)),
)
amounts = st.integers(0, 60)


@dataclass
class Running:
    ask: Ask
    so_far: int = 0


class Books(RuleBasedStateMachine):
    """Admissions, renewals, settlements and expiries against a model of the counters."""

    url: str
    running: Bundle[Running] = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pipeline = Pipeline(SecretStr(self.url))
        prefix = f"books-{secrets.token_hex(6)}"
        self.world = ValkeyWorld(ValkeyAdmission(self.pipeline, prefix), self.pipeline, prefix)
        self.run(self.world.set_epoch("t1", EPOCH))
        self.requests = self.tokens = 0
        self.open: dict[str, Running] = {}
        self.day = time.time() // DAY_S

    def run(self, call: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await call

        return self.runner.run(awaited())

    def teardown(self) -> None:
        self.run(self.pipeline.aclose())
        self.runner.close()

    @rule(target=running, estimate=amounts)
    def admit(self, estimate: int) -> Any:
        ask = ask_of(scopes=SCOPES, units=estimate)
        verdict = self.run(self.world.admission.admit(ask))
        has_room = self.requests < REQUEST_LIMIT and (
            estimate == 0 or self.tokens + estimate <= TOKEN_LIMIT
        )
        assert isinstance(verdict, Admitted if has_room else Refused)
        if not has_room:
            return multiple()
        self.requests += 1
        self.tokens += estimate
        request = self.open[ask.request_id] = Running(ask)
        return request

    @rule(request=running, actual=amounts)
    def renew(self, request: Running, actual: int) -> None:
        self.run(self.world.admission.renew(request.ask.request_id, WorkUnits(actual)))
        request.so_far = actual

    @rule(request=running, actual=amounts, status=st.sampled_from([200, 400, 429, 499, 500, 503]))
    def settle(self, request: Running, actual: int, status: int) -> None:
        """Also settles requests that are over: the bundle keeps them on purpose."""
        was_open = self.open.pop(request.ask.request_id, None) is not None
        settlement = settled(request.ask, actual, status_code=status)
        assert self.run(self.world.admission.settle(settlement)) == was_open
        if was_open:
            self.tokens += actual - request.ask.units.tokens
            self.requests -= status >= 500 or status == 429

    @rule(request=consumes(running))
    def expire(self, request: Running) -> None:
        was_open = self.open.pop(request.ask.request_id, None) is not None
        self.run(self.world.expire(request.ask.request_id))
        assert len(self.run(self.world.admission.sweep())) == was_open
        if was_open:
            self.tokens += request.so_far - request.ask.units.tokens

    @invariant()
    def counters_are_the_sum_of_what_is_reserved_and_what_was_done(self) -> None:
        standing = self.run(self.world.admission.standing(SCOPES))
        assume(time.time() // DAY_S == self.day)
        assert [state.used for state in standing] == [self.requests, self.tokens, self.tokens]

    @invariant()
    def reservations_and_leases_are_the_open_requests(self) -> None:
        prefix = self.world.prefix
        leases = self.run(self.pipeline.call("ZRANGE", f"{prefix}:leases", 0, -1))
        assert {lease.decode() for lease in leases} == set(self.open)
        reservations = [k for k in self.run(self.world.keys()) if b":reservation:" in k]
        assert len(reservations) == len(self.open)

    @invariant()
    def every_request_has_one_event_at_each_end(self) -> None:
        events = self.run(self.world.events())
        assert len(events) == len(set(events))
        ended = [request for kind, request in events if kind != "admitted"]
        assert len(ended) == len(set(ended))
        started = {request for kind, request in events if kind == "admitted"}
        assert started - set(ended) == set(self.open)


@pytest.mark.filterwarnings("ignore")
def test_the_books_always_balance(valkey_server: Valkey):
    Books.url = valkey_server.url
    run_state_machine_as_test(
        Books,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

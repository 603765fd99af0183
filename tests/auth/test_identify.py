import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.identify import Identifier, credentials
from auth.keys import KeyHasher
from auth.principal import Principal, Scope
from core.errors import ExpiredKey, InvalidKey, StoreUnavailable

KEY = "ck-0123456789abcdef-" + "a" * 43


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY.encode())],
        [(b"Authorization", b"bearer  " + KEY.encode() + b" ")],
        [(b"x-api-key", KEY.encode())],
        [(b"X-Admin-Key", KEY.encode())],
        [(b"x-api-key", KEY.encode()), (b"authorization", b"Bearer " + KEY.encode())],
        [(b"accept", b"*/*"), (b"x-api-key", KEY.encode()), (b"cookie", b"a=b")],
    ],
)
def test_a_key_is_read_from_whatever_header_it_came_in(headers: list[tuple[bytes, bytes]]):
    assert credentials(headers) == KEY


def test_no_credentials_is_none():
    assert credentials([(b"accept", b"*/*")]) is None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Basic dXNlcjpwYXNz")],
        [(b"authorization", KEY.encode())],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"two words")],
        [(b"x-api-key", "clé".encode())],
        [(b"x-api-key", b"nul\x00byte")],
        [(b"x-api-key", b"k" * 513)],
        [(b"x-api-key", b"one"), (b"x-api-key", b"one")],
        [(b"x-api-key", b"one"), (b"X-API-Key", b"two")],
        [(b"x-api-key", b"one"), (b"authorization", b"Bearer two")],
        [(b"x-admin-key", b"one"), (b"x-api-key", b"two")],
    ],
)
def test_contradictory_or_broken_credentials_are_refused(headers: list[tuple[bytes, bytes]]):
    with pytest.raises(InvalidKey):
        credentials(headers)


names = st.sampled_from([b"authorization", b"Authorization", b"x-api-key", b"X-Admin-Key", b"host"])


@given(st.lists(st.tuples(names, st.binary(max_size=600)), max_size=4))
def test_any_headers_give_a_clean_key_none_or_a_refusal_that_quotes_nothing(
    headers: list[tuple[bytes, bytes]],
):
    text = ""
    try:
        found = credentials(headers)
    except InvalidKey as error:
        found, text = None, str(error)
    values = [value.decode("latin-1") for _, value in headers if len(value) > 12]
    assert not any(value in text for value in values)
    assert found is None or (found.isascii() and found.isprintable() and 0 < len(found) <= 512)


class Desk:
    """A directory that counts its visitors and answers what a test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.answer: Callable[[], Principal] = lambda: principal("e1")
        self.gate: asyncio.Event | None = None

    async def epoch(self, tenant_id: str) -> str:
        return "e1"

    async def principal_for(self, key: str) -> Principal:
        self.calls += 1
        answer = self.answer
        if self.gate is not None:
            await self.gate.wait()
        return answer()


def principal(epoch: str, expires_at: datetime | None = None) -> Principal:
    return Principal("t", "k", "pro", epoch, frozenset({Scope.INFERENCE}), expires_at=expires_at)


def raises(error: Exception) -> Callable[[], Principal]:
    def answer() -> Principal:
        raise error

    return answer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def identifier(desk: Desk, hasher: KeyHasher, clock: Clock) -> Identifier:
    return Identifier(desk, hasher, max_entries=3, clock=clock)


async def test_a_principal_is_remembered_until_its_time_is_over(
    identifier: Identifier, desk: Desk, clock: Clock
):
    for _ in range(3):
        assert (await identifier.identify(KEY)).epoch == "e1"
    assert desk.calls == 1
    clock.now += 31
    await identifier.identify(KEY)
    assert desk.calls == 2


async def test_a_forgotten_key_is_loaded_anew(identifier: Identifier, desk: Desk):
    await identifier.identify(KEY)
    desk.answer = lambda: principal("e2")
    identifier.forget(KEY)
    assert (await identifier.identify(KEY)).epoch == "e2"


async def test_of_many_callers_with_a_stale_principal_one_loads_it_anew(
    identifier: Identifier, desk: Desk
):
    stale = await identifier.identify(KEY)
    desk.answer = lambda: principal("e2")

    async def again() -> Principal:
        identifier.forget(KEY, stale)
        return await identifier.identify(KEY)

    found = await asyncio.gather(*(again() for _ in range(20)))
    assert {one.epoch for one in found} == {"e2"}
    assert desk.calls == 2


async def test_a_load_that_began_before_forgetting_is_not_remembered(
    identifier: Identifier, desk: Desk
):
    desk.gate = asyncio.Event()
    early = asyncio.create_task(identifier.identify(KEY))
    await asyncio.sleep(0.001)
    identifier.forget(KEY)
    desk.answer = lambda: principal("e2")
    late = asyncio.create_task(identifier.identify(KEY))
    await asyncio.sleep(0.001)
    desk.gate.set()
    assert (await early).epoch == "e1"
    assert (await late).epoch == "e2"
    assert (await identifier.identify(KEY)).epoch == "e2"


async def test_many_requests_with_a_new_key_load_it_once(identifier: Identifier, desk: Desk):
    found = await asyncio.gather(*(identifier.identify(KEY) for _ in range(50)))
    assert len(found) == 50
    assert desk.calls == 1


async def test_an_unknown_key_is_remembered_briefly(
    identifier: Identifier, desk: Desk, clock: Clock
):
    desk.answer = raises(InvalidKey("no"))
    for _ in range(3):
        with pytest.raises(InvalidKey):
            await identifier.identify(KEY)
    assert desk.calls == 1
    clock.now += 2.1
    desk.answer = lambda: principal("e1")
    assert await identifier.identify(KEY)


async def test_an_outage_is_never_remembered_nor_called_invalid(identifier: Identifier, desk: Desk):
    desk.answer = raises(StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await identifier.identify(KEY)
    desk.answer = lambda: principal("e1")
    assert await identifier.identify(KEY)


async def test_a_remembered_key_still_expires_on_time(identifier: Identifier, desk: Desk):
    soon = datetime.now(UTC) + timedelta(seconds=0.05)
    desk.answer = lambda: principal("e1", expires_at=soon)
    assert await identifier.identify(KEY)
    await asyncio.sleep(0.06)

    def ended() -> Principal:
        raise ExpiredKey("the API key has expired")

    desk.answer = ended
    with pytest.raises(ExpiredKey):
        await identifier.identify(KEY)


async def test_a_key_that_was_given_more_time_is_good(identifier: Identifier, desk: Desk):
    soon = datetime.now(UTC) + timedelta(seconds=0.05)
    desk.answer = lambda: principal("e1", expires_at=soon)
    assert await identifier.identify(KEY)
    desk.answer = lambda: principal("e2", expires_at=soon + timedelta(hours=1))
    await asyncio.sleep(0.06)
    assert (await identifier.identify(KEY)).epoch == "e2"


async def test_a_flood_of_wrong_keys_does_not_push_out_the_right_one(
    identifier: Identifier, desk: Desk, hasher: KeyHasher
):
    await identifier.identify(KEY)
    desk.answer = raises(InvalidKey("no"))
    for _ in range(10):
        with pytest.raises(InvalidKey):
            await identifier.identify(hasher.generate().secret.get_secret_value())
    assert (await identifier.identify(KEY)).epoch == "e1"
    assert len(identifier._bad) <= 3


async def test_a_malformed_key_never_reaches_the_store(identifier: Identifier, desk: Desk):
    with pytest.raises(InvalidKey):
        await identifier.identify("sk-something-else'; DROP TABLE api_keys")
    assert desk.calls == 0


async def test_a_cancelled_caller_does_not_cancel_the_load_of_others(
    identifier: Identifier, desk: Desk
):
    desk.gate = asyncio.Event()
    first, second = (asyncio.create_task(identifier.identify(KEY)) for _ in range(2))
    await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.001)
    desk.gate.set()
    assert (await second).epoch == "e1"

import asyncio
import unicodedata

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from auth import passwords as module
from auth.email import normalized
from auth.passwords import ARGON2, Passwords, require_good
from core.errors import InvalidRequest, Unavailable

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
RIGHT = SecretStr("correct horse battery")


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


async def test_a_password_is_known_by_its_hash_alone(passwords: Passwords):
    stored = await passwords.hash(RIGHT)
    assert stored.startswith("$argon2id$")
    assert RIGHT.get_secret_value() not in stored
    assert await passwords.check(RIGHT, stored)
    assert not await passwords.check(SecretStr("correct horse batterx"), stored)
    assert await passwords.hash(RIGHT) != stored


async def test_nobody_has_no_password(passwords: Passwords):
    assert not await passwords.check(SecretStr("nobody's password"), None)
    assert not await passwords.check(RIGHT, None)
    assert not await passwords.check(RIGHT, "not a hash")


async def test_an_unknown_user_costs_as_much_as_a_known_one():
    calls = []

    class Counting(PasswordHasher):
        def verify(self, hash, password):  # noqa: A002
            calls.append(self.check_needs_rehash(hash))
            return super().verify(hash, password)

    passwords = Passwords(Counting(time_cost=1, memory_cost=64, parallelism=1))
    await passwords.check(RIGHT, None)
    await passwords.check(RIGHT, await passwords.hash(RIGHT))
    assert calls == [False, False]  # both with today's parameters


async def test_other_parameters_are_outdated(passwords: Passwords):
    stored = await passwords.hash(RIGHT)
    assert not passwords.is_outdated(stored)
    assert Passwords(ARGON2).is_outdated(stored)


async def test_accents_are_the_same_composed_or_not(passwords: Passwords):
    composed = unicodedata.normalize("NFC", "crème brûlée été")
    apart = unicodedata.normalize("NFD", composed)
    assert composed != apart
    assert await passwords.check(SecretStr(apart), await passwords.hash(SecretStr(composed)))


async def test_a_crowd_is_told_to_come_back(passwords: Passwords, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    results = await asyncio.gather(
        *(passwords.hash(RIGHT) for _ in range(10)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == 7
    assert await passwords.hash(RIGHT)


@pytest.mark.parametrize("bad", ["short", "x" * 129, "ada@example.com", "ADA@example.com"])
def test_weak_passwords_are_refused(bad: str):
    with pytest.raises(InvalidRequest) as caught:
        require_good(SecretStr(bad), "ada@example.com")
    assert bad not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "spelling"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("ada@bücher.example", "ada@bücher.example"),
        ("ada@host.local", "ada@host.local"),
    ],
)
def test_an_address_has_one_spelling(address: str, spelling: str):
    assert normalized(address) == spelling


@pytest.mark.parametrize(
    "bad",
    ["", "ada", "@example.com", "a b@example.com", "Ada <a@example.com>", "a@\x00", "x" * 999],
)
def test_what_is_no_address_is_refused(bad: str):
    with pytest.raises(InvalidRequest):
        normalized(bad)

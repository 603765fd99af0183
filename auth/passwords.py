"""Passwords: argon2id (RFC 9106) in threads, a few at a time.

Place in the path: logging in, never a model call. This module does not know where hashes are kept
or whose they are. Every check does the same work, whether or not there is a hash to check against.
"""

import asyncio
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

from core.errors import InvalidRequest, Unavailable

P = ParamSpec("P")
R = TypeVar("R")

MIN_CHARACTERS = 10
MAX_CHARACTERS = 128
ARGON2 = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
"""Memory as RFC 9106 has it for servers: 64 MiB a hash."""
AT_ONCE = 2
MAX_WAITING = 32


class Passwords:
    """Makes and checks password hashes. Belongs to one event loop.

    Args:
        hasher: its parameters; hashes made with others are made anew at the next login.
        at_once: how many hashes are computed at the same time; each takes memory and a core.
    """

    def __init__(self, hasher: PasswordHasher = ARGON2, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys: str | None = None
        self._took_s = 0.0

    async def hash(self, password: SecretStr) -> str:
        """A new hash, with its parameters and salt inside."""
        return await self._run(self._hash, _plain(password))

    async def check(self, password: SecretStr, stored: str | None) -> bool:
        """Whether `password` has the hash `stored`. None, which is nobody's, takes as long."""
        began = time.monotonic()
        is_right = await self._run(self._check, _plain(password), stored)
        self._took_s = time.monotonic() - began
        return is_right

    async def pretend(self) -> None:
        """Take as long as the last check did, without its work."""
        await asyncio.sleep(self._took_s)

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _run(self, work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("too many logins at the moment", retry_after_s=1.0)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, partial(work, *arguments, **named))
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def _check(self, password: str, stored: str | None) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("nobody's password")
        try:
            return self._hasher.verify(stored or self._nobodys, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def require_good(password: SecretStr, email: str | None) -> None:
    """Raise InvalidRequest for a password that is too short, too long or the email itself.

    Length is what counts (NIST SP 800-63B); there are no rules about kinds of characters.
    """
    plain = _plain(password)
    if not MIN_CHARACTERS <= len(plain) <= MAX_CHARACTERS:
        raise InvalidRequest(
            f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters", "password"
        )
    if email is not None and plain.lower() in (email, email.partition("@")[0]):
        raise InvalidRequest("the password must not be the email address", "password")


def _plain(password: SecretStr) -> str:
    """One spelling of what looks the same: composed or decomposed accents."""
    return unicodedata.normalize("NFC", password.get_secret_value())

"""Who is calling: credentials from headers, and the principals they stand for.

Place in the path: step 2. One function reads credentials whatever header they came in, so no
variant skips a check; one cache keeps known principals. This module does not decide what a
principal may do.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from auth.access_tokens import MAX_TOKEN_BYTES, looks_like_token
from auth.keys import KeyHasher, key_id_of
from auth.open_webui import HEADER as FORWARDED_USER
from auth.open_webui import ForwardedUsers
from auth.principal import Principal
from core.errors import ExpiredKey, InvalidKey, Unauthenticated

AUTHORIZATION = b"authorization"
CREDENTIAL_HEADERS = (AUTHORIZATION, b"x-api-key", b"x-admin-key")
VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]+")
MAX_CREDENTIAL_BYTES = 512
"""Of anything but an access token."""


def credentials(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key or access token that a request carries, or None when it carries none.

    After a key, and a space, comes who Open WebUI says that the human is, if it does.

    Args:
        headers: raw header pairs, as ASGI gives them (`request.headers.raw`).

    Raises InvalidKey for a header given twice, headers that contradict each other, a scheme other
    than Bearer (RFC 6750), and values that no key can have.
    """
    found: dict[bytes, str] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name not in CREDENTIAL_HEADERS and name != FORWARDED_USER:
            continue
        if name in found:
            raise InvalidKey(f"the header '{name.decode()}' was sent more than once")
        found[name] = _credential(name, value)
    human = found.pop(FORWARDED_USER, None)
    values = set(found.values())
    if len(values) > 1:
        raise InvalidKey("the request carries two different API keys")
    if not values:
        return None
    return values.pop() if human is None else f"{values.pop()} {human}"


def _credential(name: bytes, value: bytes) -> str:
    """One header's key. Messages never quote the value: it may be a mistyped secret."""
    if len(value) > MAX_TOKEN_BYTES + MAX_CREDENTIAL_BYTES:
        raise InvalidKey("the API key is too long")
    value = value.strip()
    if name == AUTHORIZATION:
        scheme, _, value = value.partition(b" ")
        if scheme.lower() != b"bearer":
            raise InvalidKey("the Authorization header must be 'Bearer' and an API key")
        value = value.strip()
    if VISIBLE_ASCII.fullmatch(value) is None:
        raise InvalidKey("the API key is not valid")
    credential = value.decode("ascii")
    if len(value) > MAX_CREDENTIAL_BYTES and not looks_like_token(credential):
        raise InvalidKey("the API key is too long")
    return credential


@dataclass(slots=True)
class _Known:
    """What is remembered of one presented key, by digest: a principal or a refusal."""

    until: float
    principal: Principal | None


class Principals(Protocol):
    """Where principals are loaded from: `auth.callers.Callers`, or the directory alone."""

    async def principal_for(self, key: str) -> Principal: ...
    async def epoch(self, tenant_id: str) -> str: ...


class Identifier:
    """Principals by key, remembered for a while in this process.

    Revocation does not wait for the memory to fade: admission compares the principal's epoch and
    answers Stale, upon which the caller forgets the key and identifies again. The time to live is
    a backstop. Keys themselves are not kept: entries are found by digest.

    Args:
        directory: where principals are loaded from.
        hasher: makes the digests.
        forwarded: verifies who the human behind a trusted key is; None does not ask.
        max_entries: how many principals are remembered, and how many refusals.
        ttl_s: how long a principal is remembered.
        negative_ttl_s: how long a refusal is remembered.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        directory: Principals,
        hasher: KeyHasher,
        max_entries: int = 10_000,
        ttl_s: float = 30.0,
        negative_ttl_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        forwarded: ForwardedUsers | None = None,
    ) -> None:
        self._forwarded = forwarded
        self._directory = directory
        self._hasher = hasher
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._negative_ttl_s = negative_ttl_s
        self._clock = clock
        # Apart, so that a flood of wrong keys cannot push out the right ones.
        self._good: OrderedDict[bytes, _Known] = OrderedDict()
        self._bad: OrderedDict[bytes, _Known] = OrderedDict()
        self._loading: dict[bytes, asyncio.Task[Principal]] = {}

    async def identify(self, key: str) -> Principal:
        """Who a credential acts for. Raises InvalidKey, ExpiredKey, StoreUnavailable."""
        key, _, human = key.partition(" ")
        principal = await self._identify(key)
        if self._forwarded is None or not human or not principal.trusted:
            return principal
        return principal.used_by(self._forwarded.user_id(human))

    async def _identify(self, key: str) -> Principal:
        if key_id_of(key) is None and not looks_like_token(key):
            raise InvalidKey("the API key is not valid")
        digest = self._hasher.digest(key)
        if (known := self._remembered(self._good, digest)) and known.principal:
            if not _has_expired(known.principal):
                return known.principal
            self.forget(key)  # it may last longer since: the load decides
        if self._remembered(self._bad, digest):
            raise InvalidKey("the API key is not valid")
        return await self._load(key, digest)

    def forget(self, key: str, stale: Principal | None = None) -> None:
        """Load the principal anew next time: admission said that it is stale.

        With the `stale` principal, of many callers that hold it only the first has an effect.
        """
        digest = self._hasher.digest(key.partition(" ")[0])
        known = self._good.get(digest)
        if stale is not None and (known is None or not _is_as_old(known.principal, stale)):
            return
        self._good.pop(digest, None)
        # A load that began before the change must not answer for the time after it.
        self._loading.pop(digest, None)

    def remembers(self, key: str) -> bool:
        """Whether a credential was good lately: it need not be so any more."""
        return self._hasher.digest(key.partition(" ")[0]) in self._good

    async def is_current(self, principal: Principal) -> bool:
        """Whether nothing of its tenant changed since `principal` was read.

        For requests that no admission compares. Raises StoreUnavailable.
        """
        return await self._directory.epoch(principal.tenant_id) == principal.epoch

    def _remembered(self, memory: OrderedDict[bytes, _Known], digest: bytes) -> _Known | None:
        known = memory.get(digest)
        if known is None:
            return None
        if known.until <= self._clock():
            return None  # it stays until others need its place: see `remembers`
        memory.move_to_end(digest)
        return known

    async def _load(self, key: str, digest: bytes) -> Principal:
        """One load at a time per key, shared by all who wait for it."""
        task = self._loading.get(digest)
        if task is None:
            task = asyncio.create_task(self._directory.principal_for(key))
            self._loading[digest] = task
            task.add_done_callback(lambda done: self._loaded(digest, done))
        return await asyncio.shield(task)

    def _loaded(self, digest: bytes, task: asyncio.Task[Principal]) -> None:
        is_current = self._loading.get(digest) is task
        if is_current:
            del self._loading[digest]
        if task.cancelled():
            return
        error = task.exception()
        if error is None and is_current:
            self._remember(self._good, digest, _Known(self._clock() + self._ttl_s, task.result()))
        elif isinstance(error, Unauthenticated) and not isinstance(error, ExpiredKey):
            self._remember(self._bad, digest, _Known(self._clock() + self._negative_ttl_s, None))

    def _remember(self, memory: OrderedDict[bytes, _Known], digest: bytes, known: _Known) -> None:
        memory[digest] = known
        if len(memory) > self._max_entries:
            memory.popitem(last=False)


def _is_as_old(known: Principal | None, stale: Principal) -> bool:
    """Whether both were read at the same version of the tenant."""
    return known is not None and known.epoch == stale.epoch


def _has_expired(known: Principal) -> bool:
    key_ends, token_ends = known.expires_at, known.token_expires_at
    if key_ends is None and token_ends is None:
        return False
    now = datetime.now(UTC)
    return (key_ends is not None and key_ends <= now) or (
        token_ends is not None and token_ends <= now
    )

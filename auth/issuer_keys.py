"""Keys that foreign tokens are verified with: a shared secret, or a set of public keys (RFC 7517).

Place in the path: step 2, when a foreign token is seen for the first time. A set at a URL is
remembered and read again when a token names a key that it lacks, at most once in a while.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt
import orjson

from auth.access_tokens import invalid_token
from auth.identity_settings import IssuerSettings
from core.errors import SettingsError, Unavailable
from core.settings import ROOT

MIN_SECRET_BYTES = 32
MAX_SET_BYTES = 2**18
TIMEOUT_S = 5.0
REFETCH_S = 60.0
MAX_AGE_S = 3600.0


class Keys(Protocol):
    """Where an issuer's keys come from."""

    async def find(self, key_id: str | None) -> Any:
        """The key of that id; of no id, the only one. Raises InvalidKey, Unavailable."""


class SharedSecret:
    """HS256: one secret, whatever id a token names."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise SettingsError(f"a secret of an issuer has at least {MIN_SECRET_BYTES} bytes")
        self.secret = secret

    async def find(self, key_id: str | None) -> Any:
        del key_id
        return self.secret


class FixedKeys:
    """A set that is part of the configuration."""

    def __init__(self, document: Any, algorithm: str) -> None:
        self._keys = public_keys(document, algorithm)
        if not self._keys:
            raise SettingsError(f"no key of the set is for {algorithm}")

    async def find(self, key_id: str | None) -> Any:
        return _chosen(self._keys, key_id)


class KeysAtUrl:
    """A set that its issuer publishes. Belongs to one event loop.

    Args:
        url: the operator's own word, so an internal address is fine; redirects are not followed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        algorithm: str,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._transport = transport
        self._clock = clock
        self._keys: dict[str | None, Any] = {}
        self._read_at: float | None = None
        self._asked_at: float | None = None
        self._reading = asyncio.Lock()

    async def find(self, key_id: str | None) -> Any:
        if self._is_older_than(self._read_at, MAX_AGE_S) or key_id not in self._keys:
            async with self._reading:
                if self._is_older_than(self._asked_at, REFETCH_S):
                    await self._read()
        if self._read_at is None:
            raise Unavailable("the identity provider's keys cannot be read", retry_after_s=10.0)
        return _chosen(self._keys, key_id)

    def _is_older_than(self, moment: float | None, seconds: float) -> bool:
        return moment is None or self._clock() - moment >= seconds

    async def _read(self) -> None:
        """Replace the set. What was read before stays when it cannot be read now."""
        self._asked_at = self._clock()
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT_S) as client,
                client.stream("GET", self._url) as response,
            ):
                response.raise_for_status()
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_SET_BYTES:
                        return
            keys = public_keys(orjson.loads(body), self._algorithm)
        except (httpx.HTTPError, TimeoutError, orjson.JSONDecodeError, SettingsError):
            return
        self._keys, self._read_at = keys, self._clock()


def public_keys(document: Any, algorithm: str) -> dict[str | None, Any]:
    """The keys of a set that verify signatures by `algorithm`, by id; others are left out.

    Raises SettingsError for what is no set.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise SettingsError('a set of keys has the form {"keys": [...]}')
    found: dict[str | None, Any] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not _is_for(entry, algorithm):
            continue
        key_id = entry.get("kid")
        try:
            found[key_id if isinstance(key_id, str) else None] = jwt.PyJWK(entry, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return found


def _is_for(entry: dict[str, Any], algorithm: str) -> bool:
    """Whether an entry is a public key for signatures by `algorithm`, as far as it says."""
    is_public = "d" not in entry and entry.get("kty") != "oct"
    says = (entry.get("use", "sig"), entry.get("alg", algorithm))
    return is_public and says == ("sig", algorithm)


def keys_of(settings: IssuerSettings) -> Keys:
    """Where the keys of an issuer come from. Raises SettingsError."""
    if settings.secret is not None:
        return SharedSecret(settings.secret.resolve().get_secret_value().encode())
    if settings.jwks_url is not None:
        return KeysAtUrl(settings.jwks_url, settings.algorithm)
    if settings.jwks_file is not None:
        return FixedKeys(_document(ROOT / settings.jwks_file), settings.algorithm)
    return FixedKeys(settings.jwks, settings.algorithm)


def _document(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SettingsError(f"{path} is no readable set of keys") from error


def _chosen(keys: dict[str | None, Any], key_id: str | None) -> Any:
    if key_id is None and len(keys) == 1:
        return next(iter(keys.values()))
    if key_id is None or key_id not in keys:
        raise invalid_token()
    return keys[key_id]

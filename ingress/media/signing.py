"""Signed URLs: who holds one may read one medium until it expires, and nothing else.

Place in the path: made when media are published or listed, checked before `/media/…` looks
anything up. A signature covers name, owner and expiry (HMAC-SHA-256, RFC 2104), with a key derived
from the installation's pepper; it is compared in constant time.
"""

import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.datastructures import QueryParams

from core.errors import Forbidden

GRAIN_S = 300
"""Expiries are rounded up to this, so that links made close together are the same link and
caches keep one copy."""
LONGEST_EXPIRY = 11
"""Digits: keeps a hostile number small."""
LASTING = 9_999_999_999
"""The expiry of a URL without one: 2286."""
OWNER_BYTES = 16


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A path with its query, and when it stops working (Unix seconds)."""

    path: str
    expires: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a good signature allows: one owner's media of one name, until `expires`."""

    owner: str
    expires: int


class UrlSigner:
    """Signs and checks.

    Args:
        pepper: the installation's secret; a new one ends every URL.
        ttl_s: how long a URL works.
        now: the clock, in Unix seconds.
    """

    def __init__(
        self, pepper: SecretStr, ttl_s: float, now: Callable[[], float] = time.time
    ) -> None:
        secret = pepper.get_secret_value().encode()
        self._key = hmac.digest(secret, b"media-urls", "sha256")
        self._owner_key = hmac.digest(secret, b"media-owners", "sha256")
        self._ttl_s = ttl_s
        self._now = now

    def owner(self, tenant_id: str) -> str:
        """What URLs call a tenant: stable, and without the pepper not traceable to it."""
        return hmac.digest(self._owner_key, tenant_id.encode(), "sha256")[:OWNER_BYTES].hex()

    def sign(self, name: str, owner: str, ends: float | None = None) -> SignedUrl:
        """A URL path for `name` (`hash.ext`) that works no longer than `ends`."""
        expires = -(-int(self._now() + self._ttl_s) // GRAIN_S) * GRAIN_S
        if ends is not None:
            expires = min(expires, int(ends))
        return self._signed(name, owner, expires)

    def _signed(self, name: str, owner: str, expires: int) -> SignedUrl:
        signature = self._signature(name, owner, str(expires))
        query = f"tenant={owner}&expires={expires}&signature={signature}"
        return SignedUrl(f"/media/{name}?{query}", expires)

    def sign_lasting(self, name: str, owner: str, ends: float | None = None) -> SignedUrl:
        """A URL path that works as long as what it names is there: until `ends`, if it has one."""
        expires = LASTING if ends is None else int(ends)
        return self._signed(name, owner, expires)

    def check(self, name: str, query: QueryParams) -> Grant:
        """Raises Forbidden unless the query signs `name` and has time left.

        Exactly the three parameters: others would give one medium endless names in caches.
        """
        pairs = query.multi_items()
        given = dict(pairs)
        if len(pairs) != len(given) or set(given) != {"tenant", "expires", "signature"}:
            raise Forbidden("the URL is not signed")
        expires = given["expires"]
        expected = self._signature(name, given["tenant"], expires)
        if not hmac.compare_digest(expected.encode(), given["signature"].encode()):
            raise Forbidden("the URL's signature is wrong")
        if not self._is_ahead(expires):
            raise Forbidden("the URL has expired; ask for a new one")
        return Grant(given["tenant"], int(expires))

    def left_s(self, expires: int) -> int:
        """Whole seconds until `expires`."""
        return max(0, int(expires - self._now()))

    def _is_ahead(self, expires: str) -> bool:
        plain = expires.isascii() and expires.isdigit() and len(expires) <= LONGEST_EXPIRY
        return plain and int(expires) > self._now()

    def _signature(self, name: str, owner: str, expires: str) -> str:
        signed = f"{name}\n{owner}\n{expires}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, signed, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

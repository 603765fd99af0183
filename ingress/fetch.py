"""Fetching media that a request names by URL, so that engines get bytes and fetch nothing.

Place in the path: step 1, after the caller was identified. What a URL may reach (CVE-2025-6242
shows why it matters):

- `http` and `https`, without credentials, on their usual ports or an unprivileged one;
- hosts whose every address is public, at the address that was looked at (`ingress.outbound`);
- redirects by the same rules, at most three;
- a limited size, in a limited time, never compressed on the way;
- content that begins like media of the families asked for, whatever its headers say.
"""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass

import httpcore
import httpx
from pydantic import Field

from core.errors import InvalidRequest
from core.model import Frozen
from ingress.addresses import Resolver, system_resolver
from ingress.data_url import decode_data_url, is_data_url, too_long
from ingress.media.kinds import sniff
from ingress.outbound import UNREACHABLE, CheckedNetwork, fetchable

MAX_REDIRECTS = 3
MAX_AT_ONCE = 32
"""Fetches of one gateway: with `max_bytes`, all the memory that they take."""
OK = 200
REDIRECTS = (301, 302, 303, 307, 308)
STEP_TIMEOUT_S = 5.0
HEADERS = [("accept", b"*/*"), ("accept-encoding", b"identity"), ("user-agent", b"carillon")]
IMAGES = ("image",)


class FetchSettings(Frozen):
    """Limits of fetching media by URL."""

    allow_private_media_urls: bool = False
    """Reach hosts that are not on the public internet too: for installations whose every caller
    may reach the internal network anyway."""
    max_bytes: int = Field(20 * 2**20, gt=0)
    """Most bytes that are fetched for one request."""
    timeout_s: float = Field(15.0, gt=0)
    """Longest wait for all of it, redirects included."""


@dataclass(frozen=True, slots=True)
class FetchedMedia:
    """Bytes, and the type that their beginning shows."""

    data: bytes
    media_type: str


class MediaFetcher:
    """Fetches media for callers.

    Args:
        resolve: host names to addresses.
        trust: certificates of HTTPS servers; the usual authorities when not given.
    """

    def __init__(
        self,
        settings: FetchSettings,
        resolve: Resolver = system_resolver,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or httpx.create_ssl_context(),
            max_connections=MAX_AT_ONCE,
            max_keepalive_connections=0,
            network_backend=CheckedNetwork(resolve, settings.allow_private_media_urls),
        )

    @property
    def max_bytes(self) -> int:
        """Most bytes for one request."""
        return self._settings.max_bytes

    async def fetch(
        self,
        url: str,
        param: str,
        families: Collection[str] = IMAGES,
        max_bytes: int | None = None,
    ) -> FetchedMedia:
        """The media at an `http(s):` or `data:` URL.

        Args:
            param: the request field that `url` came in.
            families: what it may be: `image`, `audio`, `video`.
            max_bytes: less than the configured limit, where there is less room.

        Raises:
            InvalidRequest: anything that is wrong with the URL or with what it leads to.
        """
        limit = self._settings.max_bytes if max_bytes is None else max_bytes
        if is_data_url(url):
            data = await asyncio.to_thread(decode_data_url, url, param, limit)
        else:
            data = await self._download(url, param, limit)
        kind = sniff(data)
        if kind is None or kind.media_type.partition("/")[0] not in families:
            wanted = " or ".join(families)
            raise InvalidRequest(f"'{param}': this is no {wanted} of a known format", param)
        return FetchedMedia(data, kind.media_type)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _download(self, url: str, param: str, limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._follow(fetchable(url, param), param, limit)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise InvalidRequest(f"'{param}': the URL took too long to answer", param) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            # One message for all: which internal names and ports exist is nobody's business.
            raise InvalidRequest(f"'{param}': {UNREACHABLE}", param) from error

    async def _follow(self, url: httpx.URL, param: str, limit: int) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            found = await self._get(url, param, limit)
            if isinstance(found, bytes):
                return found
            url = fetchable(found, param, url)
        raise InvalidRequest(f"'{param}': the URL redirects too often", param)

    async def _get(self, url: httpx.URL, param: str, limit: int) -> bytes | str:
        """The body, or where it is instead."""
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), STEP_TIMEOUT_S)
        raw = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        async with self._pool.stream(
            "GET", raw, headers=[("host", url.netloc), *HEADERS], extensions={"timeout": timeouts}
        ) as response:
            headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in REDIRECTS and b"location" in headers:
                return headers[b"location"]
            if response.status != OK:
                raise InvalidRequest(f"'{param}': the URL answered {response.status}", param)
            if headers.get(b"content-encoding", "identity").lower() != "identity":
                raise InvalidRequest(f"'{param}': the URL answers compressed only", param)
            return await _body(response, headers.get(b"content-length", ""), param, limit)


async def _body(response: httpcore.Response, declared: str, param: str, limit: int) -> bytes:
    if declared.isascii() and declared.isdigit() and int(declared[:19]) > limit:
        raise too_long(param, limit)
    body = bytearray()
    async for piece in response.aiter_stream():
        body += piece
        if len(body) > limit:
            raise too_long(param, limit)
    return bytes(body)

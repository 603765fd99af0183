"""Fetching media that a request names by URL, so that engines get bytes and fetch nothing.

Place in the path: step 1, after the caller was identified. What a URL may reach (CVE-2025-6242
shows why it matters):

- `http` and `https`, without credentials, on their usual ports or an unprivileged one;
- hosts whose every address is public: resolved here once, and connected to by that address, so
  that a name cannot change its meaning in between;
- redirects by the same rules, at most three;
- a limited size, in a limited time, never compressed on the way;
- content that begins like media of the families asked for, whatever its headers say.

Proxies of the environment are not used: they would resolve names again, elsewhere.
"""

import asyncio
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import httpcore
import httpx
from pydantic import Field

from core.errors import InvalidRequest
from core.model import Frozen
from ingress.addresses import Resolver, is_public, system_resolver
from ingress.data_url import decode_data_url, is_data_url, too_long
from ingress.media.kinds import sniff

MAX_URL = 4096
MAX_REDIRECTS = 3
MAX_AT_ONCE = 32
"""Fetches of one gateway: with `max_bytes`, all the memory that they take."""
TRIED_ADDRESSES = 4
OK = 200
REDIRECTS = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}
UNPRIVILEGED_PORTS = range(1024, 65536)
STEP_TIMEOUT_S = 5.0
HEADERS = [("accept", b"*/*"), ("accept-encoding", b"identity"), ("user-agent", b"carillon")]
UNREACHABLE = "its host is unknown, does not answer or is not on the public internet"
IMAGES = ("image",)

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


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
            network_backend=_CheckedNetwork(resolve, settings.allow_private_media_urls),
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
                return await self._follow(_parsed(url, param), param, limit)
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
            url = _parsed(found, param, url)
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


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only.

    The one place where a connection is made: what is checked here is what is connected to.
    """

    def __init__(self, resolve: Resolver, allow_private: bool) -> None:  # noqa: FBT001
        self._resolve = resolve
        self._allow_private = allow_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        problem: Exception = httpcore.ConnectError(UNREACHABLE)
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(UNREACHABLE) from error
        # All of them: a name that is public and private at once is a trick.
        if not self._allow_private and not all(is_public(address) for address in found):
            raise httpcore.ConnectError(UNREACHABLE)
        return found[:TRIED_ADDRESSES]


async def _body(response: httpcore.Response, declared: str, param: str, limit: int) -> bytes:
    if declared.isascii() and declared.isdigit() and int(declared[:19]) > limit:
        raise too_long(param, limit)
    body = bytearray()
    async for piece in response.aiter_stream():
        body += piece
        if len(body) > limit:
            raise too_long(param, limit)
    return bytes(body)


def _parsed(text: str, param: str, base: httpx.URL | None = None) -> httpx.URL:
    """`text`, relative to `base`, as a URL that may be fetched. Raises InvalidRequest."""
    try:
        url = httpx.URL(text[: MAX_URL + 1]) if base is None else base.join(text[: MAX_URL + 1])
        host, port = url.raw_host, url.port
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidRequest(f"'{param}': this is not a URL", param) from error
    if url.scheme not in PORTS or not host:
        raise InvalidRequest(f"'{param}': only http, https and data URLs are fetched", param)
    if len(text) > MAX_URL or url.userinfo or b"%" in host:
        raise InvalidRequest(f"'{param}': this URL is not fetched", param)
    if port is not None and port not in PORTS.values() and port not in UNPRIVILEGED_PORTS:
        raise InvalidRequest(f"'{param}': nothing is fetched from port {port}", param)
    return url

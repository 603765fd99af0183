"""Connections to hosts that strangers name: which URLs are followed, and to which addresses.

Place in the path: under `ingress.fetch`, which gets media, and webhooks, which are sent. A host is
resolved here once and connected to by the address that was looked at, so that a name cannot change
its meaning in between. Proxies of the environment are not used: they would resolve names again,
elsewhere.
"""

from collections.abc import Iterable

import httpcore
import httpx

from core.errors import InvalidRequest
from ingress.addresses import Resolver, is_public

MAX_URL = 4096
TRIED_ADDRESSES = 4
PORTS = {"http": 80, "https": 443}
UNPRIVILEGED_PORTS = range(1024, 65536)
UNREACHABLE = "its host is unknown, does not answer or is not on the public internet"

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
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


def fetchable(text: str, param: str, base: httpx.URL | None = None) -> httpx.URL:
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

"""Addresses: which of them are on the public internet, and finding those of a host.

Place in the path: under `ingress.fetch`. What is not known to be public is not: a request that
somebody else's URL makes us send must never reach our own network, this machine, or a cloud's
metadata service.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses as text; raises OSError when there are none."""

# IANA's special-purpose registries (RFC 6890 and its updates), multicast and reserved space.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT, and a cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, on a public address
        "169.254.0.0/16",  # link-local: most clouds' metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
PUBLIC_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo wraps IPv4 addresses
        "2001:db8::/32",
        "2002::/16",  # 6to4 wraps IPv4 addresses
        "3fff::/20",
    )
)
WRAPPED_V4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-mapped addresses and NAT64: the last 32 bits are where packets really go."""
LAST_32_BITS = 2**32 - 1


def is_public(address: str) -> bool:
    """Whether `address` is one of the public internet; False for what is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _public_v4(parsed) if isinstance(parsed, IPv4Address) else _public_v6(parsed)


async def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that this machine finds for a host, in the order to try them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in NOT_PUBLIC_V4)


def _public_v6(address: IPv6Address) -> bool:
    if any(address in network for network in WRAPPED_V4):
        return _public_v4(IPv4Address(int(address) & LAST_32_BITS))
    return address in PUBLIC_V6 and not any(address in network for network in NOT_PUBLIC_V6)

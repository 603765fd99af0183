"""The address of a client, for counting its login attempts.

Place in the path: beside it. Ray's proxy adds no header, so behind it all clients look alike; and
what clients write into `X-Forwarded-For` themselves must not make them look like others. An
address is therefore only known where the operator says that a proxy of theirs sets the header.

Of IPv6 the network of a site counts (/64, RFC 6177): a client has all the addresses in it.
"""

from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import HTTPConnection

HEADER = "x-forwarded-for"
SITE_BITS = 64
"""Of an IPv6 address, those that name the site and not the client in it."""


def client_address(connection: HTTPConnection, *, forwarded_for: bool) -> str | None:
    """The last entry of `X-Forwarded-For`, which the nearest proxy wrote, or its network; None when
    not known.
    """
    if not forwarded_for:
        return None
    lines = connection.headers.getlist(HEADER)
    last = lines[-1].rpartition(",")[2].strip() if lines else ""
    try:
        address = ip_address(last)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), SITE_BITS), strict=False))

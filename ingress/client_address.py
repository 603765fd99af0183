"""The address of a client, for counting its login attempts.

Place in the path: beside it. Ray's proxy adds no header, so behind it all clients look alike; and
what clients write into `X-Forwarded-For` themselves must not make them look like others. An
address is therefore only known where the operator says that a proxy of theirs sets the header.
"""

from ipaddress import ip_address

from starlette.requests import HTTPConnection

HEADER = "x-forwarded-for"


def client_address(connection: HTTPConnection, *, forwarded_for: bool) -> str | None:
    """The last entry of `X-Forwarded-For`, which the nearest proxy wrote; None when not known."""
    if not forwarded_for:
        return None
    lines = connection.headers.getlist(HEADER)
    last = lines[-1].rpartition(",")[2].strip() if lines else ""
    try:
        return str(ip_address(last))
    except ValueError:
        return None

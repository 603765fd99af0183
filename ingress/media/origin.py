"""The origin that a caller used, so that URLs in its answer lead back the same way.

Place in the path: end of an exchange, for URLs in answers. It affects nobody but the caller whose
own headers it reads; nothing that holds such a URL is cached.
"""

import re

from ingress.exchange import Exchange

HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


def origin_of(exchange: Exchange) -> str:
    """`https://host[:port]`, or nothing when the request does not say it plainly."""
    headers = exchange.http.headers
    host = headers.get("host", "")
    scheme = headers.get("x-forwarded-proto", exchange.http.url.scheme)
    if not HOST.fullmatch(host) or scheme not in ("http", "https"):
        return ""
    return f"{scheme}://{host}"

"""Paths that the multi-tenant platform and the first gateway documented, as thin aliases.

Place in the path: step 1 for older clients. Each is a canonical endpoint under another path, with
the same handler and the same request; nothing is decided here.

    /api/v1/auth/register, /api/v1/auth/token    /v1/auth/…
    /api/v1/tenants/me, /api/v1/users/me         /v1/…
    /api/v1/api-keys                             /v1/api-keys
    /api/v1/usage/summary, /api/v1/usage/daily   /v1/usage/…
    /api/usage                                   /v1/usage
"""

from collections.abc import Iterable
from dataclasses import replace

from ingress.endpoint import Endpoint

ALIASES = {
    "/v1/auth/register": "/api/v1/auth/register",
    "/v1/auth/token": "/api/v1/auth/token",
    "/v1/tenants/me": "/api/v1/tenants/me",
    "/v1/users/me": "/api/v1/users/me",
    "/v1/api-keys": "/api/v1/api-keys",
    "/v1/api-keys/{key_id}": "/api/v1/api-keys/{key_id}",
    "/v1/usage/summary": "/api/v1/usage/summary",
    "/v1/usage/daily": "/api/v1/usage/daily",
    "/v1/usage": "/api/usage",
}


class PlatformAliases:
    """The aliases among `endpoints`, in their order."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = [
            replace(endpoint, path=ALIASES[endpoint.path], summary=f"Alias of {endpoint.path}")
            for endpoint in endpoints
            if endpoint.path in ALIASES
        ]

    def endpoints(self) -> list[Endpoint]:
        return self._endpoints

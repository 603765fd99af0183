"""Isolation: one opaque salt per tenant, for caches inside engines.

Place in the path: step 4, handed to the model with the call. Prefix caches keyed with it cannot
leak, by timing, that another tenant sent the same prompt (CVE-2025-46570). It reveals nothing:
without the pepper it cannot be traced back to a tenant.
"""

import hmac
from functools import lru_cache

from pydantic import SecretStr

REMEMBERED_TENANTS = 10_000


class TenantSalts:
    """Salts from the installation's pepper."""

    def __init__(self, pepper: SecretStr) -> None:
        key = b"isolation:" + pepper.get_secret_value().encode()
        self.salt = lru_cache(REMEMBERED_TENANTS)(lambda tenant: _salt(key, tenant))


def _salt(key: bytes, tenant_id: str) -> str:
    return hmac.digest(key, tenant_id.encode(), "sha256").hex()

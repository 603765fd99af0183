"""Signatures of webhooks: how whoever is told of a run knows that we told it.

Place in the path: beside it; used when a webhook is sent. The scheme is that of Standard Webhooks
(https://www.standardwebhooks.com): HMAC-SHA-256 over id, time and body. A tenant's secret is
derived from the pepper, so it is stored nowhere. It sends nothing.
"""

import base64
import hmac
from datetime import datetime

from pydantic import SecretStr

LABEL = b"carillon: secret of webhooks, 1: "
SCHEME = "v1"
PREFIX = "whsec_"


class WebhookSigner:
    """Signs for every tenant.

    Args:
        pepper: what the tenants' secrets are derived from: a new pepper is new secrets.
    """

    def __init__(self, pepper: SecretStr) -> None:
        self._pepper = pepper.get_secret_value().encode()

    def secret(self, tenant_id: str) -> SecretStr:
        """What a tenant verifies signatures with."""
        return SecretStr(PREFIX + base64.b64encode(self._key(tenant_id)).decode())

    def headers(
        self, tenant_id: str, message_id: str, sent_at: datetime, body: bytes
    ) -> dict[str, str]:
        """The headers that go with `body`; a message that is sent again keeps its id."""
        seconds = str(int(sent_at.timestamp()))
        signed = b".".join((message_id.encode(), seconds.encode(), body))
        digest = hmac.digest(self._key(tenant_id), signed, "sha256")
        return {
            "webhook-id": message_id,
            "webhook-timestamp": seconds,
            "webhook-signature": f"{SCHEME},{base64.b64encode(digest).decode()}",
        }

    def _key(self, tenant_id: str) -> bytes:
        return hmac.digest(self._pepper, LABEL + tenant_id.encode(), "sha256")

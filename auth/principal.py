"""The principal: who a request acts for, once its credentials are known to be good.

Place in the path: made by step 2 (identify), read by steps 3 and 5. It carries no secret.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from core.errors import Forbidden, ModelForbidden


class Scope(StrEnum):
    """What a key may do. A principal can grant only scopes that it has."""

    INFERENCE = "inference"
    """Call models."""
    USAGE = "usage"
    """Read its tenant's usage."""
    KEYS = "keys"
    """Create, list and revoke its tenant's API keys."""
    ADMIN = "admin"
    """Operate the cluster: statistics, cache, every tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling.

    `epoch` is the version of this tenant's keys and plan that the principal was read at;
    admission refuses a principal whose epoch is no longer current.
    """

    tenant_id: str
    key_id: str
    plan: str
    epoch: str
    scopes: frozenset[Scope]
    user_id: str | None = None
    allowed_models: frozenset[str] | None = None
    """None allows every model."""
    key_requests_per_hour: int | None = None
    """The key's own limit, inside its tenant's plan."""
    tier: str | None = None
    """A plan whose windows the key holds for itself, inside its tenant's plan."""
    expires_at: datetime | None = None
    """When the key stops being good; what it grants ends no later."""

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the principal has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"this API key lacks the scope '{scope}'")

    def require_model(self, model_id: str) -> None:
        """Raise ModelForbidden unless the key allows `model_id`."""
        if self.allowed_models is not None and model_id not in self.allowed_models:
            raise ModelForbidden(f"this API key does not allow the model '{model_id}'", "model")

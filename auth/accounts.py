"""Tenants and API keys as values: what callers of the directory give and get.

Place in the path: administration, and step 2. No secret and no digest is ever in these values;
`IssuedKey` alone carries a key, masked in its repr, at the moment it is made.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, Field, SecretStr

from auth.plans import LimitSet
from auth.principal import Scope
from core.model import Frozen

T = TypeVar("T")

PlainText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
MAX_POSTGRES_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer: it owns keys, a plan, a cache and its rows of the ledger."""

    id: str
    name: str
    plan: str
    is_active: bool
    created_at: datetime
    time_zone: str = "UTC"
    """IANA name."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as lists show it."""

    id: str
    tenant_id: str
    user_id: str | None
    name: str
    prefix: str
    tier: str | None
    requests_per_hour: int | None
    scopes: frozenset[Scope]
    allowed_models: frozenset[str] | None
    is_active: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    rotated_from: str | None = None
    """The key that it succeeds."""
    parent_id: str | None = None
    """The key that made it, or what succeeded that: its limits hold over this one too."""
    limits: LimitSet | None = None
    """Its own, inside its user's and its tenant's."""
    trusted: bool = False
    """Whether it may name, signed, the human behind it."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key; `secret` is the whole key and is not known afterwards."""

    key: ApiKey
    secret: SecretStr


class KeyGrant(Frozen):
    """What a new key shall be allowed. What is not said is inherited from who grants it."""

    name: PlainText = "default"
    user_id: PlainText | None = None
    scopes: frozenset[Scope] = frozenset({Scope.INFERENCE, Scope.USAGE})
    allowed_models: frozenset[PlainText] | None = None
    tier: PlainText | None = None
    requests_per_hour: int | None = Field(default=None, gt=0, le=MAX_POSTGRES_INTEGER)
    limits: LimitSet | None = None
    expires_at: AwareDatetime | None = None
    trusted: bool = False


class KeyEdit(Frozen):
    """What shall change of a key: the fields that are set. None takes a limit away."""

    name: PlainText = "default"
    scopes: frozenset[Scope] = frozenset()
    allowed_models: frozenset[PlainText] | None = None
    tier: PlainText | None = None
    requests_per_hour: int | None = Field(default=None, gt=0, le=MAX_POSTGRES_INTEGER)
    limits: LimitSet | None = None
    expires_at: AwareDatetime | None = None
    trusted: bool = False

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that are set, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list, oldest first; ask again `after` the last id while `has_more`."""

    items: tuple[T, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a key is good, and what it may use. An invalid key tells nothing more."""

    valid: bool
    code: str | None = None
    """Error code of an invalid key (`invalid_api_key`, `expired_api_key`)."""
    tenant_id: str | None = None
    key_id: str | None = None
    tier: str | None = None
    requests_per_hour: int | None = None
    """The strictest hourly limit of requests that holds for the key; None is unlimited."""
    scopes: frozenset[Scope] = frozenset()
    expires_at: datetime | None = None

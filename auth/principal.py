"""The principal: who a request acts for, once its credentials are known to be good.

Place in the path: made by step 2 (identify), read by steps 3 and 5. It carries no secret.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from auth.plans import Window
from core.errors import Forbidden, ModelForbidden


class Scope(StrEnum):
    """What a key may do. A principal can grant only scopes that it has."""

    INFERENCE = "inference"
    """Call models."""
    USAGE = "usage"
    """Read its tenant's usage."""
    KEYS = "keys"
    """Create, list, rotate and revoke its tenant's API keys."""
    MEMBERS = "members"
    """Change its tenant: name, members, invitations."""
    ADMIN = "admin"
    """Operate the cluster: statistics, cache, every tenant."""


class Role(StrEnum):
    """What a user is in a tenant; `auth.roles` says what it may do."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Maker:
    """A key that made the caller's key, and what it is held to itself."""

    key_id: str
    """Whose windows its own are, as `Principal.counted_key_id`."""
    tier: str | None = None
    requests_per_hour: int | None = None
    windows: tuple[Window, ...] = ()
    storage_bytes: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it is held to anything of its own."""
        return (
            _holds(self.windows)
            or self.tier is not None
            or self.requests_per_hour is not None
            or self.storage_bytes is not None
        )


@dataclass(frozen=True, slots=True)
class KeyUser:
    """Whose a trusted key is, while a human behind it is named; and that user's own limits."""

    user_id: str
    windows: tuple[Window, ...] = ()
    storage_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: an API key, or a user with an access token (`key_id` is then `user:…`).

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
    key_windows: tuple[Window, ...] = ()
    """The key's own limits of any unit, inside its user's."""
    user_windows: tuple[Window, ...] = ()
    """The user's own limits, inside its tenant's plan."""
    key_storage_bytes: int | None = None
    """The key's own limit of what it stores."""
    user_storage_bytes: int | None = None
    """The user's own limit of what it stores, with all its keys."""
    makers: tuple[Maker, ...] = ()
    """The key that made this one, the one that made that, and so on."""
    time_zone: str = "UTC"
    """Of the tenant: when its days and months begin."""
    tier: str | None = None
    """A plan whose windows the key holds for itself, inside its tenant's plan."""
    expires_at: datetime | None = None
    """When the key stops being good; what it grants ends no later."""
    role: Role | None = None
    """The user's role in the tenant; None for keys."""
    granted_by: str | None = None
    """The user whose rights bound these: the one who logged in, or who made the key."""
    session: str | None = None
    """The login that the access token came from."""
    token_expires_at: datetime | None = None
    """When the access token ends; what it grants may last longer."""
    first_key_id: str | None = None
    """Of a key that succeeds others: the first of them."""
    trusted: bool = False
    """Whether whoever holds the key is believed when it names, signed, the human behind it."""
    key_user: KeyUser | None = None
    """The key's own user, where `user_id` is such a human: its limits hold as well."""

    @property
    def counted_key_id(self) -> str:
        """Whose windows the key's own are: with another secret a key has no other budget."""
        return self.first_key_id or self.key_id

    @property
    def is_limited(self) -> bool:
        """Whether limits of the key, or of its user, stand beside its scopes."""
        others = (self.allowed_models, self.expires_at)
        return (
            self.has_limited_key
            or self.has_limited_user
            or any(limit is not None for limit in others)
        )

    @property
    def has_limited_key(self) -> bool:
        """Whether the key, or one that made it, may use less than its user."""
        own = (self.key_requests_per_hour, self.tier, self.key_storage_bytes)
        limited = _holds(self.key_windows) or any(limit is not None for limit in own)
        return limited or any(maker.is_limited for maker in self.makers)

    @property
    def has_limited_user(self) -> bool:
        """Whether its user, or the key's, may use less than its tenant."""
        user = self.key_user
        return (
            _holds(self.user_windows)
            or self.user_storage_bytes is not None
            or (user is not None and (_holds(user.windows) or user.storage_bytes is not None))
        )

    @property
    def bound_user_id(self) -> str | None:
        """Whose limits bind what these credentials grant: the key's user, whoever uses it."""
        return self.user_id if self.key_user is None else self.key_user.user_id

    def used_by(self, user_id: str) -> "Principal":
        """The same key in the hands of a human whom somebody else's signature names. Own limits of
        the key's user are not theirs, but hold over all of them together.
        """
        own = None
        if self.user_id is not None:
            own = KeyUser(self.user_id, self.user_windows, self.user_storage_bytes)
        return replace(
            self, user_id=user_id, user_windows=(), user_storage_bytes=None, key_user=own
        )

    def of_makers(
        self,
        makers: tuple[Maker, ...],
        scopes: frozenset[Scope],
        allowed_models: frozenset[str] | None,
        expires_at: datetime | None,
    ) -> "Principal":
        """The same, made by these keys, with the rights that they leave it."""
        return replace(
            self,
            makers=makers,
            scopes=scopes,
            allowed_models=allowed_models,
            expires_at=expires_at,
        )

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the principal has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"these credentials lack the scope '{scope}'")

    def allows_model(self, model_id: str) -> bool:
        """Whether the key allows `model_id`."""
        return self.allowed_models is None or model_id in self.allowed_models

    def require_model(self, model_id: str) -> None:
        """Raise ModelForbidden unless the key allows `model_id`."""
        if not self.allows_model(model_id):
            raise ModelForbidden(f"this API key does not allow the model '{model_id}'", "model")


def _holds(windows: tuple[Window, ...]) -> bool:
    """Whether any of them refuses, and does not only watch."""
    return any(not window.watched for window in windows)

"""The rule of granting: a principal gives at most what it has.

Place in the path: administration, before a key is written. This module does not write.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from auth.accounts import ApiKey, KeyGrant
from auth.own_limits import inherited
from auth.principal import Principal, Scope
from core.errors import Forbidden, InvalidRequest

T = TypeVar("T")


def granted(granter: Principal, wanted: KeyGrant) -> KeyGrant:
    """`wanted`, with what it leaves open filled from `granter`.

    Raises Forbidden when it asks for more than the granter has, InvalidRequest for an expiry
    that has passed.
    """
    missing = wanted.scopes - granter.scopes
    if missing:
        names = ", ".join(sorted(scope.value for scope in missing))
        raise Forbidden(f"a key cannot grant scopes that it lacks: {names}", "scopes")
    if granter.has_limited_user and wanted.user_id not in (None, granter.bound_user_id):
        raise Forbidden("a user with limits of its own makes keys for itself alone", "user_id")
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        raise InvalidRequest("the expiry has passed already", "expires_at")
    return wanted.model_copy(
        update={
            "allowed_models": _within(
                "allowed_models", wanted.allowed_models, granter.allowed_models, frozenset.issubset
            ),
            "expires_at": _within(
                "expires_at", wanted.expires_at, granter.expires_at, datetime.__le__
            ),
            "requests_per_hour": _within(
                "requests_per_hour",
                wanted.requests_per_hour,
                granter.key_requests_per_hour,
                int.__le__,
            ),
            "user_id": wanted.user_id or _bound_user(granter),
            "tier": _within("tier", wanted.tier, granter.tier, str.__eq__),
            "limits": inherited(wanted.limits, granter),
        }
    )


def require_may_trust(granter: Principal) -> None:
    """Raise Forbidden unless `granter` may mark keys as trusted: they name humans as they please,
    and with each name begin new windows of the plan for each user.
    """
    if Scope.ADMIN not in granter.scopes:
        raise Forbidden("only operators mark keys as trusted", "trusted")


def require_all_of(granter: Principal, key: ApiKey) -> None:
    """Raise Forbidden unless `granter` has every right of `key`: whoever rotates it learns its
    successor's secret.
    """
    if granter.key_id == key.id or Scope.ADMIN in granter.scopes:
        return
    same = KeyGrant(
        scopes=key.scopes,
        allowed_models=key.allowed_models,
        tier=key.tier,
        requests_per_hour=key.requests_per_hour,
        limits=key.limits,
    )
    ends = (granter.expires_at, key.expires_at)
    if key.trusted and granter.role is None and not granter.trusted:
        raise Forbidden("this key is trusted, and these credentials are not")
    if granter.has_limited_user and key.user_id != granter.bound_user_id:
        raise Forbidden("this key is not held to the user's limits that these credentials have")
    outlives = ends[0] is not None and (ends[1] is None or ends[1] > ends[0])
    others = {"expires_at", "user_id"}
    inside = granted(granter, same).model_dump(exclude=others)
    if outlives or inside != same.model_dump(exclude=others):
        raise Forbidden("this key has rights that these credentials lack")


def _bound_user(granter: Principal) -> str | None:
    """Whose the keys are that a user makes, or somebody with a user's limits."""
    return granter.bound_user_id if granter.granted_by or granter.has_limited_user else None


def _within(
    field: str, wanted: T | None, own: T | None, is_within: Callable[[T, T], bool]
) -> T | None:
    """What to grant of one limit, where None is no limit."""
    if own is None:
        return wanted
    if wanted is None:
        return own
    if not is_within(wanted, own):
        raise Forbidden(f"a key cannot grant more than its own '{field}'", field)
    return wanted

"""Storage: how many bytes of media each of a caller's owners may keep, and keeps.

Place in the path: under the media store of `ingress`, and beside it for `/v1/usage`. What a caller
stores counts for its tenant, its user, its key, and the keys that made its key. Each is held to its
plan's and its own limit. The counts themselves are `auth.media`'s, in the step that takes the room.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from auth.plans import Plan, Plans
from auth.principal import Maker, Principal
from core.errors import SettingsError

TENANT = ""
"""The holder whose count is over all others."""


@dataclass(frozen=True, slots=True)
class StorageLimit:
    """What one owner may keep.

    Args:
        scope: `tenant`, `user`, `key` or `maker`.
        holder: names its count within the tenant; `TENANT` for the tenant's own.
        limit: bytes; None for no limit.
    """

    scope: str
    holder: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class StorageState:
    """What one owner keeps, in bytes."""

    scope: str
    limit: int | None
    used: int

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes more fit."""
        return self.limit is None or self.used + size <= self.limit


class Counts(Protocol):
    """Where bytes are counted. See `auth.media`."""

    async def used(self, tenant_id: str, holders: Iterable[str]) -> Mapping[str, int]: ...


class Storage:
    """Limits of storage, and where they stand.

    Args:
        plans: also those that are `tier` of a key.
    """

    def __init__(self, counts: Counts, plans: Plans) -> None:
        self._counts = counts
        self._plans = plans

    def limits(self, principal: Principal) -> tuple[StorageLimit, ...]:
        """Of everybody for whom the caller's media count; the tenant first.

        Raises SettingsError for a plan that the file lacks.
        """
        plan = self.plan(principal.plan)
        found = [StorageLimit("tenant", TENANT, plan.storage_bytes)]
        if principal.user_id is not None:
            limit = _least(plan.user_storage_bytes, principal.user_storage_bytes)
            found.append(StorageLimit("user", f"user:{principal.user_id}", limit))
        of_key = principal.key_user
        if of_key is not None and of_key.user_id != principal.user_id:
            found.append(StorageLimit("user", f"user:{of_key.user_id}", of_key.storage_bytes))
        if principal.role is None:
            tier = self._of_tier(principal.tier)
            limit = _least(plan.key_storage_bytes, tier, principal.key_storage_bytes)
            found.append(StorageLimit("key", f"key:{principal.counted_key_id}", limit))
        found += map(self._of_maker, principal.makers)
        return tuple(found)

    async def standing(self, principal: Principal) -> list[StorageState]:
        """What each of them keeps now. Raises StoreUnavailable, SettingsError."""
        limits = self.limits(principal)
        used = await self._counts.used(principal.tenant_id, [each.holder for each in limits])
        return [StorageState(each.scope, each.limit, used[each.holder]) for each in limits]

    def plan(self, name: str) -> Plan:
        """A plan. Raises SettingsError for one that the file lacks."""
        plan = self._plans.get(name)
        if plan is None:
            raise SettingsError(f"the plan '{name}' is in use but not in plans.yaml")
        return plan

    def _of_maker(self, maker: Maker) -> StorageLimit:
        limit = _least(self._of_tier(maker.tier), maker.storage_bytes)
        return StorageLimit("maker", f"key:{maker.key_id}", limit)

    def _of_tier(self, tier: str | None) -> int | None:
        return None if tier is None else self.plan(tier).storage_bytes


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

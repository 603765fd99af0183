"""Limits: the windows that a principal is held to, from its plan and from limits of its own.

Place in the path: read by step 3 (admit), which holds every window of every scope at once. So a key
cannot exceed its user, nor a user its tenant, nor a key the key that made it, whatever their own
limits say. This module does not
count anything, and does not say who may set what: `auth/own_limits.py` does.
"""

from collections.abc import Iterable
from dataclasses import replace

from auth.admission import MAKER
from auth.plans import DAY_S, HOUR_S, UTC, Meter, Plan, Plans, ScopedWindows, Window
from auth.principal import Maker, Principal
from core.errors import SettingsError

Windows = tuple[Window, ...]
OfKey = tuple[Plan | None, Plan | None, Windows]
"""A plan, the plan of a tier, and the windows that come of both."""
MAX_KNOWN = 4_096
"""Sets of windows that are remembered."""


class Limits:
    """The windows of a principal: its tenant's plan, and inside it its user's, its key's own, and
    those of the keys that made its key. Behind a trusted key they are those of the human who is
    named, and the key's user's own.

    Tuples are made once and reused, because admission recognises them by identity. What is known
    by the ids of tuples keeps these tuples, so that no other can have their ids.
    """

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._of_key: dict[tuple[str | None, str | None, int | None], OfKey] = {}
        self._inside: dict[tuple[int, int], tuple[Windows, Windows, Windows]] = {}
        self._zoned: dict[tuple[int, str], tuple[Windows, Windows]] = {}

    def scopes(self, principal: Principal) -> ScopedWindows:
        """What `Ask.scopes` takes. Raises SettingsError for a plan that the file lacks."""
        plan, zone = self._plan(principal.plan), principal.time_zone
        scopes = [(f"tenant:{principal.tenant_id}", self._in_zone(plan.windows, zone))]
        if principal.user_id is not None:
            windows = self._with_own(plan.user_windows, principal.user_windows)
            if windows:
                name = f"user:{principal.tenant_id}:{principal.user_id}"
                scopes.append((name, self._in_zone(windows, zone)))
        of_key = principal.key_user
        if of_key is not None and of_key.windows and of_key.user_id != principal.user_id:
            name = f"user:{principal.tenant_id}:{of_key.user_id}"
            scopes.append((name, self._in_zone(of_key.windows, zone)))
        windows = self._key_windows(plan, principal.tier, principal.key_requests_per_hour)
        windows = self._with_own(windows, principal.key_windows)
        if windows:
            scopes.append((f"key:{principal.counted_key_id}", self._in_zone(windows, zone)))
        for maker in principal.makers:
            windows = self._made_by(maker)
            if windows:
                scopes.append((f"{MAKER}{maker.key_id}", self._in_zone(windows, zone)))
        return tuple(scopes)

    def is_strict(self, principal: Principal) -> bool:
        """Whether its requests reserve the most that they may take. Raises SettingsError."""
        return self._plan(principal.plan).strict

    def storage_bytes(self, principal: Principal) -> int | None:
        """Bytes that its tenant may keep; None for no limit. Raises SettingsError."""
        return self._plan(principal.plan).storage_bytes

    def weight(self, principal: Principal) -> int:
        """Of its tenant where tenants take turns; a plan that is gone weighs least."""
        plan = self._plans.get(principal.plan)
        return 1 if plan is None else plan.weight

    def _made_by(self, maker: Maker) -> Windows:
        """What a key that made others is held to itself, and they with it. What the plan says of
        each key is of each.
        """
        if not maker.is_limited and not maker.windows:
            return ()
        return self._with_own(
            self._key_windows(None, maker.tier, maker.requests_per_hour), maker.windows
        )

    def _key_windows(
        self, plan: Plan | None, tier: str | None, requests_per_hour: int | None
    ) -> Windows:
        """Of a key: those of its tier, its hourly requests, and what `plan` says of each key."""
        name = None if plan is None else plan.name
        of_tier = None if tier is None else self._plan(tier)
        known = self._of_key.get((name, tier, requests_per_hour))
        if known is None or known[0] is not plan or known[1] is not of_tier:  # the file changed
            extras = [] if of_tier is None else list(of_tier.windows)
            if requests_per_hour is not None:
                extras.append(Window(Meter.REQUESTS, HOUR_S, requests_per_hour))
            windows = tightened(() if plan is None else plan.key_windows, extras)
            known = (plan, of_tier, windows)
            self._of_key[name, tier, requests_per_hour] = known
        return known[2]

    def _with_own(self, windows: Windows, own: Windows) -> Windows:
        """What a plan says of each, and what is said of this one."""
        if not own:
            return windows
        known = self._inside.get((id(windows), id(own)))
        if known is None:
            self._make_room()
            known = (windows, own, tightened(windows, own))
            self._inside[id(windows), id(own)] = known
        return known[2]

    def _in_zone(self, windows: Windows, zone: str) -> Windows:
        """The same windows with days and months as they are in `zone`."""
        if zone == UTC:
            return windows
        known = self._zoned.get((id(windows), zone))
        if known is None:
            self._make_room()
            there = tuple(
                replace(window, zone=zone) if window.seconds >= DAY_S else window
                for window in windows
            )
            known = self._zoned[id(windows), zone] = (windows, there)
        return known[1]

    def _make_room(self) -> None:
        if len(self._inside) >= MAX_KNOWN or len(self._zoned) >= MAX_KNOWN:
            self._inside.clear()
            self._zoned.clear()

    def _plan(self, name: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None:
            raise SettingsError(f"the plan '{name}' is in use but not in plans.yaml")
        return plan


def tightened(windows: Windows, extras: Iterable[Window]) -> Windows:
    """`windows` and `extras`; where both limit the same span, the smaller limit.

    A window that is only watched gives way to one that holds: both are one count.
    """
    for extra in extras:
        same = [w for w in windows if (w.meter, w.seconds) == (extra.meter, extra.seconds)]
        others = tuple(w for w in windows if w not in same)
        windows = (*others, min((extra, *same), key=lambda w: (w.watched, w.limit)))
    return windows

"""Plans: named sets of windows, read from `plans.yaml`, the one place that states them.

Place in the path: read at start; step 3 (admit) holds every window of the principal's plan.
This module does not count anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from auth.principal import Principal
from core.errors import SettingsError
from core.model import Frozen
from core.settings import parse, read_yaml

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400
MONTH_S = 30 * DAY_S
"""Stands for a calendar month, however long."""
BYTES_PER_GB = 1_000_000_000
NANO = 1_000_000_000
UTC = "UTC"


class Meter(StrEnum):
    """What a window counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CHARACTERS = "characters"
    PIXEL_STEPS = "pixel_steps"
    AUDIO_MS = "audio_ms"
    VIDEO_PIXEL_MS = "video_pixel_ms"
    ROWS = "rows"
    MONEY = "money"
    """In billionths of the price book's currency."""
    CONCURRENCY = "concurrency"
    """Requests that run at this moment: it has no span."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` of `meter` in each span of `seconds`.

    Spans shorter than a day are aligned to the Unix epoch, so a minute window opens on the minute;
    days and months are those of `zone`'s calendar.
    """

    meter: Meter
    seconds: int
    limit: int
    watched: bool = False
    """Counted, and told when it would have refused, but it refuses nothing."""
    zone: str = UTC

    @property
    def is_budget(self) -> bool:
        """Whether it is meant to be spent, and not only to slow callers down."""
        return self.seconds >= DAY_S or self.meter is Meter.MONEY


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's windows, all of which hold at once. No window means no limit."""

    name: str
    windows: tuple[Window, ...]
    """Of the tenant, over all its users and keys."""
    user_windows: tuple[Window, ...] = ()
    """Of each of its users, over all their keys."""
    key_windows: tuple[Window, ...] = ()
    """Of each of its keys."""
    storage_bytes: int | None = None
    """Media that a tenant may keep."""
    retention_days: int | None = None
    """How long media are kept; None is until they are deleted."""
    strict: bool = False
    """Whether the most that a request may take is reserved, and not what is usual."""


Plans = Mapping[str, Plan]

ScopedWindows = tuple[tuple[str, tuple[Window, ...]], ...]
"""Windows to hold, per scope name: what `Ask.scopes` carries."""

Limit = Annotated[int, Field(strict=True, gt=0)]
SPANS = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S, "month": MONTH_S}


Money = Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=9)]


class SpanLimits(Frozen):
    """Limits of one meter, by span. None is no limit."""

    minute: Limit | None = None
    hour: Limit | None = None
    day: Limit | None = None
    month: Limit | None = None

    def windows(self, meter: Meter) -> Iterator[Window]:
        """The windows that are limited, shortest first."""
        for name, seconds in SPANS.items():
            limit = getattr(self, name)
            if limit is not None:
                yield Window(meter, seconds, limit)


class MoneyLimits(Frozen):
    """Limits of money, in units of the price book's currency."""

    day: Money | None = None
    month: Money | None = None

    def windows(self) -> Iterator[Window]:
        """The windows that are limited, shortest first."""
        for name, seconds in SPANS.items():
            limit = getattr(self, name, None)
            if limit is not None:
                yield Window(Meter.MONEY, seconds, int(limit * NANO))


class LimitSet(Frozen):
    """Windows as `plans.yaml` writes them: a line for each meter."""

    requests: SpanLimits = SpanLimits()
    tokens: SpanLimits = SpanLimits()
    characters: SpanLimits = SpanLimits()
    pixel_steps: SpanLimits = SpanLimits()
    audio_ms: SpanLimits = SpanLimits()
    video_pixel_ms: SpanLimits = SpanLimits()
    rows: SpanLimits = SpanLimits()
    money: MoneyLimits = MoneyLimits()
    concurrency: Limit | None = None

    def windows(self) -> tuple[Window, ...]:
        """All of them."""
        counted = (meter for meter in Meter if isinstance(getattr(self, meter), SpanLimits))
        found = [window for meter in counted for window in getattr(self, meter).windows(meter)]
        found += self.money.windows()
        if self.concurrency is not None:
            found.append(Window(Meter.CONCURRENCY, 0, self.concurrency))
        return tuple(found)


class PlanEntry(LimitSet):
    """One plan as `plans.yaml` writes it."""

    watch: LimitSet = LimitSet()
    """Windows that refuse nothing: to see what a limit would do before it does it."""
    per_user: LimitSet = LimitSet()
    per_key: LimitSet = LimitSet()
    storage_gb: Limit | None = None
    retention_days: Limit | None = None
    strict: bool = False
    """Reserve the most that each request may take, instead of what is usual: no window is ever
    overshot, and fewer requests run at once."""

    def plan(self, name: str) -> Plan:
        """The plan that this entry describes. Raises SettingsError for a window held twice."""
        watched = tuple(replace(window, watched=True) for window in self.watch.windows())
        windows = (*self.windows(), *watched)
        if len({(w.meter, w.seconds) for w in windows}) < len(windows):
            raise SettingsError(f"the plan '{name}' holds and watches the same window")
        return Plan(
            name,
            windows,
            self.per_user.windows(),
            self.per_key.windows(),
            None if self.storage_gb is None else self.storage_gb * BYTES_PER_GB,
            self.retention_days,
            self.strict,
        )


class PlansFile(Frozen):
    """The whole of `plans.yaml`."""

    plans: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], PlanEntry] = Field(
        min_length=1
    )


def read_plans(path: Path) -> Plans:
    """The plans in `path`, by name. Raises SettingsError that names every field at fault."""
    document = parse(PlansFile, read_yaml(path), str(path))
    return {name: entry.plan(name) for name, entry in document.plans.items()}


class Limits:
    """The windows of a principal: its tenant's plan, and inside it its user's and its key's own.

    Each scope is held for itself, so a key cannot exceed its user, nor a user its tenant. Tuples
    are made once and reused, because admission recognises them by identity.
    """

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._of_key: dict[tuple[str, str | None, int | None], tuple[Window, ...]] = {}
        self._zoned: dict[tuple[int, str], tuple[Window, ...]] = {}

    def scopes(self, principal: Principal) -> ScopedWindows:
        """What `Ask.scopes` takes. Raises SettingsError for a plan that the file lacks."""
        plan, zone = self._plan(principal.plan), principal.time_zone
        scopes = [(f"tenant:{principal.tenant_id}", self._in_zone(plan.windows, zone))]
        if plan.user_windows and principal.user_id is not None:
            name = f"user:{principal.tenant_id}:{principal.user_id}"
            scopes.append((name, self._in_zone(plan.user_windows, zone)))
        own = self._key_windows(plan, principal.tier, principal.key_requests_per_hour)
        if own:
            scopes.append((f"key:{principal.key_id}", self._in_zone(own, zone)))
        return tuple(scopes)

    def is_strict(self, principal: Principal) -> bool:
        """Whether its requests reserve the most that they may take. Raises SettingsError."""
        return self._plan(principal.plan).strict

    def _key_windows(
        self, plan: Plan, tier: str | None, requests_per_hour: int | None
    ) -> tuple[Window, ...]:
        known = self._of_key.get((plan.name, tier, requests_per_hour))
        if known is None:
            windows = plan.key_windows
            for extra in self._plan(tier).windows if tier is not None else ():
                windows = _tightened(windows, extra)
            if requests_per_hour is not None:
                windows = _tightened(windows, Window(Meter.REQUESTS, HOUR_S, requests_per_hour))
            known = self._of_key[plan.name, tier, requests_per_hour] = windows
        return known

    def _in_zone(self, windows: tuple[Window, ...], zone: str) -> tuple[Window, ...]:
        """The same windows with days and months as they are in `zone`."""
        if zone == UTC:
            return windows
        known = self._zoned.get((id(windows), zone))
        if known is None:
            known = self._zoned[id(windows), zone] = tuple(
                replace(window, zone=zone) if window.seconds >= DAY_S else window
                for window in windows
            )
        return known

    def _plan(self, name: str) -> Plan:
        plan = self._plans.get(name)
        if plan is None:
            raise SettingsError(f"the plan '{name}' is in use but not in plans.yaml")
        return plan


def _tightened(windows: tuple[Window, ...], extra: Window) -> tuple[Window, ...]:
    """`windows` and `extra`; where both limit the same span, the smaller limit."""
    same = [w for w in windows if (w.meter, w.seconds) == (extra.meter, extra.seconds)]
    others = tuple(w for w in windows if w not in same)
    return (*others, min((extra, *same), key=lambda w: w.limit))

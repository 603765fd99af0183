"""Plans: named sets of windows, read from `plans.yaml`, the one place that states them.

Place in the path: read at start; step 3 (admit) holds every window of the principal's plan.
This module does not count anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
BYTES_PER_GB = 1_000_000_000


class Meter(StrEnum):
    """What a window counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` of `meter` in each span of `seconds`.

    Spans are fixed and aligned to the Unix epoch, so a minute window opens on the minute.
    """

    meter: Meter
    seconds: int
    limit: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan's windows, all of which hold at once. No window means no limit."""

    name: str
    windows: tuple[Window, ...]
    storage_bytes: int | None = None
    """Media that a tenant may keep."""
    retention_days: int | None = None
    """How long media are kept; None is until they are deleted."""


Plans = Mapping[str, Plan]

ScopedWindows = tuple[tuple[str, tuple[Window, ...]], ...]
"""Windows to hold, per scope name: what `Ask.scopes` carries."""

Limit = Annotated[int, Field(strict=True, gt=0)]


class SpanLimits(Frozen):
    """Limits of one meter, by span. None is no limit."""

    minute: Limit | None = None
    hour: Limit | None = None
    day: Limit | None = None

    def windows(self, meter: Meter) -> Iterator[Window]:
        """The windows that are limited, shortest first."""
        for seconds, limit in ((MINUTE_S, self.minute), (HOUR_S, self.hour), (DAY_S, self.day)):
            if limit is not None:
                yield Window(meter, seconds, limit)


class PlanEntry(Frozen):
    """One plan as `plans.yaml` writes it."""

    requests: SpanLimits = SpanLimits()
    tokens: SpanLimits = SpanLimits()
    storage_gb: Limit | None = None
    retention_days: Limit | None = None

    def plan(self, name: str) -> Plan:
        """The plan that this entry describes."""
        windows = (*self.requests.windows(Meter.REQUESTS), *self.tokens.windows(Meter.TOKENS))
        storage = None if self.storage_gb is None else self.storage_gb * BYTES_PER_GB
        return Plan(name, windows, storage, self.retention_days)


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
    """The windows of a principal: its tenant's plan, and its key's own tier and quota inside it.

    Tuples are made once per (plan, tier, quota) and reused, because admission recognises them
    by identity.
    """

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._of_key: dict[tuple[str | None, int | None], tuple[Window, ...]] = {}

    def scopes(self, principal: Principal) -> ScopedWindows:
        """What `Ask.scopes` takes. Raises SettingsError for a plan that the file lacks."""
        tenant = (f"tenant:{principal.tenant_id}", self._plan(principal.plan).windows)
        if principal.tier is None and principal.key_requests_per_hour is None:
            return (tenant,)
        own = self._key_windows(principal.tier, principal.key_requests_per_hour)
        return (tenant, (f"key:{principal.key_id}", own))

    def _key_windows(self, tier: str | None, requests_per_hour: int | None) -> tuple[Window, ...]:
        known = self._of_key.get((tier, requests_per_hour))
        if known is None:
            windows = self._plan(tier).windows if tier is not None else ()
            if requests_per_hour is not None:
                windows = _tightened(windows, Window(Meter.REQUESTS, HOUR_S, requests_per_hour))
            known = self._of_key[tier, requests_per_hour] = windows
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

"""Plans: named sets of windows, read from `plans.yaml`, the one place that states them.

Place in the path: read at start; step 3 (admit) holds every window of the principal's plan.
This module does not count anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

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
    user_storage_bytes: int | None = None
    """Media that each of its users may keep, with all its keys."""
    key_storage_bytes: int | None = None
    """Media that each of its keys may keep."""
    retention_days: int | None = None
    """How long media, and runs that have ended, are kept; None is until they are deleted."""
    strict: bool = False
    """Whether the most that a request may take is reserved, and not what is usual."""
    weight: int = 1
    """How much of a busy model's work each of its tenants gets, against the others' weights."""


Plans = Mapping[str, Plan]

ScopedWindows = tuple[tuple[str, tuple[Window, ...]], ...]
"""Windows to hold, per scope name: what `Ask.scopes` carries."""

MOST = 2**53 - 1
"""What the store's numbers count to without a gap."""
Limit = Annotated[int, Field(strict=True, gt=0, le=MOST)]
SPANS = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S, "month": MONTH_S}


Money = Annotated[Decimal, Field(gt=0, max_digits=15, decimal_places=9)]
Gigabytes = Annotated[Decimal, Field(gt=0, le=MOST // BYTES_PER_GB, decimal_places=9)]
"""Of 10^9 bytes, to the byte."""


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


class MeterLimits(Frozen):
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
    storage_gb: Gigabytes | None = None
    """Media kept at any time: no window."""

    @property
    def storage_bytes(self) -> int | None:
        """Bytes of media, None for no limit."""
        return None if self.storage_gb is None else int(self.storage_gb * BYTES_PER_GB)

    def windows(self) -> tuple[Window, ...]:
        """All of them."""
        counted = (meter for meter in Meter if isinstance(getattr(self, meter), SpanLimits))
        found = [window for meter in counted for window in getattr(self, meter).windows(meter)]
        found += self.money.windows()
        if self.concurrency is not None:
            found.append(Window(Meter.CONCURRENCY, 0, self.concurrency))
        return tuple(found)


class LimitSet(MeterLimits):
    """What somebody is held to, and what is only watched."""

    watch: MeterLimits = MeterLimits()
    """Windows that refuse nothing: to see what a limit would do before it does it."""

    def windows(self) -> tuple[Window, ...]:
        """Those that hold, then those that are watched."""
        watched = (replace(window, watched=True) for window in self.watch.windows())
        return (*super().windows(), *watched)

    @model_validator(mode="after")
    def _watches_what_is_not_held(self) -> Self:
        if self.watch.storage_gb is not None:
            raise ValueError("storage cannot be watched, only held")
        windows = self.windows()
        if len({(w.meter, w.seconds) for w in windows}) < len(windows):
            raise ValueError("the same window is held and watched")
        return self


class PlanEntry(LimitSet):
    """One plan as `plans.yaml` writes it."""

    per_user: LimitSet = LimitSet()
    per_key: LimitSet = LimitSet()
    retention_days: Limit | None = None
    strict: bool = False
    """Reserve the most that each request may take, instead of what is usual: no window is ever
    overshot, and fewer requests run at once."""
    weight: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1

    def plan(self, name: str) -> Plan:
        """The plan that this entry describes."""
        return Plan(
            name,
            self.windows(),
            self.per_user.windows(),
            self.per_key.windows(),
            self.storage_bytes,
            self.per_user.storage_bytes,
            self.per_key.storage_bytes,
            self.retention_days,
            self.strict,
            self.weight,
        )


class PlansFile(Frozen):
    """The whole of `plans.yaml`."""

    plans: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], PlanEntry] = Field(
        min_length=1
    )


def read_plans(path: Path) -> dict[str, Plan]:
    """The plans in `path`, by name. Raises SettingsError that names every field at fault."""
    document = parse(PlansFile, read_yaml(path), str(path))
    return {name: entry.plan(name) for name, entry in document.plans.items()}

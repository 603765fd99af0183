"""Plans: named sets of windows, read from `plans.yaml`, the one place that states them.

Place in the path: read at start; step 3 (admit) holds every window of the principal's plan.
This module does not count anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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


Plans = Mapping[str, Plan]

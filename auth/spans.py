"""Spans: when a window opens anew.

Place in the path: beside step 3, wherever a window's time is computed. Minutes and hours are
aligned to the Unix epoch. Days and months are those of a time zone's calendar: a day may have 23 or
25 hours, a month 28 to 31 days, so the store is told the moments at which spans begin, and the
store's clock chooses. A tenant that moves to another time zone keeps its counts: a day or a month
that was begun in one zone goes on in the other. This module counts nothing.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from auth.plans import DAY_S, MONTH_S, UTC, Window

SHORTEST_DAY_S = 22 * 3_600
"""When the clocks go forward, where that is by two hours (Antarctica/Troll)."""
SHORTEST_MONTH_S = 26 * DAY_S
"""28 days, less the 26 hours by which the beginnings of a month differ around the world."""
AROUND = 2
"""Spans before and after the current one that the store is told of: clocks differ a little, and a
request settles later than it was admitted."""

Span = int | tuple[int, ...]
"""Seconds; or the Unix seconds at which spans begin; or 0 for what has no spans."""


def span_of(window: Window, now_s: float) -> Span:
    """What the store needs to find the window's current span around `now_s`."""
    if not follows_calendar(window):
        return window.seconds
    return _starts(window.seconds, window.zone, _day_number(now_s, window.zone))


def follows_calendar(window: Window) -> bool:
    """Whether a calendar, and not division, says when the window opens. UTC's days divide."""
    return window.seconds == MONTH_S or (window.seconds == DAY_S and window.zone != UTC)


def bucket_of(span: Span, now_s: float) -> int:
    """When the current span began, as the store computes it (`auth/scripts/meters.lua`)."""
    if span == 0:
        return 0
    if isinstance(span, int):
        return int(now_s // span) * span
    return max((start for start in span if start <= now_s), default=span[0])


def shortest(span: Span) -> int:
    """Less than this apart, two beginnings are of one span, seen from two time zones: else another
    time zone would open every window.
    """
    if isinstance(span, tuple):
        return SHORTEST_MONTH_S if span[1] - span[0] > 2 * DAY_S else SHORTEST_DAY_S
    return SHORTEST_DAY_S if span == DAY_S else max(1, span)


def counted(began: int | None, count: int, span: Span, now_s: float) -> tuple[int, int]:
    """What a window counts now, and since when, as the store computes it.

    Args:
        began: when the span began that `count` is of, if anything is stored.
    """
    bucket = bucket_of(span, now_s)
    if began is None or began > now_s or bucket - began >= shortest(span):
        return 0, bucket
    return count, max(began, bucket)


def reset_ms(span: Span, now_ms: int) -> int:
    """Milliseconds until the window opens anew; 0 for what has no spans."""
    if span == 0:
        return 0
    if isinstance(span, int):
        return span * 1000 - now_ms % (span * 1000)
    return min((1000 * start - now_ms for start in span if 1000 * start > now_ms), default=1000)


def _day_number(now_s: float, zone: str) -> int:
    return datetime.fromtimestamp(now_s, ZoneInfo(zone)).toordinal()


@lru_cache(maxsize=4096)
def _starts(seconds: int, zone: str, day: int) -> tuple[int, ...]:
    """Beginnings of the spans around the day of that ordinal."""
    today = datetime.fromordinal(day)
    if seconds == MONTH_S:
        first = today.replace(day=1)
        moments = [_months_later(first, n) for n in range(-AROUND, AROUND + 1)]
    else:
        moments = [today + timedelta(days=n) for n in range(-AROUND, AROUND + 1)]
    return tuple(_unix(moment, zone) for moment in moments)


def _months_later(first: datetime, months: int) -> datetime:
    years, month = divmod(first.month - 1 + months, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _unix(local: datetime, zone: str) -> int:
    """The moment at which a local midnight comes, or what follows where the clocks skip it."""
    return int(local.replace(tzinfo=ZoneInfo(zone)).timestamp())

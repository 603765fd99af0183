"""When windows open anew: calendars, time zones and changes of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.plans import DAY_S, HOUR_S, MINUTE_S, MONTH_S, Meter, Window
from auth.spans import bucket_of, counted, reset_ms, shortest, span_of

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia")


def at(year: int, month: int, day: int, hour: int = 12, zone: str = "UTC") -> float:
    return datetime(year, month, day, hour, tzinfo=ZoneInfo(zone)).timestamp()


def window(seconds: int, zone: str = "UTC") -> Window:
    return Window(Meter.REQUESTS, seconds, 1, zone=zone)


def bounds(seconds: int, zone: str, now_s: float) -> tuple[datetime, datetime]:
    """The current span's beginning and end, in the zone."""
    span = span_of(window(seconds, zone), now_s)
    begins, ends = bucket_of(span, now_s), now_s + reset_ms(span, int(now_s * 1000)) / 1000
    return tuple(datetime.fromtimestamp(moment, ZoneInfo(zone)) for moment in (begins, ends))  # type: ignore[return-value]


@pytest.mark.parametrize("seconds", [MINUTE_S, HOUR_S, DAY_S])
def test_spans_without_a_calendar_are_lengths(seconds: int):
    assert span_of(window(seconds), at(2026, 5, 5)) == seconds


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 7, 1), 24)]
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: tuple[int, int, int], hours: int):
    begins, ends = bounds(DAY_S, "Europe/Berlin", at(*day, zone="Europe/Berlin"))
    assert begins == datetime(*day, tzinfo=ZoneInfo("Europe/Berlin"))
    assert ends.timestamp() - begins.timestamp() == hours * HOUR_S
    assert (ends.hour, ends.day) == (0, (begins + timedelta(days=1)).day)


def test_a_midnight_that_the_clocks_skip_comes_when_they_do():
    """Until 2018 Brazil's clocks went from 23:59 to 01:00."""
    begins, _ = bounds(DAY_S, "America/Sao_Paulo", at(2018, 11, 4, zone="America/Sao_Paulo"))
    assert (begins.day, begins.hour) == (4, 1)


@pytest.mark.parametrize(
    ("now", "last"),
    [(at(2026, 2, 10), 28), (at(2028, 2, 10), 29), (at(2026, 12, 31), 31), (at(2026, 4, 1), 30)],
)
def test_a_month_is_a_calendar_month(now: float, last: int):
    begins, ends = bounds(MONTH_S, "UTC", now)
    assert (begins.day, begins.hour, ends.day, ends.hour) == (1, 0, 1, 0)
    assert (ends - begins).days == last


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001  # made aware below
    st.sampled_from(ZONES),
    st.sampled_from([MINUTE_S, HOUR_S, DAY_S, MONTH_S]),
    st.integers(0, HOUR_S),
)
def test_any_moment_lies_in_one_span_which_a_clock_an_hour_off_finds_too(
    moment: datetime, zone: str, seconds: int, off_s: int
):
    now_s = moment.replace(tzinfo=UTC).timestamp()
    span = span_of(window(seconds, zone), now_s)
    mine, told_late = bucket_of(span, now_s), span_of(window(seconds, zone), now_s - off_s)
    assert bucket_of(told_late, now_s) == mine
    assert 0 < reset_ms(span, int(now_s * 1000)) <= 32 * DAY_S * 1000
    if isinstance(span, tuple):
        assert list(span) == sorted(set(span))
        assert mine <= now_s


def test_what_runs_has_no_span():
    running = Window(Meter.CONCURRENCY, 0, 5)
    assert span_of(running, at(2026, 1, 1)) == 0
    assert bucket_of(0, at(2026, 1, 1)) == 0
    assert reset_ms(0, 5) == 0


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001  # made aware below
    st.lists(st.sampled_from((*ZONES, "Pacific/Kiritimati", "Etc/GMT+12")), min_size=2, max_size=9),
    st.sampled_from([DAY_S, MONTH_S]),
    st.lists(st.integers(0, 40 * HOUR_S), min_size=9, max_size=9),
)
def test_whoever_changes_time_zones_has_no_more_days_or_months_for_it(
    moment: datetime, zones: list[str], seconds: int, waits: list[int]
):
    """Every time that a window is open it is spent at once; it opens once in its length."""
    now_s = moment.replace(tzinfo=UTC).timestamp()
    began, opened = None, []
    for zone, wait_s in zip(zones, waits, strict=False):
        span = span_of(window(seconds, zone), now_s)
        count, since = counted(began, 1, span, now_s)
        if count == 0:
            began = since
            opened.append((since, shortest(span)))
        now_s += wait_s
    for (earlier, least), (later, _) in pairwise(opened):
        assert later - earlier >= least


@pytest.mark.parametrize("seconds", [MINUTE_S, HOUR_S, DAY_S, MONTH_S])
@pytest.mark.parametrize("zone", [*ZONES, "Antarctica/Troll", "Australia/Lord_Howe"])
def test_in_one_time_zone_every_span_begins_anew(seconds: int, zone: str):
    now_s, last = at(2026, 1, 1), 2 * 366 * DAY_S if seconds >= DAY_S else DAY_S
    end, began = now_s + last, None
    while now_s < end:
        span = span_of(window(seconds, zone), now_s)
        count, began = counted(began, 1, span, now_s)
        assert count == 0
        now_s += reset_ms(span, int(now_s * 1000)) / 1000

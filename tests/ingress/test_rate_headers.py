"""Rate headers: the tightest window of each meter, in OpenAI's formats."""

import pytest

from auth.admission import WindowState
from auth.plans import Meter, Window
from ingress.rate_headers import duration, rate_headers


def state(meter, seconds, limit, used, reset_ms):
    return WindowState("tenant:t", Window(meter, seconds, limit), used, reset_ms)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (250, "250ms"),
        (1000, "1s"),
        (1001, "2s"),
        (360_000, "6m0s"),
        (3_723_000, "1h2m3s"),
    ],
)
def test_durations_read_as_openai_writes_them(milliseconds, text):
    assert duration(milliseconds) == text


def test_the_tightest_window_of_each_meter_is_shown():
    headers = rate_headers(
        [
            state(Meter.REQUESTS, 60, 100, 10, 30_000),
            state(Meter.REQUESTS, 3600, 1000, 995, 900_500),
            state(Meter.TOKENS, 60, 10_000, 4_000, 30_000),
        ]
    )
    assert headers["x-ratelimit-limit-requests"] == "1000"
    assert headers["x-ratelimit-remaining-requests"] == "5"
    assert headers["x-ratelimit-reset-requests"] == "15m1s"
    assert headers["x-ratelimit-remaining-tokens"] == "6000"
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-reset"]) == ("1000", "901")


def test_no_window_means_no_header():
    assert rate_headers([]) == {}

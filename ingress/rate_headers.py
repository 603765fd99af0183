"""Rate-limit headers, from the windows that admission reports.

Place in the path: after step 3, on answers and refusals alike. OpenAI's names for requests and
tokens, and the older `X-RateLimit-*` for requests. Of several windows the tightest is shown.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from auth.admission import WindowState
from auth.plans import NANO, Meter

MS_PER_S = 1000
S_PER_MINUTE = 60
S_PER_HOUR = 3600
NAMES = {
    meter: tuple(
        # Proxies drop names with underscores.
        f"x-ratelimit-{fact}-{meter.replace('_', '-')}"
        for fact in ("limit", "remaining", "reset")
    )
    for meter in Meter
}
PART = re.compile(r"(\d+)(ms|s|m|h)")
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def rate_headers(windows: Iterable[WindowState]) -> dict[str, str]:
    """Headers for the tightest window of each meter; none for a meter without a window."""
    tightest: dict[Meter, WindowState] = {}
    for state in windows:
        meter = state.window.meter
        if state.window.watched or meter is Meter.CONCURRENCY:
            continue
        if meter not in tightest or state.remaining < tightest[meter].remaining:
            tightest[meter] = state
    headers: dict[str, str] = {}
    for meter, state in tightest.items():
        limit, remaining, reset = NAMES[meter]
        headers[limit] = _shown(meter, state.window.limit)
        headers[remaining] = _shown(meter, state.remaining)
        headers[reset] = duration(state.reset_ms)
    if (requests := tightest.get(Meter.REQUESTS)) is not None:
        headers["x-ratelimit-limit"] = str(requests.window.limit)
        headers["x-ratelimit-remaining"] = str(requests.remaining)
        headers["x-ratelimit-reset"] = str(-(-requests.reset_ms // MS_PER_S))
    return headers


def watch_headers(would_refuse: Iterable[WindowState]) -> dict[str, str]:
    """What watched windows would have refused, as `tenant requests/60`."""
    names = [
        f"{state.scope.partition(':')[0]} {state.window.meter}/{state.window.seconds}"
        for state in would_refuse
    ]
    return {"x-ratelimit-would-refuse": ", ".join(names)} if names else {}


def _shown(meter: Meter, amount: int) -> str:
    return f"{amount / NANO:.9f}" if meter is Meter.MONEY else str(amount)


def duration(milliseconds: int) -> str:
    """As OpenAI writes it: `250ms`, `1s`, `6m0s`, `1h2m3s`."""
    if milliseconds < MS_PER_S:
        return f"{milliseconds}ms"
    seconds = -(-milliseconds // MS_PER_S)
    hours, rest = divmod(seconds, S_PER_HOUR)
    minutes, seconds = divmod(rest, S_PER_MINUTE)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def seconds(written: str) -> float:
    """What `duration` wrote, as a number."""
    return sum(int(count) * UNIT_S[unit] for count, unit in PART.findall(written))


def realtime_limits(headers: Mapping[str, str]) -> list[dict[str, Any]]:
    """The same limits as OpenAI's Realtime API tells them in `rate_limits.updated`."""
    return [
        {
            "name": name,
            "limit": int(headers[f"x-ratelimit-limit-{name}"]),
            "remaining": int(headers[f"x-ratelimit-remaining-{name}"]),
            "reset_seconds": seconds(headers[f"x-ratelimit-reset-{name}"]),
        }
        for name in ("requests", "tokens")
        if f"x-ratelimit-limit-{name}" in headers
    ]

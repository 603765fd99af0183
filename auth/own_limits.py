"""Own limits of keys and users: as rows hold them, and that none exceeds what is above it.

Place in the path: administration, before a limit is written, and step 2, which reads it. That a
limit is within its user's and its tenant's is checked when it is set, to tell people early;
admission holds every scope whatever the limits say (`auth/limits.py`).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from auth.plans import NANO, SPANS, LimitSet, Meter, Plan, Window
from auth.principal import Principal
from auth.quota import described
from core.errors import Forbidden, InvalidRequest

Windows = tuple[Window, ...]
Above = tuple[str, Windows]
"""What is above a limit, in words, and its windows."""


def stored(limits: LimitSet | None) -> str | None:
    """For a column; limits of nothing are none."""
    if limits is None or not limits.windows():
        return None
    return limits.model_dump_json(exclude_none=True, exclude_defaults=True)


def read(column: str | None) -> LimitSet | None:
    """Of a column."""
    return None if column is None else LimitSet.model_validate_json(column)


def windows_in(column: str | None) -> Windows:
    """Of a column, as step 3 holds them."""
    limits = read(column)
    return () if limits is None else limits.windows()


def above_user(plan: Plan) -> list[Above]:
    """What a user's limits stay within."""
    return [
        ("the tenant's plan", plan.windows),
        ("the plan, for each user,", plan.user_windows),
    ]


def above_key(plan: Plan, user_windows: Windows) -> list[Above]:
    """What a key's limits stay within."""
    return [
        *above_user(plan),
        ("its user's own limit", user_windows),
        ("the plan, for each key,", plan.key_windows),
    ]


def require_within(limits: LimitSet | None, above: Iterable[Above]) -> None:
    """Raise InvalidRequest for the first limit that could never be reached.

    A limit exceeds another of the same meter when it is greater, over the same span or a shorter
    one: a thousand a day is more than a hundred a month.
    """
    for window in () if limits is None else limits.windows():
        for owner, windows in above:
            exceeded = _exceeded(window, windows)
            if exceeded is not None:
                raise InvalidRequest(
                    f"{described(window)} are too many: {owner} allows {described(exceeded)}",
                    _field(window),
                )


def inherited(wanted: LimitSet | None, granter: Principal) -> LimitSet | None:
    """`wanted`, with the limits of the granting key that it leaves open.

    Raises Forbidden for a limit that is greater than the granting key's own.
    """
    own = granter.key_windows
    if not own:
        return wanted
    windows = () if wanted is None else wanted.windows()
    for window in windows:
        if _exceeded(window, own) is not None:
            field = _field(window)
            raise Forbidden(f"a key cannot grant more than its own '{field}'", field)
    said = {(window.meter, window.seconds) for window in windows}
    return _limit_set(
        (*windows, *(window for window in own if (window.meter, window.seconds) not in said))
    )


def _exceeded(window: Window, windows: Windows) -> Window | None:
    for other in windows:
        same = other.meter is window.meter and other.seconds >= window.seconds
        if same and not other.watched and window.limit > other.limit:
            return other
    return None


def _limit_set(windows: Windows) -> LimitSet:
    fields: dict[str, Any] = {}
    for window in windows:
        if window.meter is Meter.CONCURRENCY:
            fields[window.meter] = window.limit
            continue
        money = window.meter is Meter.MONEY
        limit = Decimal(window.limit) / NANO if money else window.limit
        fields.setdefault(window.meter, {})[_span(window)] = limit
    return LimitSet.model_validate(fields)


def _field(window: Window) -> str:
    name = f"limits.{window.meter.value}"
    return name if window.meter is Meter.CONCURRENCY else f"{name}.{_span(window)}"


def _span(window: Window) -> str:
    return next(name for name, seconds in SPANS.items() if seconds == window.seconds)

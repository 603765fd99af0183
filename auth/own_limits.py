"""Own limits of keys and users: as rows hold them, and that none exceeds what is above it.

Place in the path: administration, before a limit is written, and step 2, which reads it. That a
limit is within its user's and its tenant's is checked when it is set, to tell people early;
admission holds every scope whatever the limits say (`auth/limits.py`).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from auth.plans import BYTES_PER_GB, NANO, SPANS, LimitSet, Meter, Plan, Window
from auth.principal import Principal
from auth.quota import described
from core.errors import Forbidden, InvalidRequest

Windows = tuple[Window, ...]
STORAGE = "limits.storage_gb"


class Above(NamedTuple):
    """What is above a limit: in words, its windows, and the storage that it has."""

    owner: str
    windows: Windows
    storage_bytes: int | None = None


def stored(limits: LimitSet | None) -> str | None:
    """For a column; limits of nothing are none."""
    if limits is None or not (limits.windows() or limits.storage_bytes):
        return None
    return limits.model_dump_json(exclude_none=True, exclude_defaults=True)


def read(column: str | None) -> LimitSet | None:
    """Of a column."""
    return None if column is None else LimitSet.model_validate_json(column)


def windows_in(column: str | None) -> Windows:
    """Of a column, as step 3 holds them."""
    limits = read(column)
    return () if limits is None else limits.windows()


def storage_in(column: str | None) -> int | None:
    """Bytes that a column lets its owner store."""
    limits = read(column)
    return None if limits is None else limits.storage_bytes


def above_user(plan: Plan) -> list[Above]:
    """What a user's limits stay within."""
    return [
        Above("the tenant's plan", plan.windows, plan.storage_bytes),
        Above("the plan, for each user,", plan.user_windows, plan.user_storage_bytes),
    ]


def above_key(plan: Plan, user_limits: str | None) -> list[Above]:
    """What a key's limits stay within.

    Args:
        user_limits: its user's column.
    """
    return [
        *above_user(plan),
        Above("its user's own limit", windows_in(user_limits), storage_in(user_limits)),
        Above("the plan, for each key,", plan.key_windows, plan.key_storage_bytes),
    ]


def require_within(limits: LimitSet | None, above: Iterable[Above]) -> None:
    """Raise InvalidRequest for the first limit that could never be reached. What is only watched
    may be anything.

    A limit exceeds another of the same meter when it is greater, over the same span or a shorter
    one: a thousand a day is more than a hundred a month.
    """
    if limits is None:
        return
    for owner, windows, storage_bytes in above:
        for window in filter(_is_held, limits.windows()):
            exceeded = _exceeded(window, windows)
            if exceeded is not None:
                raise InvalidRequest(
                    f"{described(window)} are too many: {owner} allows {described(exceeded)}",
                    _field(window),
                )
        if _is_more(limits.storage_bytes, storage_bytes):
            raise InvalidRequest(
                f"{limits.storage_bytes} bytes of storage are too many:"
                f" {owner} allows {storage_bytes}",
                STORAGE,
            )


def inherited(wanted: LimitSet | None, granter: Principal) -> LimitSet | None:
    """`wanted`, with the limits of the granting key that it leaves open. What the granting key is
    held to, nobody only watches.

    Raises Forbidden for a limit that is greater than the granting key's own.
    """
    own, own_bytes = tuple(filter(_is_held, granter.key_windows)), granter.key_storage_bytes
    if not own and own_bytes is None:
        return wanted
    windows = () if wanted is None else wanted.windows()
    storage_bytes = None if wanted is None else wanted.storage_bytes
    if _is_more(storage_bytes, own_bytes):
        raise Forbidden("a key cannot grant more than its own 'limits.storage_gb'", STORAGE)
    for window in filter(_is_held, windows):
        if _exceeded(window, own) is not None:
            field = _field(window)
            raise Forbidden(f"a key cannot grant more than its own '{field}'", field)
    # Of the same window one that holds goes before one that watches, then what was said.
    ranked = sorted((*windows, *own), key=lambda window: window.watched)
    first: dict[tuple[Meter, int], Window] = {}
    for window in ranked:
        first.setdefault((window.meter, window.seconds), window)
    return _limit_set(tuple(first.values()), own_bytes if storage_bytes is None else storage_bytes)


def _is_held(window: Window) -> bool:
    return not window.watched


def _is_more(wanted: int | None, allowed: int | None) -> bool:
    return wanted is not None and allowed is not None and wanted > allowed


def _exceeded(window: Window, windows: Windows) -> Window | None:
    for other in windows:
        same = other.meter is window.meter and other.seconds >= window.seconds
        if same and not other.watched and window.limit > other.limit:
            return other
    return None


def _limit_set(windows: Windows, storage_bytes: int | None) -> LimitSet:
    fields: dict[str, Any] = {}
    if storage_bytes is not None:
        fields["storage_gb"] = Decimal(storage_bytes) / BYTES_PER_GB
    for window in windows:
        where = fields.setdefault("watch", {}) if window.watched else fields
        if window.meter is Meter.CONCURRENCY:
            where[window.meter] = window.limit
            continue
        money = window.meter is Meter.MONEY
        limit = Decimal(window.limit) / NANO if money else window.limit
        where.setdefault(window.meter, {})[_span(window)] = limit
    return LimitSet.model_validate(fields)


def _field(window: Window) -> str:
    name = f"limits.{window.meter.value}"
    return name if window.meter is Meter.CONCURRENCY else f"{name}.{_span(window)}"


def _span(window: Window) -> str:
    return next(name for name, seconds in SPANS.items() if seconds == window.seconds)

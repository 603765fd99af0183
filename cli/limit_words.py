"""Limits in the words of `plans.yaml`, as one writes them on a command line: `tokens.day=50000`.

Place: `carillon keys create --limit` and `carillon keys list`. What a limit may be is
`auth.plans.LimitSet`'s to say; who may set it, `auth.own_limits`'.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from auth.plans import LimitSet
from cli.failure import Failure

WATCHED = "watch."
"""Begins a limit that is counted and refuses nothing."""


def limits_of(words: Iterable[str]) -> dict[str, Any]:
    """The fields of a `LimitSet`. Raises Failure for what is no limit, or said twice."""
    fields: dict[str, Any] = {}
    for word in words:
        name, equals, amount = word.partition("=")
        held = name.removeprefix(WATCHED)
        meter, dot, span = held.partition(".")
        if not equals or not amount or not meter or (dot and not span):
            raise Failure(f"say a limit as tokens.day=50000 or concurrency=2, not {word!r}")
        among = fields if held == name else fields.setdefault("watch", {})
        where = among.setdefault(meter, {}) if dot and isinstance(among, dict) else among
        key = span if dot else meter
        if not isinstance(where, dict) or key in where:
            raise Failure(f"the limit {name!r} is said twice")
        where[key] = _amount(amount)
    return fields


def words_of(limits: LimitSet | None, requests_per_hour: int | None = None) -> Iterator[str]:
    """Each limit as `limits_of` takes it, and a key's hourly requests."""
    if requests_per_hour is not None:
        yield f"requests_per_hour={requests_per_hour}"
    shown = {} if limits is None else limits.model_dump(exclude_none=True, exclude_defaults=True)
    watched = shown.pop("watch", {})
    yield from _words(shown)
    yield from (f"{WATCHED}{word}" for word in _words(watched))


def _words(limits: dict[str, Any]) -> Iterator[str]:
    for meter, amounts in limits.items():
        if isinstance(amounts, dict):
            yield from (f"{meter}.{span}={amount}" for span, amount in amounts.items())
        else:
            yield f"{meter}={amounts}"


def _amount(text: str) -> int | str:
    """A whole number, also as 50_000; the rest is the field's to judge."""
    digits = text.replace("_", "")
    return int(digits) if digits.isascii() and digits.isdigit() else text

"""Limits and where they stand, as JSON: the same words in every answer.

Place in the path: beside it. It asks nobody; the store's reply is given.
"""

from typing import Any

from auth.admission import WindowState
from auth.plans import NANO, LimitSet, Meter
from auth.storage import StorageState


def window_object(state: WindowState, asked: int | None = None) -> dict[str, Any]:
    """One window. `reset_ms` is until it opens anew; money is in whole units.

    With how much of it a request asks for, where there is one.
    """
    window = state.window
    scale = NANO if window.meter is Meter.MONEY else 1
    amounts = {"limit": window.limit, "used": state.used, "remaining": state.remaining}
    if asked is not None:
        amounts["asked"] = asked
    shown = amounts if scale == 1 else {name: each / scale for name, each in amounts.items()}
    return {
        "scope": state.scope.partition(":")[0],
        "meter": window.meter.value,
        "seconds": window.seconds,
        **shown,
        "reset_ms": state.reset_ms,
        "watched": window.watched,
    }


def storage_object(state: StorageState) -> dict[str, Any]:
    """One limit of storage, which is none for some, in bytes."""
    left = None if state.limit is None else max(0, state.limit - state.used)
    amounts = {"limit": state.limit, "used": state.used, "remaining": left}
    return {"scope": state.scope, "meter": "storage_bytes", **amounts}


def limits_object(limits: LimitSet | None) -> dict[str, Any] | None:
    """Own limits of a key or a user, as plans.yaml writes them; None is none."""
    if limits is None:
        return None
    shown = limits.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for each in (shown, shown.get("watch", {})):
        for span, amount in each.get("money", {}).items():
            each["money"][span] = float(amount)
    if "storage_gb" in shown:
        shown["storage_gb"] = float(shown["storage_gb"])
    return shown

"""English for date windows and numbers: 'in the last 30 days', 'this month', 'ten'."""

import random
from collections.abc import Callable

from models.starter_chat.sql_query import MONTHS, Window

NUMBER_WORDS = {
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
    12: "twelve",
    20: "twenty",
    30: "thirty",
}


def number_text(number: int, rng: random.Random) -> str:
    word = NUMBER_WORDS.get(number)
    return word if word and rng.random() < 0.06 else str(number)


def window_text(window: Window, rng: random.Random) -> str:
    """A window as words, e.g. 'in the last 30 days'."""
    return _WORDINGS[window.kind](window, rng)


def _older(window: Window, rng: random.Random) -> str:
    n = number_text(window.number, rng)
    unit = window.unit if window.number == 1 else window.unit + "s"
    return rng.choice(
        (f"more than {n} {unit} ago", f"over {n} {unit} ago", f"before the last {n} {unit}")
    )


def _day(window: Window, _: random.Random) -> str:
    return window.kind


def _this(window: Window, rng: random.Random) -> str:
    unit = window.unit
    return rng.choice(
        (
            f"this {unit}",
            f"in this {unit}",
            f"in the current {unit}",
            f"since the start of the {unit}",
        )
    )


def _year(window: Window, rng: random.Random) -> str:
    return rng.choice(("in {}", "during {}", "in the year {}")).format(window.number)


def _month(window: Window, rng: random.Random) -> str:
    return f"{rng.choice(('in', 'during'))} {MONTHS[int(window.text) - 1]} {window.number}"


def _since(window: Window, rng: random.Random) -> str:
    return rng.choice(("since {}", "after {}", "since {}", "from {} on")).format(window.text)


def _before(window: Window, rng: random.Random) -> str:
    return rng.choice(("before {}", "before {}", "prior to {}")).format(window.text)


def _last(window: Window, rng: random.Random) -> str:
    if window.number == 1 and rng.random() < 0.7:
        return rng.choice(
            (
                f"in the last {window.unit}",
                f"last {window.unit}",
                f"in the past {window.unit}",
                f"in last {window.unit}",
                f"within the last {window.unit}",
                f"over the past {window.unit}",
            )
        )
    unit = window.unit if window.number == 1 else window.unit + "s"
    span = f"{number_text(window.number, rng)} {unit}"
    return rng.choice(
        (
            "in the last {s}",
            "in the last {s}",
            "in last {s}",
            "in the past {s}",
            "within the last {s}",
            "over the last {s}",
            "during the last {s}",
            "from the last {s}",
            "over the past {s}",
            "last {s}",
            "for the last {s}",
            "within the past {s}",
            "from the past {s}",
            "past {s}",
            "in past {s}",
            "in the previous {s}",
        )
    ).format(s=span)


_WORDINGS: dict[str, Callable[[Window, random.Random], str]] = {
    "last": _last,
    "older": _older,
    "today": _day,
    "yesterday": _day,
    "this": _this,
    "year": _year,
    "month": _month,
    "since": _since,
    "before": _before,
}

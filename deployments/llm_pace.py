"""How many tokens of a stream make an event worth sending.

Place in the path: step 4, inside the language model's replica, asked once per stream. Events,
not tokens, are what vLLM's serving layer and every hop after it spend their time on. A small
model makes a token every few milliseconds, faster than a screen is drawn; a large one makes each
token worth its own event. It measures; it delays nothing, and the first token of a stream always
travels at once.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import exp, inf

from core.model import CallContext

EVENT_S = 0.02
"""Time between the events of a stream that is alone: 50 a second."""
EVENT_S_PER_STREAM = 0.009
"""What each concurrent stream adds."""
FORGET_S = 2.0
"""Load is what it was at its highest lately: callers that wait for each other come in waves."""
LONGEST_EVENT_S = 0.3
"""Nobody reads the twenty words of such an event before the next one is there."""
MAX_TOKENS_PER_EVENT = 32
WEIGHT = 0.2
"""Of the newest stream in the moving average."""
FEWEST_TOKENS = 8
"""Shorter streams say little about speed."""


class Pace:
    """Seconds between two tokens of one stream, as lately measured, and how many streams run."""

    def __init__(self) -> None:
        self._s_per_token = inf
        self._streams = 0
        self._load = 0.0
        self._load_at = 0.0

    @property
    def tokens_per_event(self) -> int:
        """At least 1; vLLM's `stream_interval`."""
        event_s = min(EVENT_S + EVENT_S_PER_STREAM * self._lately(), LONGEST_EVENT_S)
        return max(1, min(int(event_s / self._s_per_token), MAX_TOKENS_PER_EVENT))

    @contextmanager
    def stream(self, call: CallContext, choices: int) -> Iterator[None]:
        """One stream, from its first event to its end; `call.done` counts its tokens."""
        load = self._lately()
        self._streams += 1
        self._load, self._load_at = max(load, self._streams), time.perf_counter()
        started, tokens = time.perf_counter(), call.done.output_tokens
        try:
            yield
        finally:
            self._streams -= 1
            tokens = (call.done.output_tokens - tokens) // choices
            self._observe(tokens, time.perf_counter() - started)

    def _lately(self) -> float:
        """Concurrent streams at their highest, which fades."""
        faded = self._load * exp((self._load_at - time.perf_counter()) / FORGET_S)
        return max(faded, self._streams)

    def _observe(self, tokens: int, seconds: float) -> None:
        if tokens < FEWEST_TOKENS:
            return
        latest = seconds / tokens
        if self._s_per_token == inf:
            self._s_per_token = latest
        self._s_per_token += WEIGHT * (latest - self._s_per_token)

"""Rows of a generated batch: what each asks for, and what reaches its caller token by token.

Place in the path: step 4, between a vision model's verbs and `generate`. A row knows its limit,
its stop strings and whether its caller went away; it does not know the model.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from core.errors import CarillonError
from core.model import CallContext

REPLACEMENT = "\ufffd"
Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; rows of one batch share it. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None

    def options(self) -> dict[str, Any]:
        """The same for transformers' `generate`."""
        found: dict[str, Any] = {"do_sample": self.temperature > 0}
        if self.repetition_penalty is not None:
            found["repetition_penalty"] = self.repetition_penalty
        if self.temperature > 0:
            limits = {"top_p": self.top_p, "top_k": self.top_k, "min_p": self.min_p}
            found["temperature"] = self.temperature
            found |= {name: value for name, value in limits.items() if value is not None}
        return found


class Piece(NamedTuple):
    """What a row has said since the piece before, and how many tokens it has used so far."""

    text: str
    prompt_tokens: int
    output_tokens: int
    finish: Finish | None = None


@dataclass(eq=False)
class Row:
    """One conversation to be continued.

    Args:
        messages: in the processor's own form; pictures are decoded already.
        limit: most tokens to generate.
        stops: strings that end the answer; they are not part of it.
        param: the request field that errors name.
        call: what the engine's time is counted for.
    """

    messages: list[dict[str, Any]]
    limit: int
    sampling: Sampling = Sampling()
    stops: Sequence[str] = ()
    pictures: int = 0
    param: str = "messages"
    call: CallContext = field(default_factory=lambda: CallContext(""))
    cancelled: bool = False
    ids: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    finish: Finish | None = None
    _said: str = ""
    _sent: int = 0
    _pieces: "asyncio.Queue[Piece | BaseException]" = field(default_factory=asyncio.Queue)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def key(self) -> object:
        """Rows with the same key may be generated together; one with a seed only alone."""
        return (self.sampling, self.pictures, id(self) if self.sampling.seed is not None else None)

    @property
    def done(self) -> bool:
        return self.cancelled or self.finish is not None

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """What is said, as it is said. Leaving early ends the generation of this row."""
        try:
            while True:
                item = await self._pieces.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            self.cancelled = True

    # The rest is called by the engine's thread.

    def add(self, token: int, ends: frozenset[int], decode: Callable[[list[int]], str]) -> None:
        """Take one more token; tell the caller what it adds."""
        if self.done:
            return
        self.ids.append(token)
        if token in ends:
            self.finish = "stop"
        elif len(self.ids) >= self.limit:
            self.finish = "length"
        self._said = decode(self.ids)
        self._stop_at_string()
        self._tell()

    def fail(self, error: BaseException) -> None:
        """The row cannot be generated."""
        self.cancelled = True
        self._put(error if isinstance(error, CarillonError) else _unexpected(error))

    def _stop_at_string(self) -> None:
        found = [at for stop in self.stops if (at := self._said.find(stop)) >= 0]
        if found:
            self._said, self.finish = self._said[: min(found)], "stop"

    def _tell(self) -> None:
        """Send what is certain: no half character, nothing that may begin a stop string."""
        end = len(self._said) if self.finish else self._certain()
        text, self._sent = self._said[self._sent : end], max(self._sent, end)
        if text or self.finish:
            self._put(Piece(text, self.prompt_tokens, len(self.ids), self.finish))

    def _certain(self) -> int:
        text = self._said.rstrip(REPLACEMENT)
        held = max((_overlap(text, stop) for stop in self.stops), default=0)
        return len(text) - held

    def _put(self, item: Piece | BaseException) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` that may be the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


def _unexpected(error: BaseException) -> BaseException:
    # Engines raise what does not pickle; its text is what matters on the other side.
    return RuntimeError(f"{type(error).__name__}: {error}")

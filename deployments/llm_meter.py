"""Counting tokens at the engine, on one path for whole answers, streams and aborts.

Place in the path: step 4, inside the language model's replica, between vLLM's serving layer and
its engine. What it counts is what is billed; it formats nothing.

vLLM reports tokens with each output it delivers. A request that is aborted has produced tokens
that no output delivered yet: those are read from the engine's own state at the moment of abort.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from core.model import CallContext
from core.work import NO_WORK, WorkUnits

_current: ContextVar["Count | None"] = ContextVar("current_count", default=None)


class TokenMeter:
    """Keeps `call.done` current for every engine request made inside `count(call)`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._generate = engine.generate
        self._abort = engine.abort
        self._tallies: dict[str, _Tally] = {}
        engine.generate = self._counted
        engine.abort = self._abort_counted

    @contextmanager
    def count(self, call: CallContext) -> Iterator["Count"]:
        """Requests made inside this block belong to `call`."""
        count = Count(call)
        token = _current.set(count)
        try:
            yield count
        finally:
            _current.reset(token)

    def _counted(
        self, prompt: Any, sampling_params: Any, request_id: str, **options: Any
    ) -> AsyncIterator[Any]:
        outputs = self._generate(prompt, sampling_params, request_id, **options)
        count = _current.get()
        return outputs if count is None else self._tallied(outputs, request_id, count)

    async def _tallied(self, outputs: Any, request_id: str, count: "Count") -> AsyncIterator[Any]:
        self._tallies[request_id] = tally = count.tally()
        try:
            async for output in outputs:
                tally.add(output)
                yield output
        except Exception as error:
            count.failure = error
            raise
        finally:
            await outputs.aclose()
            del self._tallies[request_id]

    async def _abort_counted(self, request_id: Any, *arguments: Any, **options: Any) -> None:
        states = self._engine.output_processor.request_states
        for internal_id, state in list(states.items()):
            tally = self._tallies.get(state.external_req_id)
            # Choices of one request (`n`) have ids that end with their parent's.
            if tally is not None and internal_id.endswith(str(request_id)):
                tally.at_abort(state)
        await self._abort(request_id, *arguments, **options)


class Count:
    """One call's tokens, over all the engine requests it is made of."""

    def __init__(self, call: CallContext) -> None:
        self._call = call
        self._tallies: list[_Tally] = []
        self._reasoning_tokens = 0
        self.failure: Exception | None = None
        """What the engine raised, before vLLM's serving layer made a text of it."""

    def tally(self) -> "_Tally":
        tally = _Tally(self)
        self._tallies.append(tally)
        return tally

    def note_reasoning(self, tokens: int) -> None:
        """So many of the output tokens were spent on reasoning."""
        self._reasoning_tokens = tokens
        self.publish()

    def publish(self) -> None:
        if not self._tallies:
            return
        first, *others = (tally.units for tally in self._tallies)
        done = sum(others, first)
        if self._reasoning_tokens:
            most = min(self._reasoning_tokens, done.output_tokens)
            done = replace(done, reasoning_tokens=most)
        self._call.done = done


class _Tally:
    """One engine request's tokens."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._per_choice: dict[int, int] = {}
        self.units = NO_WORK

    def add(self, output: Any) -> None:
        """Count a delivered output: token ids are new ones (delta) or all of them (final)."""
        if not self._prompt_tokens:
            self._prompt_tokens = len(output.prompt_token_ids or ())
            self._cached_tokens = output.num_cached_tokens or 0
        for choice in output.outputs:
            before = self._per_choice.get(choice.index, 0)
            self._per_choice[choice.index] = before + len(choice.token_ids)
        self._publish()

    def at_abort(self, state: Any) -> None:
        """Count what the engine has produced, delivered or not."""
        if not self._prompt_tokens:
            self._prompt_tokens = state.prompt_len
        self._per_choice[state.request_index] = state.detokenizer.num_output_tokens()
        self._publish()

    def _publish(self) -> None:
        self.units = WorkUnits(
            input_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            output_tokens=sum(self._per_choice.values()),
        )
        self._count.publish()

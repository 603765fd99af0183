"""Calls whose cost is known beforehand: an echo of so many words is so many tokens, in and out."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import httpx

from tests.e2e.people import Person

CHAT = "/v1/chat/completions"
OK = 200


class Caller:
    """One chat with an echo model, and how far it got.

    Args:
        words: of the message. Different for each call of a test, so that rows tell which is which.
        streamed: a paced stream; otherwise a whole answer, at once.
        at: which gateway replica; any when not said.
    """

    def __init__(
        self,
        person: Person,
        words: int,
        *,
        streamed: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
        at: str | None = None,
    ) -> None:
        self.words = words
        self.streamed = streamed
        self.headers = headers
        self.status: int | None = None
        """None where the connection broke first."""
        self.code: str | None = None
        self.pieces = 0
        """Events with text that were read."""
        self.whole = False
        """Whether the answer was read to its end."""
        self._person = person
        self._at = at
        self._task: asyncio.Task[None] | None = None

    @property
    def body(self) -> dict[str, object]:
        text = " ".join(f"w{number}" for number in range(self.words))
        model = "echo-slow" if self.streamed else "echo"
        request = {"model": model, "messages": [{"role": "user", "content": text}]}
        return request | {"stream": self.streamed, "max_tokens": self.words}

    def begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.call())

    @property
    def was_begun(self) -> bool:
        return self._task is not None

    async def ended(self) -> None:
        """Wait for its end, whatever it is."""
        if self._task is not None:
            await self._task

    async def call(self) -> None:
        """Call, and read until the answer ends or breaks."""
        with contextlib.suppress(httpx.HTTPError):
            async with (
                self._person.http(self._at) as client,
                client.stream("POST", CHAT, json=self.body, headers=self.headers) as response,
            ):
                self.status = response.status_code
                if self.streamed and self.status == OK:
                    await self._read_events(response)
                else:
                    body = await response.aread()
                    self.whole = self.status == OK
                    self._note(body)

    async def _read_events(self, response: httpx.Response) -> None:
        async for line in response.aiter_lines():
            self.pieces += '"content":' in line
            self.whole = self.whole or line == "data: [DONE]"
            if '"error"' in line:
                self._note(line.removeprefix("data: ").encode())

    def _note(self, body: bytes) -> None:
        """The code of an error; HAProxy's own answers have none."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self.code = json.loads(body)["error"]["code"]

    def __repr__(self) -> str:
        kind = "stream" if self.streamed else "answer"
        return f"<{kind} of {self.words}: {self.status} {self.code} {self.pieces} {self.whole}>"


C = TypeVar("C", bound=Sequence[Caller])


def begun(callers: C) -> C:
    """All of them, calling."""
    for caller in callers:
        caller.begin()
    return callers

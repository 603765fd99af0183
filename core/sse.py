"""Server-sent events read back: bytes as they arrive, JSON objects as they are whole.

Place in the path: where one of us reads what another streams: a graph its steps, a WebSocket the
answers that it relays. It reads `data:` lines and nothing else, as OpenAI's streams are written.
"""

import json
from typing import Any

END = b"[DONE]"
PREFIX = b"data:"


class EventReader:
    """Joins what was cut between two pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that `data` completes; the mark of the end is not one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        values = (line[len(PREFIX) :].strip() for line in lines if line.startswith(PREFIX))
        return [json.loads(value) for value in values if value != END]

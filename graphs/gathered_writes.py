"""One write for what one turn of the event loop has to say.

Place in the path: under it, between uvicorn and the socket. uvicorn writes the head of an answer
and its body one after the other, and uvloop sends each at once: two system calls here, two reads
in the proxy and two in the client for an answer of a few hundred bytes. Here they leave together at
the end of the turn, as commands to Valkey do (`auth.pipeline`). Figures: docs/adr/0021.
It knows nothing of HTTP.
"""

import asyncio
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class GatheringTransport:
    """A transport that writes once a turn; all else is the real one's.

    Flow control stays right: the real transport tells the protocol itself when to pause.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn, in order."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)

    def close(self) -> None:
        """Close when all that was written is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, over a gathering transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(GatheringTransport(transport))  # type: ignore[arg-type]


def gather_writes() -> None:
    """Have uvicorn's servers of this process, when they start, gather what they write.

    Serve makes its servers with uvicorn's default protocol and offers no choice of another.
    """
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{GatheringProtocol.__name__}"
